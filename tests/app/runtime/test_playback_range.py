"""A to B: the part of a recording that is repeated; and trackers that are exchanged while it plays."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime.interfaces import CapturedFrame, FrameTracker
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from engine.sensors.playback import Playback
from engine.sensors.synthetic import SyntheticSensor
from engine.types import LumbricalError, Side
from tests.app.fakes import CAMERA, FakeTracker, wait_until

FRAMES, FPS = 60, 120.0


class _Places:
    """Notes the places in the recording of all frames that are captured."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def put(self, captured: CapturedFrame) -> bool:
        self.seen.append(captured.frame.number % FRAMES)
        return True

    def close(self) -> None:
        return


def playing(tracker: FakeTracker | None = None) -> tuple[LiveSession, _Places]:
    def open_source(_: str) -> Playback:
        return Playback(SyntheticSensor(intrinsics=CAMERA, fps=FPS, duration_s=FRAMES / FPS), loop=True)

    session = LiveSession(open_source, "recording", lambda: tracker or FakeTracker())
    places = _Places()
    session.capture.add_listener(places)
    session.start()
    assert wait_until(lambda: len(places.seen) > 3)
    return session, places


def test_the_frames_between_a_and_b_are_repeated_all_of_them() -> None:
    session, places = playing()
    try:
        session.capture.set_range(20, 26)
        assert wait_until(lambda: places.seen[-20:].count(20) >= 2)
        del places.seen[:]
        assert wait_until(lambda: len(places.seen) > 40)
        first = places.seen.index(20)
        rounds = places.seen[first : first + 28]
        assert rounds == [20, 21, 22, 23, 24, 25, 26] * 4
        status = session.capture.playback
        assert status is not None and (status.start, status.end) == (20, 26) and not status.paused
        session.capture.set_range(None, None)
        assert wait_until(lambda: 40 in places.seen)
    finally:
        assert session.stop()


def test_a_to_the_last_frame_is_repeated_without_a_loop_too() -> None:
    session, places = playing()
    try:
        session.capture.set_loop(False)
        session.capture.set_range(FRAMES - 4, FRAMES - 1)
        session.capture.seek(FRAMES - 4)
        assert wait_until(lambda: places.seen.count(FRAMES - 1) >= 3)
    finally:
        assert session.stop()


def test_while_held_frames_beyond_the_range_can_be_looked_at() -> None:
    session, places = playing()
    try:
        session.capture.set_range(10, 20)
        session.capture.pause()
        session.capture.seek(40)
        assert wait_until(lambda: places.seen[-1] == 40)
        assert not wait_until(lambda: places.seen[-1] != 40, 0.3)
    finally:
        assert session.stop()


def test_another_source_has_no_range() -> None:
    session, _ = playing()
    try:
        session.capture.set_range(5, 9)
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.end == 9)
        session.switch_source("another")
        assert wait_until(
            lambda: (
                (status := session.capture.playback) is not None
                and status.end is None
                and session.capture.opened is not None
                and session.capture.opened.spec == "another"
            )
        )
    finally:
        assert session.stop()


def test_an_exchanged_tracker_takes_over_with_side_and_smoothing() -> None:
    old, new = FakeTracker(), FakeTracker()
    session, places = playing(old)

    def make(wish: TrackerWish) -> FrameTracker:
        assert wish == TrackerWish(Path("mine"), source=session.capture.spec)
        return new

    try:
        session.set_side(Side.LEFT)
        session.set_smoothing(0.8)
        session.capture.pause()
        assert wait_until(lambda: old.smoothing == 0.8)
        choice = TrackerChoice(session, make)
        assert choice.choose(TrackerWish(Path("mine")))
        # The frame that is held is tracked again.
        assert wait_until(lambda: len(new.tracked) >= 1)
        assert new.tracked[-1] % FRAMES == places.seen[-1]
        assert (new.side, new.smoothing) == (Side.LEFT, 0.8) and choice.wish.weights == Path("mine")
        tracked = len(old.tracked)
        session.capture.play()
        assert wait_until(lambda: len(new.tracked) > 5) and len(old.tracked) == tracked
    finally:
        assert session.stop()


def test_weights_that_cannot_be_used_leave_the_others_in_place() -> None:
    tracker = FakeTracker()
    session, _ = playing(tracker)

    def make(wish: TrackerWish) -> FrameTracker:
        raise LumbricalError("weights of another version")

    try:
        choice = TrackerChoice(session, make)
        choice.choose(TrackerWish(Path("bad")))
        assert wait_until(lambda: choice.trouble == "weights of another version" and not choice.busy)
        assert choice.wish.weights is None
        before = len(tracker.tracked)
        assert wait_until(lambda: len(tracker.tracked) > before + 5)
    finally:
        assert session.stop()


def test_a_users_shape_does_not_stay_on_with_another_take() -> None:
    session, _ = playing()
    made: list[TrackerWish] = []

    def make(wish: TrackerWish) -> FrameTracker:
        if wish.method == "profile" and wish.source == "another":
            raise LumbricalError("another take does not say whose hand it shows")
        made.append(wish)
        return FakeTracker()

    try:
        choice = TrackerChoice(session, make)
        choice.choose(TrackerWish(method="profile"))
        assert wait_until(lambda: choice.changes == 1 and not choice.busy)
        choice.follow_source()
        assert not choice.busy and len(made) == 1, "the source is the same"
        session.switch_source("another")
        choice.follow_source()
        assert wait_until(lambda: choice.changes == 2 and not choice.busy)
        assert choice.wish.method == "fit" == made[-1].method and "whose hand" in choice.trouble
    finally:
        assert session.stop()


def test_only_one_set_of_weights_is_loaded_at_a_time() -> None:
    import threading

    session, _ = playing()
    go_on = threading.Event()

    def make(wish: TrackerWish) -> FrameTracker:
        go_on.wait(5)
        return FakeTracker()

    try:
        choice = TrackerChoice(session, make)
        assert choice.choose(TrackerWish(Path("one"))) and choice.busy and not choice.choose(TrackerWish(Path("two")))
        assert choice.wish.weights == Path("one")
        go_on.set()
        assert wait_until(lambda: not choice.busy)
    finally:
        go_on.set()
        assert session.stop()


@pytest.mark.parametrize("loop", [True, False])
def test_the_loop_is_told(loop: bool) -> None:
    session, _ = playing()
    try:
        session.capture.set_loop(loop)
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.loop is loop)
    finally:
        assert session.stop()
