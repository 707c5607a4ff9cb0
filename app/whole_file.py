"""Files that a command writes: checked before the work begins, and there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def whole_file(option: str, path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the context ends well. LumbricalError when it cannot."""
    temporary: Path | None = None
    try:
        parent = path.absolute().parent
        with tempfile.NamedTemporaryFile(dir=parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
        yield temporary
        make_readable(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise LumbricalError(f"{option} {path} cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def make_readable(temporary: Path) -> None:
    """Temporary files are private; what becomes of them is as readable as any file the user makes."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
