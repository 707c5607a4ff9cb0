"""What users and other programs do to a recorder's folder and names; and how long anything may wait to be written."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.record_queue import RecordQueue
from app.runtime.recorder import Recorder, RecorderState
from app.runtime.recording import TOO_SLOW, RecorderConfig
from engine.takes.container import Container
from engine.takes.facts import TakeError, TakeInfo
from engine.takes.reader import Take
from engine.takes.writer import WriterConfig
from tests.app.fakes import wait_until
from tests.takes.make import make_frame, make_result

WRITER = WriterConfig(chunk_bytes=20_000, min_free_bytes=0)
CONFIG = RecorderConfig(writer=WRITER)


def _feed(recorder: Recorder, numbers: range, pause_s: float = 0.002) -> int:
    """How many frames were taken on."""
    taken = 0
    for number in numbers:
        frame = make_frame(number)
        taken += recorder.put_frame(CapturedFrame(frame, 0))
        recorder.put_result(LiveResult(make_result(frame), 0, time.monotonic(), 0.01))
        time.sleep(pause_s)
    return taken


def _recording(folder: Path) -> tuple[Recorder, Path]:
    recorder = Recorder(CONFIG)
    path = recorder.start(folder, TakeInfo())
    _feed(recorder, range(20))
    assert wait_until(lambda: recorder.status().frames_written > 5)
    return recorder, path


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_take_that_is_deleted_while_it_is_recorded_is_written_again(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "takes"
    recorder, path = _recording(folder)
    if what == "folder":
        shutil.rmtree(folder)
    else:
        next(folder.iterdir()).unlink()
    _feed(recorder, range(20, 200))
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    status = recorder.status()
    assert "was deleted" in status.message and status.receipt is not None
    with Take(path) as take:
        assert take.complete and take.verify() == []
        assert take.frame_count == status.receipt.frames_written >= 20


def test_a_folder_that_is_renamed_keeps_its_take_which_opens(tmp_path: Path) -> None:
    recorder, _ = _recording(tmp_path / "takes")
    (tmp_path / "takes").rename(tmp_path / "other")
    _feed(recorder, range(20, 200))
    assert wait_until(lambda: recorder.status().state is RecorderState.IDLE)
    assert recorder.status().message and recorder.status().receipt is None
    (part,) = (tmp_path / "other").iterdir()
    with Take(part) as take:
        assert take.frame_count >= 20 and take.verify() == []


def test_recorders_that_begin_at_once_in_a_folder_get_names_of_their_own(tmp_path: Path) -> None:
    recorders, started = [Recorder(CONFIG) for _ in range(6)], threading.Barrier(6)
    paths: list[Path] = []

    def begin(recorder: Recorder) -> None:
        started.wait()
        paths.append(recorder.start(tmp_path, TakeInfo(name="same")))

    threads = [threading.Thread(target=begin, args=(recorder,)) for recorder in recorders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for recorder in recorders:
        _feed(recorder, range(3))
        assert recorder.stop() is not None
    assert len(set(paths)) == 6 and sorted(paths) == sorted(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "info", "words"),
    [
        ("q" * 300, TakeInfo(), "too long"),
        ("z" * 252 + ".mcap", TakeInfo(), "too long"),
        ("", {"notes": "a\udcffb"}, "no UTF-8"),
        ("", {"name": "x" * 30_000}, "shorten"),
    ],
)
def test_what_cannot_be_a_name_is_said(out: str, info: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(TakeError, match=words):
        Recorder(CONFIG).start(tmp_path / out, TakeInfo(**info) if isinstance(info, dict) else TakeInfo())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../x", "𠀀" * 80, "a/b\\c:d*e?", "...", "\n\t", "🖐"])
def test_any_name_stays_in_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "takes"
    recorder = Recorder(CONFIG)
    path = recorder.start(folder, TakeInfo(name=name))
    _feed(recorder, range(2))
    assert recorder.stop() is not None and path.parent == folder
    with Take(path) as take:
        assert take.info.name == name


def test_nothing_is_taken_on_while_the_disk_stands_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_on = threading.Event()
    append = Container._append

    def stuck(self: Container, pieces: object) -> None:
        go_on.wait(20)
        append(self, pieces)  # type: ignore[arg-type]

    recorder = Recorder(RecorderConfig(most_late_s=0.3, writer=WRITER))
    path = recorder.start(tmp_path, TakeInfo())
    monkeypatch.setattr(Container, "_append", stuck)
    taken = _feed(recorder, range(120), 0.01)
    assert 15 < taken < 80
    status = recorder.status()
    assert status.dropped[TOO_SLOW] == 120 - taken
    go_on.set()
    assert wait_until(lambda: recorder.status().frames_written == taken)
    recording = recorder._active
    assert recording is not None and wait_until(lambda: not recording._is_late()), "the last pose is late, too"
    assert _feed(recorder, range(120, 130)) == 10, "it goes on by itself"
    receipt = recorder.stop()
    assert receipt is not None and receipt.frames_written == taken + 10
    with Take(path) as take:
        assert take.frame_count == taken + 10 and take.receipt().dropped == {TOO_SLOW: 120 - taken}


def test_frames_that_come_while_the_preroll_is_written_are_not_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    append = Container._append

    def slow(self: Container, pieces: list[bytes]) -> None:
        time.sleep(sum(map(len, pieces)) / 400_000)
        append(self, pieces)

    recorder = Recorder(RecorderConfig(preroll_s=60.0, most_late_s=0.2, writer=WRITER))
    _feed(recorder, range(150), 0)
    path = recorder.start(tmp_path, TakeInfo())
    monkeypatch.setattr(Container, "_append", slow)
    assert _feed(recorder, range(150, 170), 0.02) == 20
    monkeypatch.undo()
    receipt = recorder.stop()
    assert receipt is not None and receipt.frames_dropped == 0 and receipt.frames_written == 170
    with Take(path) as take:
        assert take.frame_count == 170


def test_a_queue_has_caught_up_once_it_was_empty() -> None:
    queue = RecordQueue(1 << 20)
    assert not queue.catching_up and queue.waiting_since_s() is None
    queue.extend([CapturedFrame(make_frame(0), 0)])
    assert queue.put(CapturedFrame(make_frame(1), 0))
    states = [queue.catching_up]
    assert queue.get(0.0) is not None and queue.get(0.0) is not None
    assert queue.put(CapturedFrame(make_frame(2), 0))
    assert [*states, queue.catching_up] == [True, False]
    since_s = queue.waiting_since_s()
    assert since_s is not None and 0 <= time.monotonic() - since_s < 5
