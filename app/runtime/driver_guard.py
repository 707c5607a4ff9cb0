"""Notes how long a source keeps its reader waiting: a driver may send nothing, or never return."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import TypeVar

from app.runtime.interfaces import Abortable, FrameSource

T = TypeVar("T")
#: A camera that is open and sends nothing is told after the first time, and opened again after the second.
SILENCE_TOLD_S = 2.0
SILENCE_ENDED_S = 6.0
#: A driver that does not return is told after this.
HANG_TOLD_S = 2.0


class Silence(enum.Enum):
    """What to make of a camera's silence."""

    SHORT = "short"
    TO_BE_TOLD = "to be told"
    TO_BE_ENDED = "to be ended"


class DriverGuard:
    """Belongs to the thread that reads; hung() may be asked by any."""

    def __init__(self) -> None:
        self._heard_s = time.monotonic()
        self._entered: tuple[float, str] | None = None

    def call(self, source: FrameSource, call: Callable[[FrameSource], T]) -> T:
        """call(source), with a note of when it began."""
        if not isinstance(source, Abortable):  # those end by themselves
            self._entered = (time.monotonic(), source.name)
        try:
            return call(source)
        finally:
            self._entered = None

    def hung(self) -> str:
        """One line on a driver that does not return, or nothing."""
        entered = self._entered
        if entered is None or time.monotonic() - entered[0] < HANG_TOLD_S:
            return ""
        return f"the driver of {entered[1]} does not return: unplug the camera, or start with --isolate"

    def heard(self) -> None:
        """A frame came, or the source was opened."""
        self._heard_s = time.monotonic()

    def silence(self) -> Silence:
        """Judge a read that gave nothing."""
        silent_s = time.monotonic() - self._heard_s
        if silent_s > SILENCE_ENDED_S:
            return Silence.TO_BE_ENDED
        return Silence.TO_BE_TOLD if silent_s > SILENCE_TOLD_S else Silence.SHORT
