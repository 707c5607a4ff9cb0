"""What becomes of a file that is open for writing when somebody deletes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from engine.takes.facts import TakeError

#: Where Linux keeps what this process has open, deleted or not.
_OPEN_FILES = Path("/proc/self/fd")


def is_deleted(file: BinaryIO) -> bool:
    """Whether no folder has the file any more."""
    return os.fstat(file.fileno()).st_nlink == 0


def write_again(file: BinaryIO, path: Path) -> None:
    """Put a deleted file's bytes into a new one, whose folder is made again. Raises TakeError when that cannot be done:
    then they are lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (_OPEN_FILES / str(file.fileno())).open("rb") as source, path.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise TakeError(f"{path} was deleted while it was recorded, and is lost: {error.strerror}") from error
