"""`record`: cameras and recordings, how it ends, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import cli
from app.config import DEMO_SOURCE
from app.runtime.recorder import Recorder, RecorderStatus
from engine.sensors.isolated import CAN_ISOLATE
from engine.sensors.sequence_folder import write_sequence
from engine.takes.reader import Take
from engine.types import Side
from tests.app.fake_camera import FakeCamera
from tests.takes.make import make_frame

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 40


def test_a_camera_that_is_unplugged_leaves_what_it_gave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(30))
    assert cli.main(["record", "fake", "--no-track", "--out", str(tmp_path / "a.mcap")]) == 2
    captured = capsys.readouterr()
    assert "30 of 30 frames" in captured.out and "unplugged" in captured.err and captured.err.count("\n") == 1
    with Take(tmp_path / "a.mcap") as take:
        assert take.complete and take.frame_count == 30 and take.info.settings is None


def test_a_camera_that_is_unplugged_ends_a_take_with_poses_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(30))
    begun_s = time.monotonic()
    assert cli.main(["record", "fake", "--out", str(tmp_path / "a.mcap"), "--seconds", "60"]) == 2
    error = capsys.readouterr().err
    assert "unplugged" in error and "a.mcap was closed and can be played" in error and error.count("\n") == 1
    assert time.monotonic() - begun_s < 30
    with Take(tmp_path / "a.mcap") as take:
        assert take.complete and take.frame_count == 30


@pytest.mark.skipif(not CAN_ISOLATE, reason="a driver can only be ended where it has a process of its own")
@pytest.mark.parametrize(("options", "hang", "sent"), [(["--no-track"], "hang@3+60", True), ([], "hang@0+60", False)])
def test_a_driver_that_hangs_is_ended_and_leaves_what_it_gave(
    options: list[str], hang: str, sent: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mcap"
    begun_s = time.monotonic()
    assert cli.main(["record", f"faulty:{hang}:demo", "--out", str(path), "--seconds", "50", *options]) == 2
    error = capsys.readouterr().err
    assert "does not answer" in error and error.count("\n") == 1
    assert time.monotonic() - begun_s < 30
    with Take(path) as take:
        assert take.complete and (take.frame_count > 0) is sent


def test_a_camera_is_recorded_with_poses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(100_000))
    out = tmp_path / "takes"
    assert cli.main(["record", "fake", "--out", str(out), "--seconds", "0.5", "--user", "Ann", "--name", "wave"]) == 0
    (path,) = out.glob("*_wave.mcap")
    with Take(path) as take:
        assert take.complete and take.info.user == "Ann" and take.info.sensor == "fake camera"
        assert take.frame_count > 10 and len(take.poses()) > 0
        assert take.receipt().reason == "the time was over"


def test_what_cannot_be_recorded_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.mcap")
    (tmp_path / "old.mcap").touch()
    for arguments in (
        ["record", str(tmp_path / "none"), "--out", out],
        ["record", str(DEMO_SOURCE), "--out", str(tmp_path / "old.mcap")],
        ["record", str(DEMO_SOURCE), "--out", str(tmp_path / "no" / "folder" / "a.mcap")],
        ["record", str(DEMO_SOURCE), "--out", out, "--hand-only", "--no-track"],
        ["record", str(DEMO_SOURCE), "--out", out, "--runner=int8", "--no-track"],
        ["record", str(DEMO_SOURCE), "--out", out, "--hand", str(tmp_path / "none.glb")],
        ["replay", str(tmp_path / "old.mcap"), "--headless"],
        ["info", str(tmp_path / "none.mcap")],
    ):
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and captured.err.startswith("lumbrical: error: "), arguments
    with pytest.raises(SystemExit):
        cli.main(["record", str(DEMO_SOURCE), "--out", out, "--seconds", "nan"])
    assert not Path(out).exists()


def test_images_only_and_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequence(tmp_path / "wave", [make_frame(number) for number in range(5)], side=Side.LEFT)
    path = tmp_path / "a.mcap"
    assert cli.main(["record", str(tmp_path / "wave"), "--out", str(path), "--no-track", "--notes", "n", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames_written"] == 5 and report["path"] == str(path) and report["bytes"] == path.stat().st_size
    with Take(path) as take:
        assert take.info.side is Side.LEFT and take.info.notes == "n" and len(take.poses()) == 0


@pytest.mark.parametrize("options", [["--no-track"], []])
def test_ctrl_c_ends_a_recording_cleanly(
    options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: Recorder) -> RecorderStatus:
        found = status(self)
        if found.frames_written > 10:
            monkeypatch.setattr(Recorder, "status", status)
            raise KeyboardInterrupt
        return found

    status = Recorder.status
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(100_000))
    monkeypatch.setattr(Recorder, "status", interrupt)
    assert cli.main(["record", "fake", "--out", str(tmp_path / "a.mcap"), *options]) == 0
    with Take(tmp_path / "a.mcap") as take:
        assert take.complete and take.frame_count > 10 and take.receipt().reason == "stopped"


def _wait_for_part(folder: Path) -> None:
    deadline_s = time.monotonic() + 60
    while not any(part.stat().st_size > 40_000 for part in folder.glob("*.part.mcap")):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("source", [["synthetic", "--no-track"], ["demo", "--no-track"]])
def test_being_told_to_end_closes_the_take(source: list[str], name: str, status: int, tmp_path: Path) -> None:
    """Twice, as by a user who does not wait and by what ends all processes of a session."""
    if source[0] == "demo":
        # All of it is recorded in a moment.
        source = [str(shutil.copytree(DEMO_SOURCE, tmp_path / "slow")), "--no-track", "--color"]
    command = [sys.executable, "-c", _SLOWLY, "record", *source, "--out", str(tmp_path / "a.mcap")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_part(tmp_path)
        for _ in range(2):
            process.send_signal(getattr(signal, name))
            time.sleep(0.03)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, ""), out + err
    assert f"{tmp_path / 'a.mcap'}: " in out and "; ended: " in out
    assert not list(tmp_path.glob("*.part.mcap"))
    with Take(tmp_path / "a.mcap") as take:
        assert take.complete and take.verify() == [] and 0 < take.frame_count == take.receipt().frames_written


@pytest.mark.skipif(not CAN_ISOLATE, reason="a camera has no process of its own here")
@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_ends_all_that_a_terminal_started_closes_a_camera_s_take(name: str, status: int, tmp_path: Path) -> None:
    """The camera's own process does not hear it: the take would end as if the camera had failed."""
    path = tmp_path / "a.mcap"
    command = [sys.executable, "-m", "main", "record", "faulty:drop@1000:demo", "--no-track", "--out", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        _wait_for_part(tmp_path)
        os.killpg(process.pid, getattr(signal, name))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, ""), out + err
    with Take(path) as take:
        assert take.complete and take.frame_count > 0


#: main.py, but a recording is read no faster than a camera sends.
_SLOWLY = (
    "import sys, time\n"
    "from app import cli\n"
    "from engine.sensors.sequence_folder import SequenceFolder\n"
    "read = SequenceFolder._read\n"
    "SequenceFolder._read = lambda self, timeout_s: (time.sleep(0.03), read(self, timeout_s))[1]\n"
    "sys.exit(cli.main(sys.argv[1:]))\n"
)


def test_a_terminal_that_is_closed_closes_the_take(tmp_path: Path) -> None:
    """Nothing can be told any more, and trying to must not spoil the end."""
    out = str(tmp_path / "a.mcap")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "main.py", "record", "synthetic", "--no-track", "--out", out])
    try:
        _wait_for_part(tmp_path)
    finally:
        os.close(terminal)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 129
    with Take(out) as take:
        assert take.complete and take.frame_count > 0


def test_a_recording_says_why_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequence(tmp_path / "wave", [make_frame(number) for number in range(5)], fps=10)
    for name, options, words in (
        ("all", [], "the recording was over"),
        ("long", ["--seconds", "60"], "the recording was over"),
        ("part", ["--seconds", "0.25"], "the time was over"),
    ):
        out = tmp_path / f"{name}.mcap"
        assert cli.main(["record", str(tmp_path / "wave"), "--no-track", "--out", str(out), *options]) == 0
        assert capsys.readouterr().out.endswith(f"ended: {words}\n")
        with Take(out) as take:
            assert take.receipt().reason == words


@pytest.mark.parametrize("name", ["n3.txt", "a.MP4", "takes/a.bag"])
def test_a_new_name_of_another_kind_is_no_folder(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", str(DEMO_SOURCE), "--no-track", "--out", str(tmp_path / name)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "must end in .mcap, or name a folder" in told
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "2026.11").mkdir()
    write_sequence(tmp_path / "wave", [make_frame(0)])
    assert cli.main(["record", str(tmp_path / "wave"), "--no-track", "--out", str(tmp_path / "2026.11")]) == 0


def test_a_bug_in_the_source_leaves_a_whole_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(20, ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["record", "fake", "--no-track", "--out", str(tmp_path / "a.mcap")])
    with Take(tmp_path / "a.mcap") as take:
        assert take.complete and take.frame_count == 20
