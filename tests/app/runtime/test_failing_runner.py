"""A runner that fails while it tracks, as one on a GPU does after a laptop slept: what tracked at first takes over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.runtime.interfaces import FrameTracker
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from app.runtime.worker import WorkerState
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.choose import RUNNERS
from engine.runners.protocol import Estimate, Progress, RunnerFailed
from engine.runners.torch_runner import TorchRunner
from engine.types import DepthFrame, FloatArray, LumbricalError, TrackingResult
from tests.app.demo_session import demo_session
from tests.app.fakes import FakeSensor, FakeTracker, wait_until

LOST = "the GPU failed: device lost"


class Failing(FakeTracker):
    """Tracks until it is told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_with: Exception | None = None

    def track(self, frame: DepthFrame) -> TrackingResult:
        if self.fails_with is not None:
            raise self.fails_with
        return super().track(frame)


@pytest.fixture
def first() -> Failing:
    """What tracks from the start."""
    return Failing()


@pytest.fixture
def session(first: Failing) -> Iterator[LiveSession]:
    session = LiveSession(lambda _: FakeSensor(), "camera", lambda: first)
    session.start()
    assert wait_until(lambda: session.capture.opened is not None and session.tracking.faces is not None)
    yield session
    assert session.stop()


class Made:
    """Makes trackers; all are kept."""

    def __init__(self) -> None:
        self.wishes: list[TrackerWish] = []
        self.last = Failing()

    def __call__(self, wish: TrackerWish) -> FrameTracker:
        self.wishes.append(wish)
        self.last = Failing()
        return self.last

    def lose_gpu(self) -> None:
        """The last one fails from the next frame on."""
        self.last.fails_with = RunnerFailed(LOST)

    def tracks(self) -> bool:
        """Whether the last one does."""
        before = len(self.last.tracked)
        return wait_until(lambda: len(self.last.tracked) > before + 2)


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
    assert made.tracks() and not choice.trouble
    lost = session.statistics.snapshot().dropped
    made.lose_gpu()
    comes_to(choice, "onnx")
    assert choice.wish == choice.used and choice.trouble == f"{LOST} (ONNX Runtime tracks instead)"
    assert made.tracks() and not session.failure()
    assert session.statistics.snapshot().dropped > lost, "frames that it failed on are counted"


def test_it_is_not_come_back_to_unless_it_is_picked(session: LiveSession) -> None:
    made = Made()
    choice = TrackerChoice(session, made, best=lambda *_: "tensorrt")
    for _ in range(2):
        comes_to(choice, "tensorrt")
        assert made.tracks() and not choice.trouble
        made.lose_gpu()
        comes_to(choice, "onnx")
        assert choice.choose(TrackerWish(Path("others")))
        settle(choice)
        settle(choice)
        assert choice.used.runner == "onnx" and made.tracks()
        assert choice.choose_runner("tensorrt")
    assert [wish.runner for wish in made.wishes[:4]] == ["tensorrt", "onnx", "onnx", "tensorrt"]


def test_the_words_are_there_at_once_and_a_build_for_the_gpu_is_given_up(session: LiveSession) -> None:
    built = threading.Event()

    def check(wish: TrackerWish, progress: Progress) -> str:
        if wish.runner == "onnx-tensorrt":
            assert wait_until(lambda: not progress(0.5), 10)
            built.set()
            raise LumbricalError("it was stopped")
        return ""

    made = Made()
    choice = TrackerChoice(session, made, check=check)
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    assert choice.choose_runner("onnx-tensorrt")
    assert made.tracks() and choice.busy
    made.lose_gpu()
    assert wait_until(lambda: choice.trouble == LOST) and built.wait(10)
    comes_to(choice, "onnx")
    assert made.tracks() and not session.failure()


def test_what_is_picked_before_anybody_looked_stays(session: LiveSession) -> None:
    made = Made()
    choice = TrackerChoice(session, made)
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    assert made.tracks()
    made.lose_gpu()
    assert wait_until(lambda: bool(session.tracking.failing))
    assert choice.choose_runner("torch")
    settle(choice)
    for _ in range(3):
        settle(choice)
    assert choice.used.runner == "torch" and made.tracks() and not choice.trouble


def test_an_adapted_version_on_the_gpu_gives_way_too_and_is_renewed(session: LiveSession) -> None:
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
    # Another runner is in use by name, but the version goes on until it was made anew.
    assert choice.choose_runner("onnx")
    comes_to(choice, "onnx")
    assert told == ["onnx"] and not made.last.tracked
    version.fails_with = RunnerFailed(LOST)
    settle(choice, lambda: len(told) == 2)
    assert told == ["onnx", "onnx"] and made.tracks() and not session.failure()


@pytest.mark.parametrize("error", [LumbricalError("its file is gone"), RuntimeError("CUDA error\nmore")])
def test_tracking_ends_where_what_tracked_at_first_cannot_be_made_again(error: Exception, session: LiveSession) -> None:
    tracker = Failing()

    def make(wish: TrackerWish) -> FrameTracker:
        if wish.runner == "onnx":
            raise error
        return tracker

    choice = TrackerChoice(session, make)
    assert choice.choose_runner("tensorrt")
    comes_to(choice, "tensorrt")
    tracker.fails_with = RunnerFailed(LOST)
    settle(choice, lambda: session.tracking.state is WorkerState.FAILED)
    assert session.failure() == f"tracking stopped: {LOST}"
    assert choice.used == choice.wish == TrackerWish(source="camera", runner="tensorrt")


def test_tracking_ends_where_nobody_exchanges_it(session: LiveSession, first: Failing) -> None:
    first.fails_with = RunnerFailed(LOST)
    assert wait_until(lambda: session.tracking.state is WorkerState.FAILED)
    assert session.failure() == f"tracking stopped: {LOST}"


def test_tracking_ends_where_it_is_not_a_gpu_that_fails(session: LiveSession, first: Failing) -> None:
    choice = TrackerChoice(session, Made())
    first.fails_with = LumbricalError("the frame is of another size")
    settle(choice, lambda: session.tracking.state is WorkerState.FAILED)
    assert session.failure() == "tracking stopped: the frame is of another size"


class Fleeting:
    """A runner that fails from its tenth run on."""

    def __init__(self, loaded: LoadedEncoder) -> None:
        self._torch = TorchRunner(loaded)
        self.name, self.version = self._torch.name, loaded.version
        self._left = 10

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        self._left -= 1
        if self._left <= 0:
            raise RunnerFailed(LOST)
        return self._torch.run(crops, distances)


def test_the_hand_is_followed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_fleeting(loaded: LoadedEncoder, progress: Progress) -> Fleeting:
        return Fleeting(loaded)

    monkeypatch.setitem(RUNNERS, "tensorrt", replace(RUNNERS["tensorrt"], make=make_fleeting))
    with demo_session() as demo:
        assert demo.tracked(5)
        assert demo.choice.choose_runner("tensorrt")
        assert wait_until(lambda: demo.session.tracking.failing == demo.choice.trouble == LOST, 60)
        comes_to(demo.choice, "onnx")
        assert demo.tracked(5) and not demo.session.failure()
        assert demo.searched() == 1
