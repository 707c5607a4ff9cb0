"""The recorder: nothing is lost without being counted, whatever the disk, the source or the user does."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.opcode import Opcode

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.record_queue import PreRoll, RecordQueue
from app.runtime.recorder import Recorder, RecorderState
from app.runtime.recording import NO_HAND, NOT_TRACKED, TIME_OVER, TOO_SLOW, RecorderConfig
from app.runtime.session import LiveSession
from engine.takes.container import Buffer, Container
from engine.takes.facts import DiskFull, TakeError, TakeInfo
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import DepthFrame, Intrinsics
from tests.app.fakes import FakeSensor, FakeTracker, wait_until
from tests.takes.make import make_frame, make_result

WRITER = WriterConfig(chunk_bytes=20_000, min_free_bytes=0)
CONFIG = RecorderConfig(writer=WRITER)


def _feed(recorder: Recorder, numbers: range, epoch: int = 0, pause_s: float = 0.0) -> None:
    for number in numbers:
        frame = make_frame(number)
        recorder.put_frame(CapturedFrame(frame, epoch))
        recorder.put_result(LiveResult(make_result(frame, number % 3 != 2), epoch, time.monotonic(), 0.01))
        time.sleep(pause_s)


def test_what_is_put_is_in_the_take(tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    assert recorder.status().state is RecorderState.IDLE and recorder.stop() is None
    path = recorder.start(tmp_path / "takes", TakeInfo(name="wave"))
    assert path.name.endswith("_wave.mcap")
    _feed(recorder, range(40))
    assert recorder.put_event("marker", {"text": "here"})
    assert wait_until(lambda: recorder.status().frames_written == 40)
    status = recorder.status()
    assert status.state is RecorderState.RECORDING and status.frames_received == 40 and status.size_bytes > 40 * 2000
    assert status.disk_left_bytes is not None and status.elapsed_s > 0 and not status.message
    receipt = recorder.stop()
    assert receipt is not None and (receipt.frames_received, receipt.frames_written) == (40, 40)
    assert receipt.poses_written == 40 and receipt.reason == "stopped"
    status = recorder.status()
    assert status.state is RecorderState.IDLE and status.receipt == receipt and status.path == path
    with Take(path) as take:
        assert take.complete and [taken.number for taken in take.frames()] == list(range(40))
        assert take.poses().frame.tolist() == list(range(40)) and take.events()[0].kind == "marker"


def test_the_seconds_before_the_start_are_taken_along(tmp_path: Path) -> None:
    recorder = Recorder(RecorderConfig(preroll_s=0.3, writer=WRITER))
    _feed(recorder, range(0, 20), pause_s=0.03)
    assert 0.2 < recorder.status().preroll_s <= 0.3
    path = recorder.start(tmp_path, TakeInfo())
    _feed(recorder, range(20, 25))
    receipt = recorder.stop()
    assert receipt is not None and receipt.frames_dropped == 0
    with Take(path) as take:
        numbers = [taken.number for taken in take.frames()]
        assert numbers == list(range(numbers[0], 25)) and 9 <= numbers[0] <= 17
        assert len(take.poses()) == len(numbers)
    assert recorder.status().preroll_s == 0
    second = recorder.start(tmp_path, TakeInfo(), preroll=False)
    recorder.stop()
    with Take(second) as take:
        assert take.frame_count == 0


def test_the_preroll_is_bounded_in_bytes() -> None:
    kept = PreRoll(60.0, 10 * make_frame(0).depth.nbytes)
    for number in range(50):
        kept.add(CapturedFrame(make_frame(number), 0))
    items = kept.take()
    assert [item.frame.number for item in items if isinstance(item, CapturedFrame)] == list(range(40, 50))
    assert kept.take() == []


def _slow_disk(monkeypatch: pytest.MonkeyPatch, bytes_per_s: float) -> None:
    append = Container._append

    def slow(self: Container, pieces: Sequence[Buffer]) -> None:
        time.sleep(sum(map(len, pieces)) / bytes_per_s)
        append(self, pieces)

    monkeypatch.setattr(Container, "_append", slow)


def test_a_slow_disk_costs_frames_that_are_counted_and_no_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _slow_disk(monkeypatch, 400_000)
    capacity = 200_000
    recorder = Recorder(RecorderConfig(queue_bytes=capacity, writer=WRITER))
    path = recorder.start(tmp_path, TakeInfo())
    assert recorder._active is not None
    queue, most_waiting, backlog_s = recorder._active.queue, 0, 0.0
    refused = 0
    for number in range(400):
        refused += not recorder.put_frame(CapturedFrame(make_frame(number), 0))
        most_waiting = max(most_waiting, queue.waiting_bytes)
        backlog_s = max(backlog_s, recorder.status().backlog_s)
        time.sleep(0.002)
    assert refused > 50 and most_waiting <= capacity
    assert 0.02 < backlog_s < 2
    assert recorder.status().dropped[TOO_SLOW] == refused
    # Also a take that is cut off here tells of it.
    with Take(path.with_name(path.name.replace(".mcap", ".part.mcap"))) as take:
        assert take.receipt().dropped[TOO_SLOW] > 0
    receipt = recorder.stop()
    assert receipt is not None and receipt.dropped == {TOO_SLOW: refused}
    assert receipt.frames_received == 400 == receipt.frames_written + refused
    with Take(path) as take:
        assert take.complete and take.frame_count == 400 - refused


def test_closing_does_not_take_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder(RecorderConfig(drain_s=0.2, writer=WRITER))
    path = recorder.start(tmp_path, TakeInfo())
    _slow_disk(monkeypatch, 200_000)
    for number in range(300):
        recorder.put_frame(CapturedFrame(make_frame(number), 0))
    start_s = time.monotonic()
    receipt = recorder.stop()
    assert time.monotonic() - start_s < 3
    assert receipt is not None and receipt.dropped[TOO_SLOW] > 100
    assert receipt.frames_received == 300 == receipt.frames_written + receipt.frames_dropped
    with Take(path) as take:
        assert take.complete


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_ends_the_take(code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    append = Container._append

    def failing(self: Container, pieces: Sequence[Buffer]) -> None:
        # Data is refused from here on, the end of the file is not: chunks made room for it.
        if self.size > 100_000 and pieces[0][0] == Opcode.CHUNK:
            raise OSError(code, "refused")
        append(self, pieces)

    monkeypatch.setattr(Container, "_append", failing)
    recorder = Recorder(CONFIG)
    path = recorder.start(tmp_path, TakeInfo())
    for number in range(100):
        recorder.put_frame(CapturedFrame(make_frame(number), 0))
        time.sleep(0.002)
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    status = recorder.status()
    assert status.message and "\n" not in status.message
    monkeypatch.undo()
    if status.receipt is not None:
        receipt = status.receipt
        assert receipt.frames_received == receipt.frames_written + receipt.frames_dropped
        with Take(path) as take:
            assert take.complete and take.frame_count == receipt.frames_written > 0


def test_a_nearly_full_disk_ends_the_take_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    path = recorder.start(tmp_path, TakeInfo())
    assert recorder._active is not None
    _feed(recorder, range(10))
    assert wait_until(lambda: recorder.status().frames_written >= 8)

    def full(self: TakeWriter) -> None:
        raise DiskFull("the disk has 3 MB left: make room or record elsewhere")

    monkeypatch.setattr(TakeWriter, "_check_space", full)
    _feed(recorder, range(10, 40), pause_s=0.005)
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    status = recorder.status()
    assert "make room" in status.message and status.receipt is not None
    assert status.receipt.reason == "the disk is nearly full"
    assert status.receipt.frames_received == status.receipt.frames_written + status.receipt.frames_dropped
    with Take(path) as take:
        assert take.complete and take.frame_count == status.receipt.frames_written >= 10


def test_the_time_can_be_limited(tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    recorder.start(tmp_path, TakeInfo(), seconds=0.2)
    with pytest.raises(TakeError, match="already"):
        recorder.start(tmp_path, TakeInfo())
    _feed(recorder, range(10))
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    receipt = recorder.status().receipt
    assert receipt is not None and receipt.reason == TIME_OVER and receipt.frames_written == 10


def test_gaps_in_the_cameras_numbers_are_told(tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    recorder.start(tmp_path, TakeInfo())
    for number, epoch in ((0, 0), (1, 0), (5, 0), (6, 0), (3, 1), (4, 1)):
        recorder.put_frame(CapturedFrame(make_frame(number), epoch))
    receipt = recorder.stop()
    assert receipt is not None and receipt.camera_gaps == 3 and receipt.frames_dropped == 0
    assert "3 never came from the camera" in receipt.sentence()


def test_another_camera_ends_the_take(tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    recorder.start(tmp_path, TakeInfo())
    _feed(recorder, range(5))
    other = make_frame(5, camera=Intrinsics(32, 24, 24.0, 24.0, 16.0, 12.0))
    recorder.put_frame(CapturedFrame(other, 1))
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    status = recorder.status()
    assert "start another" in status.message and status.receipt is not None
    assert status.receipt.frames_written == 5 and status.receipt.dropped == {"another camera or resolution": 1}


def test_a_take_of_the_hand_only(tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    path = recorder.start(tmp_path, TakeInfo(hand_only=True))
    for number in range(30):
        frame = make_frame(number)
        recorder.put_frame(CapturedFrame(frame, 0))
        if number % 2 == 0:  # the tracker passes over the others
            recorder.put_result(LiveResult(make_result(frame, number % 3 != 0), 0, time.monotonic(), 0.01))
    receipt = recorder.stop()
    assert receipt is not None
    assert receipt.frames_received == 30 and receipt.frames_written == 10
    assert receipt.dropped == {NO_HAND: 5, NOT_TRACKED: 15}
    assert receipt.full_size_bytes > receipt.size_bytes
    with Take(path) as take:
        assert take.info.hand_only
        for taken in take.frames():
            whole, kept = make_frame(taken.number).depth, taken.frame.depth
            assert taken.number % 2 == 0 and taken.number % 3 != 0
            assert 0 < (kept > 0).sum() < 0.9 * (whole > 0).sum()
            assert np.array_equal(kept[kept > 0], whole[kept > 0])


def test_a_failure_of_the_program_still_closes_the_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder(CONFIG)
    path = recorder.start(tmp_path, TakeInfo())
    _feed(recorder, range(10))
    assert wait_until(lambda: recorder.status().frames_written >= 8)

    def broken(self: TakeWriter, frame: DepthFrame, epoch: int = 0, whole: Any = None) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(TakeWriter, "write_frame", broken)
    _feed(recorder, range(10, 20))
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    assert "a bug" in recorder.status().message
    with Take(path) as take:
        assert take.complete and take.frame_count >= 8


def test_a_session_is_recorded_frame_by_frame(tmp_path: Path) -> None:
    sensor = FakeSensor()
    session = LiveSession(lambda _: sensor, "fake", FakeTracker)
    recorder = Recorder(CONFIG)
    recorder.attach(session)
    session.start()
    try:
        assert wait_until(lambda: recorder.status().preroll_s > 0.1)
        path = recorder.start(tmp_path, TakeInfo())
        assert wait_until(lambda: recorder.status().frames_written > 20)
        sensor.skip = 4
        assert wait_until(lambda: recorder.status().camera_gaps == 4)
    finally:
        session.stop()
    receipt = recorder.stop()
    assert receipt is not None and receipt.frames_dropped == 0 and receipt.camera_gaps == 4
    with Take(path) as take:
        numbers = [taken.number for taken in take.frames()]
        assert len(numbers) == receipt.frames_written and numbers == sorted(numbers)
        poses = take.poses()
        assert len(poses) > 10 and (poses.frame >= 0).sum() > 10


def test_the_queue_keeps_room_for_poses_and_never_waits() -> None:
    frame = make_frame(0)
    queue = RecordQueue(10 * frame.depth.nbytes + (256 << 10))
    images = 0
    while queue.put(CapturedFrame(frame, 0)):
        images += 1
    assert images > 10 and queue.oldest_s() == frame.host_time_s
    queue.close()
    assert not queue.put(CapturedFrame(frame, 0))
    taken = 0
    while queue.get(0.0) is not None:
        taken += 1
    assert taken == images and queue.waiting_bytes == 0
    assert queue.get(10.0) is None and queue.oldest_s() is None
