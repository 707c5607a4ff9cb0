"""A hand-off between two threads where only the newest value matters."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds one value; putting another replaces it and counts the one nobody took.

    Any number of threads may put and get. close() wakes every waiter for good; a value inside can still be taken.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._overwritten = 0
        self._closed = False

    @property
    def overwritten(self) -> int:
        """How many values were replaced before anybody took them."""
        with self._changed:
            return self._overwritten

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        with self._changed:
            return self._closed

    def put(self, value: T) -> bool:
        """Offer a value, never waiting. False when the slot is closed and the value was refused."""
        with self._changed:
            if self._closed:
                return False
            if self._value is not None:
                self._overwritten += 1
            self._value = value
            self._changed.notify()
            return True

    def get(self, timeout_s: float | None = 0.0) -> T | None:
        """Take the newest value, waiting up to timeout_s (None: for ever); None then, or once closed and empty."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._value is None and not self._closed:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            value, self._value = self._value, None
            return value

    def clear(self) -> None:
        """Forget the value inside, uncounted: it belongs to a source that is gone."""
        with self._changed:
            self._value = None

    def close(self) -> None:
        """Refuse further values and wake all waiters."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
