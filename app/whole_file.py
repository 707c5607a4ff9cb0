"""Files that a command writes: checked before the work begins, and there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.interrupts import terminated_in_order
from engine.types import LumbricalError


def check_new_file(option: str, path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Raise LumbricalError where `path`, which `option` names, could not be written in the end. force: an older file
    may be replaced."""
    if path.suffix.lower() not in suffixes:
        raise LumbricalError(f"{option} {path}: the file's name must end in {_listed(suffixes)}")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise LumbricalError(f"{option} {path}: the folder {parent} does not exist")
    if path.is_dir():
        raise LumbricalError(f"{option} {path} is a folder: give a file name")
    if not os.access(parent, os.W_OK):
        raise LumbricalError(f"{option} {path}: the folder {parent} cannot be written to")
    if path.exists() and not force:
        raise LumbricalError(f"{option} {path} exists already: choose another name or add --force")


@contextmanager
def written_to(option: str, path: Path) -> Iterator[None]:
    """What writes to `path`, or to the file that will take its place: an OSError becomes a LumbricalError."""
    try:
        yield
    except OSError as error:
        raise LumbricalError(f"{option} {path} cannot be written: {error.strerror or error}") from error


@contextmanager
def whole_file(option: str, path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the context ends well, else (SIGTERM, too) is gone.

    LumbricalError when it cannot be made or moved; the writing itself belongs in `written_to`.
    """
    with terminated_in_order():
        with written_to(option, path):
            temporary = _temporary_beside(path)
        try:
            yield temporary
            with written_to(option, path):
                _put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _temporary_beside(path: Path) -> Path:
    parent = path.absolute().parent
    with tempfile.NamedTemporaryFile(dir=parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False) as file:
        return Path(file.name)


def _put_in_place(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    # Temporary files are private; what becomes of them is as readable as any file the user makes.
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    os.replace(temporary, path)


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
