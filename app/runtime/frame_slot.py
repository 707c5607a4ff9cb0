"""The hand-off from capture to tracking: the newest frame, and after a rare stall the ones before it."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from app.runtime.slot import LatestSlot

T = TypeVar("T")

#: A frame that finds the tracker waiting earns one, one that finds it at work costs so many: late for more than one
#: frame in four it has little to spare, and what waits would wait long.
LATE = 3
#: What it takes for frames to wait: five seconds at 90 a second in which the tracker waited for all of them.
PRICE = 450
#: Frames may wait while so many more come: half a second, as a core that is slow for a moment is for less.
GRACE = 45
#: At most so many wait before the newest one: eight are a stall of 100 ms, which is made good within the grace.
SPARE = 8


class FrameSlot(LatestSlot[T]):
    """A LatestSlot in which values that would be replaced wait their turn, if their taker is late only now and then.

    A tracker that is faster than its camera makes good a pause of the system's within a few frames, and each frame
    that it skips is a gap in takes and in the smoothing of poses. One that hardly keeps up, or does not, never would,
    and all its results would be older. So values wait for `grace` puts at most, and that has to be earned by `price`
    values that found the taker waiting, where each that did not takes `late` away; twice as much can be saved up. At
    any other time put replaces, as in a LatestSlot.
    """

    def __init__(self, price: int = PRICE, late: int = LATE, grace: int = GRACE, spare: int = SPARE) -> None:
        super().__init__()
        self._price = price
        self._late = late
        self._grace = grace
        self._spare = spare
        self._waiting: deque[T] = deque()
        self._taker_waits = False
        self._earned = 0
        self._grace_left = 0

    @property
    def catching_up(self) -> bool:
        """Whether values wait before the newest one: its taker has more to do than it can, for a moment."""
        with self._changed:
            return bool(self._waiting)

    def put(self, value: T) -> bool:
        """Offer a value, never waiting. False when the slot is closed and the value was refused."""
        with self._changed:
            if not self._closed:
                self._make_room()
            return super().put(value)

    def get(self, timeout_s: float | None = 0.0) -> T | None:
        """Take the oldest value inside, waiting up to timeout_s (None: for ever) for one; None then."""
        with self._changed:
            self._taker_waits = self._value is None
            return self._waiting.popleft() if self._waiting else super().get(timeout_s)

    def clear(self) -> None:
        """Forget the values inside, uncounted: they belong to a source that is gone."""
        with self._changed:
            self._waiting.clear()
            super().clear()

    def _make_room(self) -> None:
        """Let the value inside wait, if there is one and it may."""
        self._grace_left = max(0, self._grace_left - 1)
        if self._taker_waits:
            self._earned = min(2 * self._price, self._earned + 1)
        elif not self._grace_left:
            self._earned = max(0, self._earned - self._late)
        self._taker_waits = False
        if self._value is None:
            return
        if not self._grace_left and self._earned >= self._price:
            self._earned -= self._price
            self._grace_left = self._grace
        if self._grace_left and len(self._waiting) < self._spare:
            self._waiting.append(self._value)
            self._value = None
