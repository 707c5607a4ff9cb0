"""Memory that a child process sees too, without a name: however the processes end, the system takes it back."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from contextlib import suppress
from multiprocessing import context
from typing import Any

from engine.sensors.protocol import SensorUnavailable


class SharedBlock:
    """`size` bytes, all 0, of which only those that are touched cost memory. It can be pickled only as an argument of a
    process that is being spawned. Raises SensorUnavailable where the system has no such memory.
    """

    def __init__(self, size: int) -> None:
        if sys.platform == "win32":
            raise SensorUnavailable("a camera in a process of its own needs Linux or macOS: use --no-isolate")
        self.size = size
        self._descriptor = _nameless_file()
        try:
            os.ftruncate(self._descriptor, size)
            self.memory = mmap.mmap(self._descriptor, size)
        except OSError as error:
            os.close(self._descriptor)
            raise SensorUnavailable(
                f"there is no memory to share with the camera's process: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Let go of the memory; where there are views of it, it goes with the last of them."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with suppress(BufferError):
            self.memory.close()

    def __del__(self) -> None:
        if hasattr(self, "memory"):
            self.close()

    def __getstate__(self) -> tuple[Any, int]:
        context.assert_spawning(self)
        from multiprocessing.reduction import DupFd

        return DupFd(self._descriptor), self.size

    def __setstate__(self, state: tuple[Any, int]) -> None:
        duplicate, self.size = state
        self._descriptor = duplicate.detach()
        self.memory = mmap.mmap(self._descriptor, self.size)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lumbrical")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
