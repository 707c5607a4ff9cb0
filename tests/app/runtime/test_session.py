"""Capture and tracking together: results, playback, unplugging, exchange of sources, death of a tracker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from app.runtime import preloaded
from app.runtime.interfaces import FrameSource, LiveResult
from app.runtime.preloaded import PreloadedSource, load_frames
from app.runtime.session import LiveSession
from app.runtime.worker import WorkerState
from engine.sensors.playback import Playback
from engine.sensors.protocol import BadRecording, SensorDisconnected, SensorUnavailable
from engine.sensors.realsense import QUEUE_FRAMES
from engine.sensors.synthetic import SyntheticSensor
from engine.types import DepthFrame, Intrinsics, LumbricalError, Side, TrackingResult
from tests.app.fakes import FakeSensor, FakeTracker, make_frame, wait_until

SMALL = Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5)


@contextmanager
def running(source: FrameSource, tracker: FakeTracker | None = None) -> Iterator[LiveSession]:
    session = LiveSession(lambda _: source, "first", lambda: tracker or FakeTracker())
    session.start()
    try:
        yield session
    finally:
        assert session.stop()


def recording(frames: int = 20, fps: float = 100.0, loop: bool = True) -> Playback:
    return Playback(SyntheticSensor(intrinsics=SMALL, fps=fps, duration_s=frames / fps), loop=loop)


def results_of(session: LiveSession, count: int) -> list[LiveResult]:
    queue = session.listen(1000)
    assert wait_until(lambda: len(queue) >= count)
    return [result for _ in range(count) if (result := queue.get()) is not None]


def test_frames_become_results_with_latencies() -> None:
    with running(FakeSensor()) as session:
        results = results_of(session, 10)
        numbers = [live.result.frame.number for live in results]
        assert numbers == sorted(set(numbers))
        assert all(0 <= live.latency_s < 1 for live in results)
        assert session.statistics.snapshot().results >= 10
        assert session.capture.is_live and session.trouble() == ""


def test_a_source_whose_frames_do_not_fit_its_camera_is_told_and_can_be_exchanged() -> None:
    class Cropping(FakeSensor):
        def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
            whole = make_frame()
            return replace(whole, depth=whole.depth[::2, ::2])

    sources: dict[str, FrameSource] = {"first": Cropping(), "second": FakeSensor()}
    session = LiveSession(lambda spec: sources[spec], "first", FakeTracker)
    session.start()
    try:
        assert wait_until(lambda: session.capture.state is WorkerState.WAITING)
        assert "depth is (60, 80)" in session.trouble()
        session.capture.switch_source("second")
        assert results_of(session, 1)
    finally:
        assert session.stop()


def test_settings_reach_the_tracker_between_frames() -> None:
    tracker = FakeTracker()
    with running(FakeSensor(), tracker) as session:
        session.set_smoothing(0.25)
        session.set_side(Side.LEFT)
        assert wait_until(lambda: tracker.smoothing == 0.25 and tracker.side is Side.LEFT)


def test_gaps_in_a_cameras_numbers_are_counted() -> None:
    sensor = FakeSensor()
    with running(sensor) as session:
        results_of(session, 3)
        sensor.skip = 5
        assert wait_until(lambda: session.statistics.snapshot().lost_by_sensor == 5)


def test_an_unplugged_camera_is_said_and_comes_back() -> None:
    sensor = FakeSensor()
    with running(sensor) as session:
        results_of(session, 3)
        sensor.fail_open = SensorUnavailable("no camera is attached; plug one in")
        sensor.fail_read = SensorDisconnected("the camera was unplugged; plug it in again")
        assert wait_until(lambda: session.capture.state is WorkerState.WAITING)
        assert wait_until(lambda: "plug" in session.trouble())
        assert sensor.closed == 1
        sensor.fail_open = sensor.fail_read = None
        assert wait_until(lambda: session.capture.state is WorkerState.RUNNING)
        assert session.trouble() == ""
        results_of(session, 3)


def test_stop_does_not_wait_for_the_next_attempt() -> None:
    sensor = FakeSensor()
    sensor.fail_open = SensorUnavailable("no camera is attached; plug one in")
    session = LiveSession(lambda _: sensor, "first", FakeTracker)
    session.start()
    assert wait_until(lambda: session.capture.state is WorkerState.WAITING)
    assert session.stop(timeout_s=1.0)


def test_a_bad_recording_waits_for_another_source() -> None:
    good = FakeSensor()
    attempts: list[str] = []

    def open_source(spec: str) -> FrameSource:
        attempts.append(spec)
        if spec == "bad":
            raise BadRecording("bad/sequence.json is missing; choose another folder")
        return good

    session = LiveSession(open_source, "bad", FakeTracker)
    session.start()
    try:
        assert wait_until(lambda: "missing" in session.trouble())
        assert attempts == ["bad"]
        session.switch_source("good")
        results_of(session, 3)
        assert attempts == ["bad", "good"] and session.trouble() == ""
    finally:
        assert session.stop()


def test_switching_closes_the_old_source_and_begins_a_new_track() -> None:
    first, second, tracker = FakeSensor(), FakeSensor(), FakeTracker()
    sources = {"first": first, "second": second}
    session = LiveSession(lambda spec: sources[spec], "first", lambda: tracker)
    session.start()
    try:
        before = results_of(session, 3)[-1].epoch
        resets = tracker.resets
        session.switch_source("second")
        assert wait_until(lambda: first.closed == 1 and second.opened == 1)
        assert wait_until(lambda: tracker.resets > resets)
        assert results_of(session, 3)[-1].epoch > before
    finally:
        assert session.stop()


def test_playback_pauses_steps_and_seeks() -> None:
    with running(recording()) as session:
        results_of(session, 3)
        session.capture.pause()
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.paused)
        session.capture.seek(7)
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.position == 7)
        session.capture.step_frames(2)
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.position == 9)
        session.capture.step_frames(-1)
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.position == 8)
        session.capture.set_speed(0.5)
        session.capture.play()
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.position > 9)
        assert session.capture.playback is not None and session.capture.playback.speed == 0.5


def test_a_seek_that_is_out_of_range_is_said_and_harmless() -> None:
    with running(recording()) as session:
        results_of(session, 2)
        session.capture.seek(999)
        assert wait_until(lambda: "999" in session.trouble())
        results_of(session, 2)
        assert session.capture.state is WorkerState.RUNNING


def test_each_round_of_a_loop_begins_a_new_track() -> None:
    tracker = FakeTracker()
    with running(recording(frames=5), tracker) as session:
        assert wait_until(lambda: tracker.resets >= 3)
        assert session.capture.playback is not None and session.capture.playback.frame_count == 5


def test_a_recording_that_ends_rests_and_plays_again() -> None:
    with running(recording(frames=5, loop=False)) as session:
        assert wait_until(lambda: session.capture.playback is not None and session.capture.playback.ended)
        tracked = session.statistics.snapshot().results
        session.capture.play()
        assert wait_until(lambda: session.statistics.snapshot().results > tracked)


def test_a_tracker_that_dies_is_said_with_its_traceback() -> None:
    class Dying(FakeTracker):
        def track(self, frame: DepthFrame) -> TrackingResult:
            raise ValueError("matrix is singular")

    with running(FakeSensor(), Dying()) as session:
        assert wait_until(lambda: session.tracking.state is WorkerState.FAILED)
        assert "singular" in session.trouble()
        assert "in track" in (session.tracking.traceback or "")
        assert session.results.closed


def test_a_tracker_that_cannot_be_made_is_said_in_one_line() -> None:
    def make() -> FakeTracker:
        raise LumbricalError("the weights are missing; run make")

    session = LiveSession(lambda _: FakeSensor(), "first", make)
    session.start()
    assert wait_until(lambda: "the weights are missing" in session.trouble())
    assert session.stop()


def test_a_slow_listener_loses_frames_but_not_the_session() -> None:
    with running(FakeSensor()) as session:
        slow = session.listen(2)
        assert wait_until(lambda: slow.dropped > 3)
        assert len(slow) == 2
        results_of(session, 3)


def test_preloaded_frames_come_at_their_rate_each_with_its_own_pixels() -> None:
    frames = load_frames(recording(frames=4), limit=10)
    source = PreloadedSource(frames[:3], fps=200.0)
    source.open()
    read = [frame for _ in range(6) if (frame := source.read(0.5)) is not None]
    times = [frame.host_time_s for frame in read]
    assert times[-1] - times[0] >= 0.9 * 5 / 200
    assert read[0].depth is not frames[0].depth
    assert [frame.number for frame in read] == sorted({frame.number for frame in read})


class Clock:
    """In the place of the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_preloaded_frames_wait_for_a_late_reader_and_older_ones_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the queue that a RealSense is read from; stamped when they came, not when they were read."""
    clock = Clock()
    monkeypatch.setattr(preloaded, "time", clock)
    source = PreloadedSource([make_frame()], fps=50.0)
    source.open()
    clock.sleep(0.05)  # frames 0, 1 and 2 have come
    came = [source.read(0.2) for _ in range(4)]
    assert [frame is not None and frame.number for frame in came] == [0, 1, 2, 3]
    assert clock.now_s == pytest.approx(100.06)
    clock.sleep(0.21)  # and up to 13
    late = [frame for _ in range(QUEUE_FRAMES) if (frame := source.read(0.0)) is not None]
    assert [frame.number for frame in late] == [11, 12, 13]
    assert [frame.host_time_s for frame in late] == pytest.approx([100.22, 100.24, 100.26])
    assert source.read(0.005) is None and clock.now_s == pytest.approx(100.275)


def test_nothing_to_preload_is_said() -> None:
    with pytest.raises(LumbricalError, match="no frames"):
        PreloadedSource([], 30.0)
    assert PreloadedSource([make_frame()], 30.0).fps == 30.0
