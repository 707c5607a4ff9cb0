"""The app survives a camera that misbehaves: told in words, tracked again within a second, nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from app.benches.shared_memory import nameless_blocks
from app.config import Isolated, TrackingConfig
from app.runtime import sources
from app.runtime.drop_queue import DropQueue
from app.runtime.frame_watch import DUPLICATES, EMPTY, HALF, LATE, LOSSES
from app.runtime.interfaces import FrameSource, FrameTracker, LiveResult
from app.runtime.recorder import Recorder, RecorderState
from app.runtime.recording import RecorderConfig
from app.runtime.session import LiveSession
from app.runtime.tracker_factory import make_tracker
from app.runtime.worker import WorkerState
from engine.sensors import faulty as faulty_module
from engine.sensors.faults import Fault, FaultControl
from engine.sensors.faulty import USB2_WARNING, control_of
from engine.sensors.isolated import IsolatedSensor
from engine.sensors.protocol import EndOfStream
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.takes.source import TakeSource
from engine.takes.writer import WriterConfig
from engine.types import DepthFrame, LumbricalError, TrackingState
from tests.app.fakes import FakeSensor, FakeTracker, make_frame, wait_until
from tests.sensors.faulty_cameras import faulty

#: What the issue asks for, on the app's own clock.
RESUMED_S, EXIT_S = 1.0, 2.0
FOR_EVER_S = 600.0
PATIENCE_S = 20.0
#: What the window says of each fault, as far as it is on for ever.
WORDS: dict[Fault, str] = {
    Fault.UNPLUG: "plug",
    Fault.STALL: "sends no pictures",
    Fault.USB2: USB2_WARNING,
    Fault.CLOCK_AHEAD: "clock jumped 100 s ahead",
    Fault.CLOCK_BACK: "clock jumped 100 s back",
    Fault.DUPLICATE: DUPLICATES,
    Fault.REORDER: LATE,
    Fault.HALF: HALF,
    Fault.ZERO: EMPTY,
    Fault.RESIZE: "picture is 32 x 24 now",
    Fault.DROP: LOSSES,
    Fault.HANG: "does not answer",
    Fault.HANG_OPEN: "is lost",
}
HANGS = (Fault.HANG, Fault.HANG_OPEN)


@dataclass(frozen=True)
class Left:
    """What could leak."""

    threads: int
    files: int
    memory: frozenset[str]
    blocks: int
    children: int


def left() -> Left:
    return Left(
        threading.active_count(),
        len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0,
        frozenset(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else frozenset(),
        nameless_blocks(),
        len(multiprocessing.active_children()),
    )


def nothing_more_than(before: Left) -> bool:
    now = left()
    return (
        now.threads <= before.threads
        and now.files <= before.files
        and now.memory <= before.memory
        and now.blocks <= before.blocks
        and now.children <= before.children
    )


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """What multiprocessing starts once and keeps is no leak."""
    sensor = IsolatedSensor(partial(faulty, FaultControl()))
    sensor.open()
    sensor.close()


@contextmanager
def live(make: Callable[[], FrameSource], tracker: Callable[[], FrameTracker] = FakeTracker) -> Iterator[LiveSession]:
    """A session that tracks; nothing may be left of it."""
    before = left()
    session = LiveSession(lambda _: make(), "camera", tracker)
    results = session.listen(10)
    session.start()
    try:
        assert tracked(results, 0.0) is not None, session.trouble()
        yield session
    finally:
        began_s = time.monotonic()
        assert session.stop()
        assert time.monotonic() - began_s < EXIT_S
    assert wait_until(lambda: nothing_more_than(before), PATIENCE_S), (before, left())


def tracked(results: DropQueue[LiveResult], after_s: float) -> LiveResult | None:
    """The first result with a hand of a frame that came after a moment."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = results.get(0.2)
        if (
            found is not None
            and found.result.state is TrackingState.TRACKING
            and found.result.frame.host_time_s > after_s
        ):
            return found
    return None


class FirstFrame:
    """Listens to capture for the first frame that is good again."""

    def __init__(self, after_s: float) -> None:
        self.after_s, self.at_s = after_s, 0.0

    def put(self, captured: object) -> bool:
        frame: DepthFrame = getattr(captured, "frame")  # noqa: B009
        if not self.at_s and frame.host_time_s > self.after_s:
            self.at_s = frame.host_time_s
        return True

    def close(self) -> None:
        pass


def said(session: LiveSession) -> str:
    """All that the window may show."""
    return "\n".join((session.trouble(), *session.capture.warnings))


def recovers(session: LiveSession, control: FaultControl) -> None:
    """Switch the faults off: a hand is tracked within a second of the first good frame."""
    assert 0 < resuming_s(session, control) <= RESUMED_S
    assert session.capture.state is WorkerState.RUNNING and session.trouble() == ""


def resuming_s(session: LiveSession, control: FaultControl) -> float:
    """Switch the faults off: how long from the first good frame to a result with a hand."""
    control.clear()
    now_s = time.monotonic()
    first, results = FirstFrame(now_s), session.listen(1000)
    session.capture.add_listener(first)
    result = tracked(results, now_s)
    assert result is not None, f"no tracking: {session.capture.state} {said(session)}"
    session.capture.remove_listener(first)
    session.tracking.remove_listener(results)
    return result.finished_s - first.at_s


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in HANGS])
def test_a_fault_is_told_and_survived(fault: Fault) -> None:
    control = FaultControl()
    tracker = FakeTracker()
    with live(partial(faulty, control), lambda: tracker) as session:
        resets = tracker.resets
        control.inject(fault, FOR_EVER_S)
        assert wait_until(lambda: WORDS[fault] in said(session), PATIENCE_S), said(session)
        if fault in (Fault.UNPLUG, Fault.STALL):
            assert session.capture.state is WorkerState.WAITING
        recovers(session, control)
        if fault in (Fault.CLOCK_AHEAD, Fault.CLOCK_BACK, Fault.RESIZE, Fault.UNPLUG):
            assert tracker.resets > resets, "the old track must not go on"


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_OPEN, Fault.UNPLUG, Fault.RESIZE])
def test_in_a_process_of_its_own_a_camera_is_told_and_survived(fault: Fault) -> None:
    control = FaultControl()
    with live(lambda: IsolatedSensor(partial(faulty, control), open_s=5.0)) as session:
        control.inject(fault, FOR_EVER_S)
        assert wait_until(lambda: WORDS[fault] in said(session), PATIENCE_S), said(session)
        recovers(session, control)


def test_a_stalled_camera_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runtime.driver_guard.SILENCE_TOLD_S", 0.1)
    monkeypatch.setattr("app.runtime.driver_guard.SILENCE_ENDED_S", 0.4)
    control = FaultControl()
    made: list[FrameSource] = []

    def make() -> FrameSource:
        made.append(faulty(control))
        return made[-1]

    with live(make) as session:
        control.inject(Fault.STALL, FOR_EVER_S)
        assert wait_until(lambda: len(made) > 2, PATIENCE_S)
        assert "sends no pictures: plug it in again" in session.trouble()
        recovers(session, control)


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("fault", [*HANGS, Fault.STALL, Fault.UNPLUG, None])
def test_the_end_comes_within_two_seconds_from_every_state(fault: Fault | None, isolated: bool) -> None:
    control = FaultControl()
    before = left()
    if fault is not None:
        control.inject(fault, FOR_EVER_S)
    sensor = IsolatedSensor(partial(faulty, control), hang_s=FOR_EVER_S) if isolated else faulty(control)
    session = LiveSession(lambda _: sensor, "camera", FakeTracker)
    session.start()
    if isolated and fault in (Fault.HANG, Fault.STALL, None):
        assert wait_until(lambda: session.capture.opened is not None, PATIENCE_S)
    time.sleep(0.3)
    began_s = time.monotonic()
    ended = session.stop()
    assert time.monotonic() - began_s < EXIT_S
    # Only a driver in this process that hangs cannot be ended; its thread holds up no exit.
    assert ended or (fault in HANGS and not isolated)
    sensor.close()
    assert wait_until(lambda: nothing_more_than(before), PATIENCE_S), (before, left())


def test_a_driver_that_hangs_in_this_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runtime.driver_guard.HANG_TOLD_S", 0.3)
    control = FaultControl()
    made: list[FrameSource] = []

    def make() -> FrameSource:
        made.append(faulty(control))
        return made[-1]

    with live(make) as session:
        control.inject(Fault.HANG, FOR_EVER_S)
        assert wait_until(lambda: "does not return" in session.trouble(), PATIENCE_S)
        control.clear()
        made[0].close()  # the user unplugs it, and its driver returns
        assert wait_until(lambda: session.trouble() == "" and session.capture.state is WorkerState.RUNNING, PATIENCE_S)


def test_another_source_is_chosen_while_a_camera_hangs() -> None:
    control = FaultControl()
    control.inject(Fault.HANG_OPEN, FOR_EVER_S)
    hanging, good = IsolatedSensor(partial(faulty, control)), FakeSensor()
    session = LiveSession(lambda spec: hanging if spec == "camera" else good, "camera", FakeTracker)
    session.start()
    try:
        time.sleep(0.3)
        session.switch_source("good")
        assert wait_until(lambda: good.opened == 1 and session.trouble() == "", 10.0)
    finally:
        assert session.stop()
    assert hanging.process_id is None


def test_a_camera_that_fails_of_anything_is_tried_again() -> None:
    sensor = FakeSensor()
    with live(lambda: sensor) as session:
        sensor.fail_read = LumbricalError("frame 3: its depth is nonsense")
        assert wait_until(lambda: "nonsense" in session.trouble() and sensor.opened > 1, PATIENCE_S)
        sensor.fail_read = None
        assert wait_until(lambda: session.trouble() == "" and session.capture.state is WorkerState.RUNNING)


def test_a_camera_that_counts_anew_goes_on() -> None:
    sensor = FakeSensor()
    with live(lambda: sensor) as session:
        assert wait_until(lambda: sensor.number > 20)
        sensor.number = 0
        results = session.listen(100)
        assert wait_until(lambda: len(results) > 5, 10.0)


def test_the_real_tracker_finds_the_hand_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty_module, "_controls", {})
    spec = "faulty::demo"
    opener = partial(sources.open_source, spec, isolated=Isolated.NONE)
    # Made before files are counted: what its libraries keep open is no leak.
    tracker, control = make_tracker(TrackingConfig(threads=1)), control_of(spec)
    with live(opener, lambda: tracker) as session:
        for fault in (Fault.UNPLUG, Fault.CLOCK_AHEAD, Fault.HALF, Fault.ZERO, Fault.RESIZE, Fault.REORDER):
            # A machine that does other things too may take longer once, but not each time.
            times: list[float] = []
            while len(times) < 4 and not (times and times[-1] <= RESUMED_S):
                times.append(_resumed(session, control, fault))
            assert times[-1] <= RESUMED_S, (fault, times)


def _resumed(session: LiveSession, control: FaultControl, fault: Fault) -> float:
    control.inject(fault, FOR_EVER_S)
    time.sleep(0.5)
    return resuming_s(session, control)


def test_cameras_are_isolated_and_recordings_are_not(tmp_path: Path) -> None:
    assert isinstance(sources.open_source("realsense"), IsolatedSensor)
    assert isinstance(sources.open_source("faulty:drop:demo"), IsolatedSensor)
    assert not isinstance(sources.open_source("synthetic"), IsolatedSensor)
    assert not isinstance(sources.open_source("realsense", Isolated.NONE), IsolatedSensor)
    demo = sources.open_source("demo", Isolated.ALL)
    demo.open()
    try:
        assert wait_until(lambda: demo.read(0.2) is not None, PATIENCE_S) and demo.frame_count == 316
    finally:
        demo.close()


@pytest.mark.parametrize(
    "fault", [Fault.RESIZE, Fault.CLOCK_AHEAD, Fault.CLOCK_BACK, Fault.DUPLICATE, Fault.REORDER, Fault.UNPLUG]
)
def test_takes_of_a_camera_that_misbehaves_open(fault: Fault, tmp_path: Path) -> None:
    control = FaultControl()
    with live(partial(faulty, control)) as session:
        recorder = Recorder(RecorderConfig(writer=WriterConfig(chunk_bytes=20_000, min_free_bytes=0)))
        recorder.attach(session)
        path = recorder.start(tmp_path, TakeInfo(name=fault.value, fps=60))
        assert wait_until(lambda: recorder.status().frames_written > 10, PATIENCE_S)
        control.inject(fault, FOR_EVER_S)
        assert wait_until(lambda: WORDS[fault] in said(session), PATIENCE_S)
        if fault is Fault.RESIZE:
            assert wait_until(lambda: recorder.status().state is RecorderState.IDLE, PATIENCE_S)
            assert "start another" in recorder.status().message
        recovers(session, control)
        receipt = recorder.stop()
    assert receipt is not None and receipt.frames_received == receipt.frames_written + receipt.frames_dropped
    with Take(path) as take:
        assert take.complete and not take.damage
        frames = list(take.frames())
        assert len(frames) == receipt.frames_written > 10 and len(take.poses()) > 5
    keys = [(frame.epoch, frame.number) for frame in frames]
    assert keys == sorted(set(keys)), "frames come once, and in order"
    played = 0
    with TakeSource(path) as source:
        try:
            while source.read(1.0) is not None:
                played += 1
        except EndOfStream:
            pass
    assert played == len(frames)


def test_words_of_a_camera_go_when_another_source_is_chosen() -> None:
    control, other = FaultControl(), FakeSensor()
    session = LiveSession(lambda spec: faulty(control) if spec == "camera" else other, "camera", FakeTracker)
    session.start()
    try:
        control.inject(Fault.ZERO, FOR_EVER_S)
        assert wait_until(lambda: EMPTY in said(session), PATIENCE_S)
        session.switch_source("good")
        assert wait_until(lambda: other.opened == 1 and said(session).strip() == "", PATIENCE_S)
    finally:
        assert session.stop()


def test_the_frames_of_a_good_camera_are_all_good() -> None:
    from app.runtime.frame_watch import FrameWatch, Seen

    now_s = [0.0]
    watch = FrameWatch(clock=lambda: now_s[0])
    for number in range(300):
        now_s[0] = number / 30
        assert watch.look(make_frame(number, host_time_s=now_s[0])) is Seen.GOOD
    assert watch.notices() == () and watch.left_out == 0
