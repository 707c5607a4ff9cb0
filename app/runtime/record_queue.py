"""What waits to be written: bounded in bytes, with what did not fit counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.runtime.interfaces import CapturedFrame, LiveResult
from engine.types import DepthFrame

#: A result without its pixels.
_RESULT_BYTES = 64 << 10
#: So much of the queue is kept for poses and events when images fill the rest.
_RESERVE = 0.1
#: What was kept from before the start may take so long to be written before it counts as late.
_CATCH_UP_S = 10.0


@dataclass(frozen=True)
class RecordedEvent:
    """An event on its way into a take."""

    kind: str
    details: Mapping[str, Any]


Item = CapturedFrame | LiveResult | RecordedEvent


@dataclass(frozen=True)
class Waiting:
    """An item of the queue; came_in_s: when it was put there (time.monotonic())."""

    item: Item
    size: int
    came_in_s: float


def item_bytes(item: Item) -> int:
    """What an item holds in memory, about."""
    if isinstance(item, CapturedFrame):
        return _frame_bytes(item.frame)
    if isinstance(item, LiveResult):
        return _RESULT_BYTES + _frame_bytes(item.result.frame)
    return _RESULT_BYTES


def _frame_bytes(frame: DepthFrame) -> int:
    return frame.depth.nbytes + (frame.color.nbytes if frame.color is not None else 0)


class RecordQueue:
    """First in, first out; a newcomer that does not fit is refused. Frames count with their pixels; results share
    theirs with the frames, except when only results are recorded (results_own_frames)."""

    def __init__(self, capacity_bytes: int, results_own_frames: bool = False) -> None:
        self.capacity_bytes = capacity_bytes
        self._results_own_frames = results_own_frames
        self._changed = threading.Condition()
        self._items: deque[Waiting] = deque()
        self._bytes = 0
        self._closed = False
        self._catch_up_until_s: float | None = None

    @property
    def waiting_bytes(self) -> int:
        """What waits, in bytes."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._items)

    def oldest_s(self) -> float | None:
        """When the oldest waiting frame arrived (time.monotonic()), or None."""
        with self._changed:
            first = self._items[0].item if self._items else None
        if isinstance(first, CapturedFrame):
            return first.frame.host_time_s
        return first.result.frame.host_time_s if isinstance(first, LiveResult) else None

    def put(self, item: Item) -> bool:
        """Append without waiting; False when it does not fit or the queue is closed."""
        shared = isinstance(item, LiveResult) and not self._results_own_frames
        size = _RESULT_BYTES if shared else item_bytes(item)
        limit = self.capacity_bytes * (1 - _RESERVE if size > _RESULT_BYTES else 1)
        with self._changed:
            # One item always fits, however large.
            if self._closed or (self._items and self._bytes + size > limit):
                return False
            self._note_caught_up()
            self._append(item, size)
            return True

    def extend(self, items: Iterable[Item]) -> None:
        """Append what was kept from before the start, and as much room: what follows must still find its own. The
        caller has bounded it."""
        with self._changed:
            for item in items:
                shared = isinstance(item, LiveResult) and not self._results_own_frames
                size = _RESULT_BYTES if shared else item_bytes(item)
                self._append(item, size)
                self.capacity_bytes += size
            self._catch_up_until_s = time.monotonic() + _CATCH_UP_S

    def _append(self, item: Item, size: int) -> None:
        self._items.append(Waiting(item, size, time.monotonic()))
        self._bytes += size
        self._changed.notify()

    def _note_caught_up(self) -> None:
        until_s = self._catch_up_until_s
        if until_s is not None and (not self._items or time.monotonic() > until_s):
            self._catch_up_until_s = None

    @property
    def catching_up(self) -> bool:
        """Whether what was kept from before the start, and what came while that was written, is still on its way."""
        return self._catch_up_until_s is not None

    def waiting_since_s(self) -> float | None:
        """When the oldest item was put here, or None."""
        with self._changed:
            return self._items[0].came_in_s if self._items else None

    def get(self, timeout_s: float) -> Waiting | None:
        """Take the oldest, waiting up to timeout_s; None then, or once closed and empty."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            if not self._items:
                return None
            waiting = self._items.popleft()
            self._bytes -= waiting.size
            return waiting

    def close(self) -> None:
        """Refuse further items and wake the reader; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class PreRoll:
    """The last seconds before a recording is started: bounded in time and in bytes. Its owner locks it."""

    def __init__(self, seconds: float, capacity_bytes: int) -> None:
        self.seconds = seconds
        self.capacity_bytes = capacity_bytes
        self._items: deque[tuple[CapturedFrame | LiveResult, float, int]] = deque()
        self._bytes = 0

    @property
    def held_s(self) -> float:
        """How far back it reaches."""
        return self._items[-1][1] - self._items[0][1] if self._items else 0.0

    def add(self, item: CapturedFrame | LiveResult) -> None:
        """Keep an item and forget what is too old or too much."""
        if self.seconds <= 0:
            return
        frame = item.frame if isinstance(item, CapturedFrame) else item.result.frame
        size = _frame_bytes(frame) if isinstance(item, CapturedFrame) else _RESULT_BYTES
        self._items.append((item, frame.host_time_s, size))
        self._bytes += size
        while self._items and (
            self._items[0][1] < frame.host_time_s - self.seconds or self._bytes > self.capacity_bytes
        ):
            self._bytes -= self._items.popleft()[2]

    def take(self) -> list[CapturedFrame | LiveResult]:
        """All of it, oldest first; it is then empty."""
        items = [item for item, _, _ in self._items]
        self.clear()
        return items

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self._bytes = 0
