"""What can be converted into, and files and folders that are there whole or not at all."""

from __future__ import annotations

import enum
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.sensors.sequence_folder import INDEX_NAME
from engine.takes.export.files import put_in_place
from engine.takes.names import SUFFIX, is_part, move_without_replacing
from engine.types import LumbricalError

#: What a sequence folder holds, by the folder that it is in. Folders that hold more are not replaced.
_SEQUENCE_FILES = {
    "": re.compile(rf"{re.escape(INDEX_NAME)}|\w+\.npy"),
    "depth": re.compile(r"\d{6}\.png"),
    "color": re.compile(r"\d{6}\.jpg"),
}


class Target(enum.Enum):
    """What a recording is converted into; the values are how such files end."""

    TAKE = SUFFIX
    REALSENSE = ".db3"
    FOLDER = ""


def target_of(path: Path) -> Target:
    """What the name asks for. LumbricalError where nothing can be written by such a name."""
    suffix = path.suffix.lower()
    if is_part(path):
        raise LumbricalError(f"{path}: names of takes that are being recorded end like this; leave .part out")
    if suffix in (Target.TAKE.value, Target.REALSENSE.value):
        return Target(suffix)
    if not suffix:
        return Target.FOLDER
    why = {
        ".bag": "the RealSense SDK writes .db3 files only",
        ".mkv": "Azure Kinect recordings can be read only",
    }.get(suffix, f"{suffix} is no known format")
    raise LumbricalError(f"{path}: {why}; end the name in .mcap (a take), .db3 (RealSense), or nothing (a folder)")


def check_target(path: Path, force: bool) -> Target:
    """What `path` will be. Raises LumbricalError where it could not be written in the end: to be told before the work.

    force: an older file may be replaced, and an older folder if it holds nothing but a sequence.
    """
    target = target_of(path)
    try:
        _check(path, target, force)
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error
    return target


def _check(path: Path, target: Target, force: bool) -> None:
    parent = path.absolute().parent
    if not path.name:
        raise LumbricalError(f"{path} is no name for a new folder")
    if not parent.is_dir():
        raise LumbricalError(f"{path}: the folder {parent} does not exist")
    if not os.access(parent, os.W_OK):
        raise LumbricalError(f"{path}: the folder {parent} cannot be written to")
    if not os.path.lexists(path):
        return
    if target is not Target.FOLDER and path.is_dir():
        raise LumbricalError(f"{path} is a folder: give a file name that ends in {target.value}")
    if not force:
        raise LumbricalError(f"{path} exists already: choose another name or add --force")
    if target is Target.FOLDER and not _is_sequence_only(path):
        raise LumbricalError(f"{path} is not a sequence folder only: it is not replaced, name another one")


def _is_sequence_only(path: Path) -> bool:
    if path.is_symlink() or not (path / INDEX_NAME).is_file():
        return False
    for folder, _, files in os.walk(path):
        pattern = _SEQUENCE_FILES.get(os.path.relpath(folder, path).removeprefix("."))
        if pattern is None or not all(pattern.fullmatch(name) for name in files):
            return False
    return True


def _move(new: Path, path: Path, old: Path, force: bool) -> None:
    if new.is_dir():
        put_in_place(new, path, old)
    elif force:
        os.replace(new, path)
    else:
        move_without_replacing(new, path)


@contextmanager
def whole_target(path: Path, force: bool) -> Iterator[Path]:
    """Where to write: a path of the same name on the same disk, which takes the place of `path` when the context ends
    well, and is gone otherwise. LumbricalError when it cannot be made or moved."""
    check_target(path, force)
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}."))
        yield work / path.name
        # Again, since writing may have taken minutes.
        check_target(path, force)
        _move(work / path.name, path, work / "old", force)
    except LumbricalError as error:
        # Nobody knows the name of the place where the work was done.
        if work is None or str(work) not in str(error):
            raise
        told = str(error).replace(str(work / path.name), str(path)).replace(str(work), str(path.parent))
        raise LumbricalError(told) from error
    except FileExistsError as error:
        raise LumbricalError(f"{path} exists already: choose another name or add --force") from error
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
