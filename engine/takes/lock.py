"""Whether a take is being recorded at this moment, told by a lock that ends with the process that holds it."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform != "win32":
    import fcntl


def lock_file(file: IO[Any]) -> None:
    """Mark an open file as being written. Where the file system has no locks, it stays unmarked."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return


def is_locked(file: IO[Any]) -> bool:
    """Whether another program, or this one through another opening, is writing the file."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
