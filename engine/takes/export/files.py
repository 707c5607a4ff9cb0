"""Files and folders that are there whole or not at all, and never in the place of others unless that is asked for."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.types import LumbricalError

#: What a mesh of a sequence is called: its frame's place in the clip.
FRAME_FILE = re.compile(r"\d{6,}\.ply")


def check_target(path: Path, suffix: str, force: bool) -> None:
    """Raise LumbricalError where `path` could not be written in the end. suffix: "" for a folder of meshes.

    force: an older file may be replaced, and an older folder if it holds nothing but exported meshes.
    """
    try:
        _check_target(path, suffix, force)
    except OSError as error:
        # A name that is too long, a folder that may not be searched, a disk that is gone.
        raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error


def _check_target(path: Path, suffix: str, force: bool) -> None:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise LumbricalError(f"{path}: the folder {parent} does not exist")
    if not os.access(parent, os.W_OK):
        raise LumbricalError(f"{path}: the folder {parent} cannot be written to")
    if suffix and path.is_dir():
        raise LumbricalError(f"{path} is a folder: give a file name that ends in {suffix}")
    if os.path.lexists(path):
        if not force:
            raise LumbricalError(f"{path} exists already: choose another name or add --force")
        if not suffix and not _holds_only_frames(path):
            raise LumbricalError(
                f"{path} is not a folder of exported meshes only: it is not replaced, name another one"
            )


@contextmanager
def whole_file(path: Path, force: bool) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the context ends well. LumbricalError when it cannot."""
    check_target(path, path.suffix, force)
    temporary: Path | None = None
    try:
        parent = path.absolute().parent
        with tempfile.NamedTemporaryFile(dir=parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
        yield temporary
        _make_readable(temporary, 0o666)
        # Again, since writing may have taken minutes.
        check_target(path, path.suffix, force)
        os.replace(temporary, path)
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, force: bool) -> Iterator[Path]:
    """The same for a folder of meshes."""
    check_target(path, "", force)
    temporary: Path | None = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}."))
        new = temporary / "new"
        new.mkdir()
        yield new
        _make_readable(new, 0o777)
        check_target(path, "", force)
        put_in_place(new, path, temporary / "old")
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(new: Path, path: Path, old: Path) -> None:
    """Rename `new` to `path`, replacing what is there. Raises OSError.

    Folders cannot replace each other at once: the old one goes aside to `old`, and back if the new one cannot come.
    """
    if not path.exists():
        os.rename(new, path)
        return
    os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(old, path)
        raise


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise LumbricalError when the folder's disk has less room: better now than in ten minutes. OSError may pass."""
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        need, have = (f"{size / 1e6:,.0f} MB" for size in (needed_bytes, free))
        raise LumbricalError(f"the export needs {need}, {have} are free: make room, or export to another disk")


def _holds_only_frames(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return all(entry.is_file(follow_symlinks=False) and FRAME_FILE.fullmatch(entry.name) for entry in entries)


def _make_readable(temporary: Path, mode: int) -> None:
    """Temporary files are private; what becomes of them is as readable as any file the user makes."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(mode & ~mask)
