"""Names of takes. A take is written as NAME.part.mcap and becomes NAME.mcap when it is closed; nothing is replaced."""

from __future__ import annotations

import errno
import os
import re
from datetime import datetime
from pathlib import Path

from engine.takes.container import MAGIC
from engine.takes.facts import TakeError

SUFFIX = ".mcap"
_PART = ".part.mcap"
_MOST_NAMES = 10_000
#: Of a title; file systems allow 255 for a whole name.
_MOST_NAME_BYTES = 160
#: What os.link says where the file system has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL}


def is_take(path: Path) -> bool:
    """Whether a file is meant to be a take: by its name, or by how it begins."""
    if path.suffix.lower() == SUFFIX:
        return not path.is_dir()
    try:
        # Not of what is no file: a pipe would be waited for, and be a few bytes short afterwards.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def is_part(path: Path) -> bool:
    """Whether a file of this name was, or is, being recorded."""
    return path.name.lower().endswith(_PART)


def part_path(final: Path) -> Path:
    """The name under which a take is written."""
    return final.with_name(final.name[: -len(SUFFIX)] + _PART)


def final_path(part: Path) -> Path:
    """The name that a take gets when it is closed."""
    return part.with_name(part.name[: -len(_PART)] + SUFFIX)


def take_path(out: Path, title: str = "", now: datetime | None = None) -> Path:
    """Where a new take goes: `out` itself when it ends in .mcap, else a name by date and title in the folder `out`,
    which is made. Raises TakeError when that take exists already or the folder cannot be used."""
    try:
        return _take_path(out, title, now)
    except OSError as error:
        raise TakeError(f"{str(out)[:200]} cannot be used: {error.strerror or error}") from error


def _take_path(out: Path, title: str, now: datetime | None) -> Path:
    if out.suffix.lower() == SUFFIX and not out.is_dir():
        if is_part(out):
            raise TakeError(f"{out}: takes that are being written end in {_PART}; choose another name")
        if not out.absolute().parent.is_dir():
            raise TakeError(f"{out}: the folder {out.absolute().parent} does not exist; make it first")
        if out.exists() or part_path(out).exists():
            raise TakeError(f"{out} exists already: choose another name; takes are never replaced")
        return out
    if out.exists() and not out.is_dir():
        raise TakeError(f"{out} is neither a folder nor named like a take: give a folder or a name ending in {SUFFIX}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TakeError(f"{out} cannot be made: {error.strerror}") from error
    moment = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    words = file_words(title)
    return _free(out / f"{'_'.join(filter(None, (moment, words)))}{SUFFIX}")


def file_words(title: str) -> str:
    """A title as part of a file's name: letters, digits, - and _, no longer than every file system takes."""
    words = re.sub(r"[^\w-]+", "-", title[:200]).strip("-")[:60]
    return words.encode("utf-8", "ignore")[:_MOST_NAME_BYTES].decode("utf-8", "ignore")


def _free(path: Path) -> Path:
    stem = path.name[: -len(SUFFIX)]
    for count in range(1, _MOST_NAMES):
        candidate = path if count == 1 else path.with_name(f"{stem}-{count}{SUFFIX}")
        if not candidate.exists() and not part_path(candidate).exists():
            return candidate
    raise TakeError(f"{path.parent} is full of takes named {stem}: choose another name")


def publish(part: Path, final: Path) -> Path:
    """Give a finished take its name, or one with a number where that was taken meanwhile; returns the name."""
    stem = final.name[: -len(SUFFIX)]
    for count in range(1, _MOST_NAMES):
        candidate = final if count == 1 else final.with_name(f"{stem}-{count}{SUFFIX}")
        try:
            move_without_replacing(part, candidate)
        except FileExistsError:
            continue
        sync_folder(final.absolute().parent)
        return candidate
    raise TakeError(f"{final.parent} is full of takes named {stem}; the take is {part}")


def move_without_replacing(source: Path, target: Path) -> None:
    """Rename a file. Raises FileExistsError where the new name is taken."""
    try:
        # A link, unlike a rename, fails where the name exists.
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(target) from error
        source.rename(target)
        return
    source.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
