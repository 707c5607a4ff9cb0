"""The runner that suits the machine: asked once something tracks, and again for other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.runtime.interfaces import FrameTracker
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from engine.types import LumbricalError, TrackingState
from tests.app.demo_session import demo_session
from tests.app.fakes import FakeSensor, FakeTracker, wait_until


def best(weights: Path | None) -> str:
    return "int8" if weights is None else "onnx"


@pytest.fixture
def session() -> Iterator[LiveSession]:
    session = LiveSession(lambda _: FakeSensor(), "a camera", FakeTracker)
    session.start()
    assert wait_until(lambda: session.capture.opened is not None and session.tracking.faces is not None)
    yield session
    assert session.stop()


def settle(choice: TrackerChoice, on: Callable[[], bool] = lambda: True) -> None:
    def looked() -> bool:
        choice.check_present()
        return on() and not choice.busy

    assert wait_until(looked)


def open_another(session: LiveSession, spec: str) -> Callable[[], bool]:
    session.switch_source(spec)
    return lambda: session.capture.opened is not None and session.capture.opened.spec == spec


def test_what_suits_the_machine_is_asked_for_once_and_kept_for_every_source(session: LiveSession) -> None:
    asked: list[Path | None] = []

    def ask(weights: Path | None) -> str:
        asked.append(weights)
        return best(weights)

    choice = TrackerChoice(session, lambda _: FakeTracker(), best=ask)
    assert choice.used.runner == "onnx"
    settle(choice)
    assert (choice.used.runner, choice.wish.runner, choice.changes) == ("int8", "int8", 1)
    for spec in ("another", "a camera"):
        settle(choice, open_another(session, spec))
        settle(choice)
        assert (choice.used.runner, choice.wish.runner, choice.changes) == ("int8", "int8", 1)
        assert not choice.trouble
    assert asked == [None]


def test_what_suits_may_be_what_tracks_already(session: LiveSession) -> None:
    def make(wish: TrackerWish) -> FrameTracker:
        raise AssertionError("another one was made")

    choice = TrackerChoice(session, make, best=lambda _: "onnx")
    settle(choice)
    settle(choice)
    assert (choice.used.runner, choice.changes) == ("onnx", 0) and not choice.trouble


def test_what_somebody_chose_stays_for_all_sources(session: LiveSession) -> None:
    choice = TrackerChoice(session, lambda _: FakeTracker(), best=best)
    settle(choice)
    assert choice.used.runner == "int8"
    assert choice.choose(TrackerWish(runner="torch"))
    settle(choice)
    for spec in ("another", "a camera"):
        settle(choice, open_another(session, spec))
        settle(choice)
        assert choice.used.runner == "torch"


def test_other_weights_are_run_by_what_suits_them(session: LiveSession) -> None:
    choice = TrackerChoice(session, lambda _: FakeTracker(), best=best)
    settle(choice)
    for weights, runner in ((Path("mine"), "onnx"), (None, "int8")):
        assert choice.choose(TrackerWish(weights, runner=choice.wish.runner))
        settle(choice)
        assert (choice.used.weights, choice.used.runner) == (weights, runner) and not choice.trouble


def test_where_what_tracks_first_is_off_torch_takes_its_place_for_all_weights(session: LiveSession) -> None:
    def check(wish: TrackerWish, progress: object) -> str:
        from engine.runners.verify import RunnerDiffers

        if wish.runner == "onnx":
            raise RunnerDiffers("ONNX Runtime differs from torch")
        return ""

    choice = TrackerChoice(session, lambda _: FakeTracker(), check=check, best=lambda weights: best(weights or Path()))
    settle(choice)
    assert choice.used.runner == "torch" and choice.trouble == "ONNX Runtime differs from torch (torch tracks instead)"
    choice = TrackerChoice(session, lambda _: FakeTracker(), check=check, best=best)
    settle(choice)
    for weights, runner in ((None, "int8"), (Path("mine"), "torch"), (None, "int8")):
        if weights != choice.used.weights:
            assert choice.choose(TrackerWish(weights, runner=choice.wish.runner))
            settle(choice)
        assert choice.used.runner == runner and not choice.trouble


def test_what_cannot_run_is_told_once_and_leaves_the_present_one(session: LiveSession) -> None:
    tried: list[str] = []

    def make(wish: TrackerWish) -> FrameTracker:
        tried.append(wish.runner)
        raise LumbricalError("it cannot run")

    choice = TrackerChoice(session, make, best=best)
    for spec in ("another", "a camera", "another"):
        settle(choice, open_another(session, spec))
        settle(choice)
    assert tried == ["int8"] and choice.used.runner == choice.wish.runner == "onnx"
    assert choice.trouble == "it cannot run (ONNX Runtime tracks instead)"


def test_weights_are_used_though_the_runner_that_would_suit_them_cannot_run(session: LiveSession) -> None:
    """An int8 file that was made of other weights, say."""

    def make(wish: TrackerWish) -> FrameTracker:
        if wish.weights == Path("none"):
            raise LumbricalError("there are no such weights")
        if wish.weights is not None and wish.runner == "int8":
            raise LumbricalError("it was made of others")
        return FakeTracker()

    choice = TrackerChoice(session, make, best=lambda _: "int8")
    settle(choice)
    assert choice.used == TrackerWish(None, source="a camera", runner="int8")
    assert choice.choose(TrackerWish(Path("mine"), runner="int8"))
    settle(choice)
    assert choice.used == choice.wish == TrackerWish(Path("mine"), source="a camera")
    assert choice.trouble == "it was made of others (ONNX Runtime tracks instead)"
    assert choice.choose(TrackerWish(None, runner=choice.wish.runner))
    settle(choice)
    assert choice.used == TrackerWish(None, source="a camera", runner="int8") and not choice.trouble
    assert choice.choose(TrackerWish(Path("none"), runner="int8"))
    settle(choice)
    assert choice.used == choice.wish == TrackerWish(None, source="a camera", runner="int8")
    assert choice.trouble.startswith("there are no such weights")


def test_a_runner_that_is_picked_is_kept_though_it_was_in_use_already(session: LiveSession) -> None:
    choice = TrackerChoice(session, lambda _: FakeTracker(), best=best)
    assert choice.used.runner == "onnx" and choice.choose_runner("onnx")
    settle(choice)
    settle(choice, open_another(session, "another"))
    settle(choice)
    assert choice.choose(TrackerWish(Path("mine"), runner="onnx"))
    settle(choice)
    assert choice.choose(TrackerWish(None, runner="onnx"))
    settle(choice)
    assert choice.used.runner == "onnx"


def test_whoever_replaced_the_tracker_is_told_and_his_stays(session: LiveSession) -> None:
    made: list[FakeTracker] = []

    def make(wish: TrackerWish) -> FrameTracker:
        made.append(FakeTracker())
        return made[-1]

    choice = TrackerChoice(session, make)
    told: list[tuple[str, str]] = []
    choice.changed = lambda wish: told.append((wish.runner, choice.used.runner))
    choice.replaced = lambda: True
    results = session.listen(1000)
    assert choice.choose_runner("torch")
    settle(choice)
    assert told == [("torch", "torch")] and choice.used.runner == "torch"
    assert [results.get(5.0) is not None for _ in range(10)] == 10 * [True]
    assert len(made) == 1 and made[0].tracked == []
    # Other weights take its place.
    assert choice.choose(TrackerWish(Path("mine"), runner="torch"))
    settle(choice)
    assert wait_until(lambda: len(made[1].tracked) > 3)


def test_the_hand_is_followed_on_through_an_exchange() -> None:
    """Nothing but the first frame is searched; a hand that is looked for anew would be localised again."""
    with demo_session() as demo:
        choice = demo.choice
        assert demo.tracked(5)
        for runner in ("int8", "torch"):
            assert choice.choose(TrackerWish(runner=runner))
            assert wait_until(lambda: not choice.busy, 60)
            assert choice.used.runner == runner and not choice.trouble
            assert demo.tracked(5)
        assert all(live.result.state is TrackingState.TRACKING for live in demo.seen[1:])
        assert demo.searched() == 1
        # With another method it is looked for anew.
        assert choice.choose(TrackerWish(method="encoder"))
        assert wait_until(lambda: not choice.busy, 60)
        assert demo.tracked(5)
        assert demo.searched() == 2
