"""Other weights, or another method, for a session that runs: made on a thread of their own, then exchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app.runtime.interfaces import FrameTracker
from app.runtime.methods import DEFAULT_METHOD, method_named
from app.runtime.session import LiveSession
from engine.runners.choose import DEFAULT_RUNNER
from engine.types import LumbricalError


@dataclass(frozen=True)
class TrackerWish:
    """weights: of a file, None for the shipped ones; method: by name; source: what is tracked, for methods that ask;
    runner: a name of RUNNERS."""

    weights: Path | None = None
    method: str = DEFAULT_METHOD
    source: str = ""
    runner: str = DEFAULT_RUNNER


MakeTracker = Callable[[TrackerWish], FrameTracker]


class TrackerChoice:
    """Tracks with the weights and the method that were chosen last. All methods belong to one thread.

    wish: what is used, or being loaded; busy: while it is loaded; trouble: why the last choice could not be used;
    changes: how often the tracker was exchanged.
    """

    def __init__(self, session: LiveSession, make: MakeTracker, wish: TrackerWish | None = None) -> None:
        self._session = session
        self._make = make
        self._used = self.wish = wish or TrackerWish()
        self._thread: threading.Thread | None = None
        self.trouble = ""
        self.changes = 0

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def choose(self, wish: TrackerWish) -> bool:
        """Load and use it, for the present source; False while another is being loaded."""
        if self.busy:
            return False
        self.wish, self.trouble = replace(wish, source=self._session.capture.spec), ""
        self._thread = threading.Thread(target=self._load, args=(self.wish,), name="lumbrical-tracker", daemon=True)
        self._thread.start()
        return True

    def follow_source(self) -> None:
        """Where the method asks whose hand it is, and another source was opened: ask again."""
        asks = method_named(self.wish.method).needs_profile
        if asks and not self.busy and self.wish.source != self._session.capture.spec:
            self.choose(self.wish)

    def _load(self, wish: TrackerWish) -> None:
        used = self._used
        try:
            self._use(wish)
        except LumbricalError as error:
            self.wish, self.trouble = used, str(error)
            if method_named(used.method).needs_profile and used.source != wish.source:
                # What tracks now holds the hand of somebody else.
                self.wish = replace(wish, method=DEFAULT_METHOD, weights=used.weights)
                self._use(self.wish)

    def _use(self, wish: TrackerWish) -> None:
        tracker = self._make(wish)
        self._used = self.wish = wish
        self._session.exchange_tracker(tracker)
        self.changes += 1
