"""Recording in a session: count-down, wishes, changes of source, troubles; whatever happens, a take that opens."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.runtime import record_control
from app.runtime.interfaces import FrameSource
from app.runtime.record_control import SOURCE_CHANGED, RecordControl, RecordPhase, TakeWishes
from app.runtime.recorder import RecorderState
from app.runtime.recording import RecorderConfig
from app.runtime.session import LiveSession
from app.take_notes import TakeNotes, read_notes
from engine.sensors.playback import Playback
from engine.sensors.synthetic import SyntheticSensor
from engine.takes.reader import Take
from engine.takes.writer import WriterConfig
from engine.types import Side
from tests.app.fakes import CAMERA, FakeSensor, FakeTracker, wait_until

CONFIG = RecorderConfig(writer=WriterConfig(chunk_bytes=20_000, min_free_bytes=0))


@contextmanager
def recording(
    wishes: TakeWishes, open_source: Callable[[str], FrameSource] | None = None
) -> Iterator[tuple[RecordControl, LiveSession]]:
    session = LiveSession(open_source or (lambda _: FakeSensor()), "camera", FakeTracker)
    control = RecordControl(session, wishes, CONFIG)
    session.start()
    control.start()
    try:
        assert wait_until(lambda: session.statistics.snapshot().results > 5)
        yield control, session
    finally:
        assert control.stop(20.0)
        assert session.stop()


def closed(control: RecordControl, count: int = 1) -> bool:
    return wait_until(lambda: control.view.finished == count, 10.0)


def test_a_take_from_key_to_key(tmp_path: Path) -> None:
    wishes = TakeWishes(tmp_path / "takes", "wave", "slow", "Ann", side=Side.LEFT, smoothing=0.25)
    wishes = replace(wishes, method="encoder", runner="int8", profile={"beta": [1]})
    with recording(wishes) as (control, _):
        assert not control.active
        control.toggle()
        assert wait_until(lambda: control.active)
        assert wait_until(lambda: control.view.status.frames_written > 10)
        view = control.view
        assert view.phase is RecordPhase.RECORDING and view.status.size_bytes > 0
        control.note("settings", {"smoothing": 0.5})
        control.toggle()
        assert closed(control) and control.view.phase is RecordPhase.READY and control.view.trouble == ""
        path = control.view.path
    assert path is not None and path.parent == tmp_path / "takes" and path.name.endswith("_wave.mcap")
    with Take(path) as take:
        assert take.complete and take.frame_count > 10 and len(take.poses()) > 5
        info = take.info
        assert (info.name, info.notes, info.user, info.side, info.sensor) == (
            "wave", "slow", "Ann", Side.LEFT, "fake camera"
        )  # fmt: skip
        assert info.settings == {"side": "left", "smoothing": 0.25, "method": "encoder", "runner": "int8"}
        assert info.profile == {"beta": [1]}
        assert [event.kind for event in take.events()] == ["settings"]
        # Nothing from before its start was wished for.
        assert take.duration_s < take.receipt().duration_s + 0.5


def test_the_count_down_counts_and_can_be_ended(tmp_path: Path) -> None:
    with recording(TakeWishes(tmp_path, countdown_s=0.4)) as (control, _):
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.COUNTDOWN)
        assert 0 < control.view.countdown_s <= 0.4 and control.view.status.state is RecorderState.IDLE
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.READY)
        time.sleep(0.5)
        assert control.view.phase is RecordPhase.READY and not list(tmp_path.iterdir())
        began_s = time.monotonic()
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.RECORDING)
        assert time.monotonic() - began_s >= 0.4
        control.end()
        assert closed(control)


def test_the_pre_roll_is_kept_only_while_it_is_wished_for(tmp_path: Path) -> None:
    wishes = TakeWishes(tmp_path, preroll_s=5.0)
    with recording(wishes) as (control, _):
        assert wait_until(lambda: control.view.status.preroll_s > 0.4)
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.RECORDING)
        control.toggle()
        assert closed(control)
        first = control.view.path
        control.wish(replace(wishes, preroll_s=0.0))
        time.sleep(0.3)
        assert control.view.status.preroll_s == 0
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.RECORDING)
        control.toggle()
        assert closed(control, 2)
        second = control.view.path
    assert first is not None and second is not None
    with Take(first) as take:
        assert take.duration_s > 0.4
    with Take(second) as take:
        assert take.duration_s < 0.3


def test_a_pre_roll_as_large_as_the_queue_costs_no_frame(tmp_path: Path) -> None:
    frame_bytes = 2 * CAMERA.width * CAMERA.height
    small = replace(CONFIG, queue_bytes=20 * frame_bytes, preroll_bytes=200 * frame_bytes)
    session = LiveSession(lambda _: FakeSensor(), "camera", FakeTracker)
    control = RecordControl(session, TakeWishes(tmp_path, preroll_s=5.0), small)
    session.start()
    control.start()
    try:
        assert wait_until(lambda: control.view.status.preroll_s > 0.5)
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 60)
        assert not control.view.status.dropped
    finally:
        assert control.stop(20.0) and session.stop()


def test_what_is_kept_from_before_is_never_of_another_source(tmp_path: Path) -> None:
    def open_source(spec: str) -> FrameSource:
        if spec == "camera":
            return FakeSensor()
        return Playback(SyntheticSensor(intrinsics=CAMERA, fps=30, duration_s=2), loop=True)

    with recording(TakeWishes(tmp_path, preroll_s=5.0), open_source) as (control, session):
        assert wait_until(lambda: control.view.status.preroll_s > 0.3)
        session.switch_source("synthetic")
        assert wait_until(lambda: session.capture.opened is not None and session.capture.opened.spec == "synthetic")
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 5)
        control.toggle()
        assert closed(control) and control.view.path is not None
        with Take(control.view.path) as take:
            opened = session.capture.opened
            assert opened is not None and min(taken.epoch for taken in take.frames()) >= opened.epoch


def test_another_source_ends_the_take_and_says_so(tmp_path: Path) -> None:
    with recording(TakeWishes(tmp_path)) as (control, session):
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 5)
        session.switch_source("other")
        assert closed(control) and control.view.trouble == SOURCE_CHANGED
        assert control.view.path is not None
        with Take(control.view.path) as take:
            assert take.complete and take.frame_count > 5


def test_a_camera_that_comes_back_goes_on_with_its_take(tmp_path: Path) -> None:
    from engine.sensors.protocol import SensorDisconnected

    sensor = FakeSensor()
    with recording(TakeWishes(tmp_path), lambda _: sensor) as (control, _):
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 5)
        sensor.fail_read = SensorDisconnected("unplugged")
        assert wait_until(lambda: sensor.closed == 1)
        sensor.fail_read = None
        before = control.view.status.frames_written
        assert wait_until(lambda: control.view.status.frames_written > before + 10)
        assert control.view.phase is RecordPhase.RECORDING


def test_names_and_notes_typed_while_recording_are_kept(tmp_path: Path) -> None:
    wishes = TakeWishes(tmp_path, "first")
    with recording(wishes) as (control, _):
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.RECORDING)
        control.wish(replace(wishes, name="second", notes="said later"))
        control.toggle()
        assert closed(control) and control.view.path is not None
        assert read_notes(control.view.path) == TakeNotes("second", "said later")


def test_a_folder_that_cannot_be_made_is_said_and_recording_goes_on_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    wishes = TakeWishes(tmp_path / "file" / "takes")
    with recording(wishes) as (control, session):
        control.toggle()
        assert wait_until(lambda: control.view.trouble != "")
        assert "cannot be made" in control.view.trouble and control.view.phase is RecordPhase.READY
        assert session.failure() == ""
        control.wish(replace(wishes, folder=tmp_path / "takes"))
        control.toggle()
        assert wait_until(lambda: control.view.phase is RecordPhase.RECORDING)
        assert control.view.trouble == ""


def test_a_full_disk_ends_the_take_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    control_config = RecorderConfig(writer=WriterConfig(chunk_bytes=20_000, min_free_bytes=1 << 20))
    monkeypatch.setattr(record_control, "RecorderConfig", lambda: control_config)
    free = [1 << 30]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    session = LiveSession(lambda _: FakeSensor(), "camera", FakeTracker)
    control = RecordControl(session, TakeWishes(tmp_path))
    session.start()
    control.start()
    try:
        assert wait_until(lambda: session.statistics.snapshot().results > 5)
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 5)
        free[0] = 1000
        assert closed(control)
        assert "disk" in control.view.trouble and control.view.path is not None
        with Take(control.view.path) as take:
            assert take.complete and take.frame_count > 5
    finally:
        control.stop()
        session.stop()


def test_the_end_of_the_app_closes_the_take(tmp_path: Path) -> None:
    with recording(TakeWishes(tmp_path)) as (control, session):
        control.toggle()
        assert wait_until(lambda: control.view.status.frames_written > 5)
        assert control.stop(20.0)
        path = control.view.path
        assert path is not None and control.view.finished == 1
        written = session.statistics.snapshot().results
        assert wait_until(lambda: session.statistics.snapshot().results > written)
    with Take(path) as take:
        assert take.complete and take.receipt().reason == "stopped"
