"""A camera whose picture flips between two states, and how long each flip took to be seen."""

from __future__ import annotations

import bisect
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.types import DepthFrame

#: So far does the hand go to the side, mm: a third of a hand's width, as in 40 ms of a fast move.
SHIFT_MM = 40.0
#: A flip is seen where pixels have changed by this much, of 255, on average ...
_LEAST_CHANGE = 2.0
#: ... and by this multiple of what they change while nothing flips.
_ABOVE_NOISE = 4.0


@dataclass(frozen=True)
class Flip:
    """number: of the first frame in the new state; arrived_s: when the sensor thread got it, time.monotonic()."""

    number: int
    arrived_s: float


@dataclass(frozen=True)
class Read:
    """Pixels of the screen, when they had been read (time.monotonic()), and the frame that the app says they show."""

    pixels: NDArray[np.uint8]
    read_s: float
    frame: int


class FlippingSource:
    """Sends one of two frames over and over at a fixed rate, and the other one from random moments on.

    Frames come at their time whether anybody reads or not; a late reader gets the one that is due. flips: those that
    were sent, in order.
    """

    name = "a flipping picture"
    is_live = True
    warnings: tuple[str, ...] = ()
    frame_count: int | None = None

    def __init__(self, states: tuple[DepthFrame, DepthFrame], fps: float, pause_s: tuple[float, float]) -> None:
        """pause_s: the shortest and the longest time between two flips."""
        self._states, self.fps, self._pause_s = states, fps, pause_s
        self._dice = random.Random(0)
        self.flips: list[Flip] = []
        self.on = False
        self._state = 0
        self._next = 0
        self._start_s = self._flip_s = 0.0

    def open(self) -> None:
        """Start the clock."""
        self._start_s = time.monotonic()
        self._next = 0

    def begin(self) -> None:
        """Flip from now on."""
        self._flip_s = time.monotonic() + self._dice.uniform(*self._pause_s)
        self.on = True

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        """The frame that is due, waiting for it up to timeout_s."""
        now = time.monotonic()
        number = max(self._next, int((now - self._start_s) * self.fps))
        wait = self._start_s + number / self.fps - now
        if wait > 0:
            time.sleep(min(wait, timeout_s))
            if wait > timeout_s:
                return None
        self._next = number + 1
        flips = self.on and time.monotonic() >= self._flip_s
        if flips:
            self._state = 1 - self._state
        depth = self._states[self._state].depth.copy()
        arrived_s = time.monotonic()
        if flips:
            self.flips.append(Flip(number, arrived_s))
            self._flip_s = arrived_s + self._dice.uniform(*self._pause_s)
        return replace(
            self._states[self._state], depth=depth, number=number, device_time_s=number / self.fps,
            host_time_s=arrived_s,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""


def shifted(frame: DepthFrame, distance_mm: float) -> DepthFrame:
    """The frame with everything in it moved to the right by SHIFT_MM as seen at that distance; empty at its left."""
    columns = max(1, round(SHIFT_MM * frame.intrinsics.fx / distance_mm))
    depth = np.zeros_like(frame.depth)
    depth[:, columns:] = frame.depth[:, :-columns]
    return replace(frame, depth=depth)


def seen_after(flips: Sequence[Flip], reads: Sequence[Read]) -> list[Read | None]:
    """For each flip but the last the first read that shows it, told from its pixels alone; None where none does before
    the next flip arrives.

    It shows when it differs from the last read before the flip by far more than reads differ that have no flip between
    them.
    """
    times = [read.read_s for read in reads]
    ends = [flip.arrived_s for flip in flips[1:]]
    noise = _noise(flips, reads)
    found: list[Read | None] = []
    for flip, end_s in zip(flips, ends, strict=False):
        first = bisect.bisect_right(times, flip.arrived_s)
        if first == 0:
            found.append(None)
            continue
        before = reads[first - 1].pixels
        later = (read for read in reads[first:] if read.read_s <= end_s)
        least = max(_LEAST_CHANGE, _ABOVE_NOISE * noise)
        found.append(next((read for read in later if change(before, read.pixels) >= least), None))
    return found


def change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """How far two pictures of one size are apart, mean of all values, 0 to 255; infinite when their sizes differ."""
    if before.shape != after.shape:
        return float("inf")
    return float(np.abs(before.astype(np.int16) - after).mean())


def _noise(flips: Sequence[Flip], reads: Sequence[Read]) -> float:
    """What two reads in a row differ by when the picture is at rest: the last two before each flip."""
    times = [read.read_s for read in reads]
    changes = []
    for flip in flips:
        last = bisect.bisect_right(times, flip.arrived_s) - 1
        if last >= 1:
            changes.append(change(reads[last - 1].pixels, reads[last].pixels))
    return float(np.median(changes)) if changes else 0.0
