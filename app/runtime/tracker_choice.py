"""Other weights, or another method, for a session that runs: made on a thread of their own, then exchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from app.runtime.interfaces import FrameTracker
from app.runtime.session import LiveSession
from engine.types import LumbricalError

MakeTracker = Callable[[Path | None], FrameTracker]


class TrackerChoice:
    """Tracks with the weights of a file (None: the shipped ones). All methods belong to one thread.

    weights: what is used, or being loaded; busy: while it is loaded; trouble: why the last choice could not be used.
    """

    def __init__(self, session: LiveSession, make: MakeTracker, weights: Path | None = None) -> None:
        self._session = session
        self._make = make
        self._used = self.weights = weights
        self._thread: threading.Thread | None = None
        self.trouble = ""

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def choose(self, weights: Path | None) -> bool:
        """Load and use them; False while others are being loaded."""
        if self.busy:
            return False
        self.weights, self.trouble = weights, ""
        self._thread = threading.Thread(target=self._load, args=(weights,), name="lumbrical-weights", daemon=True)
        self._thread.start()
        return True

    def _load(self, weights: Path | None) -> None:
        try:
            tracker = self._make(weights)
        except LumbricalError as error:
            self.weights, self.trouble = self._used, str(error)
            return
        self._used = weights
        self._session.exchange_tracker(tracker)
