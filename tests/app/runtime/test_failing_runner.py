"""A runner that fails while it tracks, as one on a GPU does after a laptop slept: what tracked at first takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from app.config import DEMO_SOURCE
from app.runtime.interfaces import FrameTracker, LiveResult
from app.runtime.methods import TrackerParts, method_named
from app.runtime.preloaded import PreloadedSource, load_frames
from app.runtime.session import LiveSession
from app.runtime.sources import open_recording
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from app.runtime.worker import WorkerState
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.choose import RUNNERS
from engine.runners.protocol import Estimate, Progress
from engine.runners.torch_runner import TorchRunner
from engine.types import DepthFrame, FloatArray, LumbricalError, TrackingResult, TrackingState
from tests.app.fakes import FakeSensor, FakeTracker, wait_until

LOST = "the GPU failed: device lost"


class Failing(FakeTracker):
    """Tracks until its GPU is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False

    def track(self, frame: DepthFrame) -> TrackingResult:
        if self.gone:
            raise LumbricalError(LOST)
        return super().track(frame)


@pytest.fixture
def session() -> Iterator[LiveSession]:
    session = LiveSession(lambda _: FakeSensor(), "camera", Failing)
    session.start()
    assert wait_until(lambda: session.capture.opened is not None and session.tracking.faces is not None)
    yield session
    assert session.stop()


class Made:
    """Makes trackers, and lets the last one's GPU fail."""

    def __init__(self) -> None:
        self.by_runner: list[str] = []
        self.last = Failing()

    def __call__(self, wish: TrackerWish) -> FrameTracker:
        self.by_runner.append(wish.runner)
        self.last = Failing()
        return self.last


def settle(choice: TrackerChoice, on: Callable[[], bool] = lambda: True) -> None:
    def looked() -> bool:
        choice.check_present()
        return on() and not choice.busy

    assert wait_until(looked)


def comes_to(choice: TrackerChoice, runner: str) -> None:
    settle(choice, lambda: choice.used.runner == runner)


def test_what_tracked_at_first_takes_over(session: LiveSession) -> None:
    made = Made()
    choice = TrackerChoice(session, made, best=lambda *_: "tensorrt")
    comes_to(choice, "tensorrt")
    results, lost = session.listen(10_000), session.statistics.snapshot().dropped
    made.last.gone = True
    comes_to(choice, "onnx")
    assert choice.wish == choice.used and choice.trouble == f"{LOST} (ONNX Runtime tracks instead)"
    assert wait_until(lambda: len(made.last.tracked) > 3) and not session.failure()
    assert session.statistics.snapshot().dropped > lost, "frames that it failed on are counted"
    assert results.get(1.0) is not None
    # It is not come back to, unless somebody asks for it.
    settle(choice)
    assert made.by_runner == ["tensorrt", "onnx"]
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    assert not choice.trouble and wait_until(lambda: len(made.last.tracked) > 3)
    made.last.gone = True
    comes_to(choice, "onnx")
    assert wait_until(lambda: len(made.last.tracked) > 3) and not session.failure()


def test_tracking_ends_where_nothing_else_is_left(session: LiveSession) -> None:
    made = Made()
    choice = TrackerChoice(session, made)
    assert choice.choose(TrackerWish(method="encoder"))
    settle(choice)
    made.last.gone = True
    assert wait_until(lambda: session.tracking.state is WorkerState.FAILED)
    assert session.failure() == f"tracking stopped: {LOST}"


def test_tracking_ends_where_what_tracked_at_first_cannot_be_made_again(session: LiveSession) -> None:
    first = Failing()

    def make(wish: TrackerWish) -> FrameTracker:
        if wish.runner == "onnx":
            raise LumbricalError("its file is gone")
        return first

    choice = TrackerChoice(session, make)
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    first.gone = True
    settle(choice, lambda: session.tracking.state is WorkerState.FAILED)
    assert session.failure() == f"tracking stopped: {LOST}"


def test_whoever_replaced_the_tracker_is_told_but_his_does_not_stay(session: LiveSession) -> None:
    """An adapted version, which the failed GPU runs as well: it comes back with the other runner."""
    made = Made()
    choice = TrackerChoice(session, made)
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    told: list[str] = []
    choice.changed = lambda wish: told.append(wish.runner)
    choice.replaced = lambda: True
    version = Failing()
    session.exchange_tracker(version)
    assert wait_until(lambda: bool(version.tracked))
    version.gone = True
    comes_to(choice, "onnx")
    assert told == ["onnx"]
    assert wait_until(lambda: len(made.last.tracked) > 3) and not session.failure()


class Fleeting:
    """A runner that fails from its tenth crop on."""

    def __init__(self, loaded: LoadedEncoder) -> None:
        self._torch = TorchRunner(loaded)
        self.name, self.version = self._torch.name, loaded.version
        self._left = 10

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        self._left -= 1
        if self._left <= 0:
            raise LumbricalError(LOST)
        return self._torch.run(crops, distances)


def test_the_hand_is_followed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_fleeting(loaded: LoadedEncoder, progress: Progress) -> Fleeting:
        return Fleeting(loaded)

    def make(wish: TrackerWish) -> FrameTracker:
        return method_named(wish.method).make(TrackerParts(wish.weights, runner=wish.runner))

    monkeypatch.setitem(RUNNERS, "tensorrt", replace(RUNNERS["tensorrt"], make=make_fleeting))
    frames = load_frames(open_recording(str(DEMO_SOURCE)), 60)
    session = LiveSession(lambda _: PreloadedSource(frames, 15), "demo", lambda: make(TrackerWish()))
    choice, results = TrackerChoice(session, make), session.listen(10_000)
    seen: list[LiveResult] = []

    def tracked(more: int) -> bool:
        wanted = len(seen) + more

        def look() -> bool:
            choice.check_present()
            while (live := results.get(0.0)) is not None:
                seen.append(live)
            return len(seen) >= wanted and seen[-1].result.state is TrackingState.TRACKING

        return wait_until(look, 60)

    session.start()
    try:
        assert tracked(5)
        assert choice.choose_runner("tensorrt")
        assert tracked(30) and not session.failure()
        assert choice.used.runner == "onnx" and choice.trouble.startswith(LOST)
        assert ["localise" in live.result.stage_ms for live in seen].count(True) == 1
    finally:
        assert session.stop()
