"""A bounded first-in first-out hand-off that drops, and counts, what does not fit."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class DropQueue(Generic[T]):
    """For listeners that want every value but must never hold up the thread that makes them, such as a recorder.

    When full, the newcomer is dropped, so that what was kept has its gap in one place.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.capacity = capacity
        self._changed = threading.Condition()
        self._values: deque[T] = deque()
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many values did not fit."""
        with self._changed:
            return self._dropped

    def __len__(self) -> int:
        with self._changed:
            return len(self._values)

    def put(self, value: T) -> bool:
        """Append without waiting; False when it was full (counted) or closed."""
        with self._changed:
            if self._closed:
                return False
            if len(self._values) >= self.capacity:
                self._dropped += 1
                return False
            self._values.append(value)
            self._changed.notify()
            return True

    def get(self, timeout_s: float | None = 0.0) -> T | None:
        """Take the oldest value, waiting up to timeout_s (None: for ever); None then, or once closed and empty."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._values and not self._closed:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            return self._values.popleft() if self._values else None

    def close(self) -> None:
        """Refuse further values and wake all waiters; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
