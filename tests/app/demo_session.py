"""A session that tracks the demo take with the real tracker, whose runner a TrackerChoice exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.config import DEMO_SOURCE
from app.runtime.interfaces import FrameTracker, LiveResult
from app.runtime.methods import TrackerParts, method_named
from app.runtime.preloaded import PreloadedSource, load_frames
from app.runtime.session import LiveSession
from app.runtime.sources import open_recording
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from engine.types import TrackingState
from tests.app.fakes import wait_until


class DemoSession:
    """seen: the results so far, as far as they were waited for."""

    def __init__(self) -> None:
        frames = load_frames(open_recording(str(DEMO_SOURCE)), 60)
        self.session = LiveSession(lambda _: PreloadedSource(frames, 30), "demo", lambda: _make(TrackerWish()))
        self.choice = TrackerChoice(self.session, _make)
        self.seen: list[LiveResult] = []
        self._results = self.session.listen(10_000)

    def tracked(self, more: int) -> bool:
        """Whether so many more results with a hand come from now on, in time."""
        self._take()
        wanted = len(self.seen) + more

        def look() -> bool:
            self._take()
            return len(self.seen) >= wanted and self.seen[-1].result.state is TrackingState.TRACKING

        return wait_until(look, 60)

    def searched(self) -> int:
        """In how many frames the hand was looked for in the whole picture."""
        return ["localise" in live.result.stage_ms for live in self.seen].count(True)

    def _take(self) -> None:
        while (live := self._results.get(0.0)) is not None:
            self.seen.append(live)


@contextmanager
def demo_session() -> Iterator[DemoSession]:
    """It runs; it is stopped on leaving."""
    demo = DemoSession()
    demo.session.start()
    try:
        yield demo
    finally:
        assert demo.session.stop()


def _make(wish: TrackerWish) -> FrameTracker:
    return method_named(wish.method).make(TrackerParts(wish.weights, runner=wish.runner))
