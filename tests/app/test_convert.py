"""`convert`, as typed: every kind of recording into every kind of target."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import cli
from app.runtime.sources import open_any
from engine.sensors.protocol import BadRecording, Sensor
from engine.sensors.sequence_folder import write_sequence
from engine.takes.convert.frames import all_frames
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.types import DepthFrame, Side
from tests.sensors.fake_kinect import write_mkv
from tests.takes.make import make_frame, write_take

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 9


def convert(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments)])


def frames_of(path: Path, color: bool = True) -> list[DepthFrame]:
    with open_any(str(path), color=color) as sensor:
        return list(all_frames(sensor))


def a_take(folder: Path) -> Path:
    info = TakeInfo(fps=30, side=Side.LEFT, user="Ann", notes="cold", sensor="D435", hand_only=True, profile={"b": 1})
    return write_take(folder / "take.mcap", FRAMES, color=True, info=info)


def a_folder(folder: Path) -> Path:
    frames = [replace(make_frame(number, color=True), depth_unit_mm=1.0) for number in range(FRAMES)]
    write_sequence(folder / "folder", frames, fps=30, side=Side.LEFT)
    return folder / "folder"


def a_db3(folder: Path) -> Path:
    fake = pytest.importorskip("tests.sensors.fake_realsense")
    path: Path = fake.record(folder / "camera.db3", FRAMES, color=True)
    return path


def an_mkv(folder: Path) -> Path:
    return write_mkv(folder / "kinect.mkv", list(range(FRAMES)))


@pytest.mark.parametrize("target", ["new.mcap", "new", "new.db3"])
@pytest.mark.parametrize("make", [a_take, a_folder, a_db3, an_mkv])
def test_every_recording_becomes_every_target(
    make: Any, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make(tmp_path), tmp_path / target
    options = ["--no-track"] if target.endswith(".mcap") else []
    if (make, target) in ((a_folder, "new"), (a_db3, "new.db3")):
        assert convert(source, "--out", out) == 2 and "copy it" in capsys.readouterr().err and not out.exists()
        return
    assert convert(source, "--out", out, *options) == 0
    assert capsys.readouterr().out == f"{out}: {FRAMES} frames\n"
    given, found = frames_of(source), frames_of(out)
    assert len(given) == FRAMES
    for one, other in zip(given, found, strict=True):
        assert np.array_equal(one.depth, other.depth)
        assert other.depth_unit_mm == pytest.approx(one.depth_unit_mm, rel=1e-6)
        assert other.device_time_s - found[0].device_time_s == pytest.approx(
            one.device_time_s - given[0].device_time_s, abs=1e-3
        )
        for name in ("width", "height", "fx", "fy", "cx", "cy"):
            assert getattr(other.intrinsics, name) == pytest.approx(getattr(one.intrinsics, name), rel=1e-7)
        assert (other.color is None) == (one.color is None)
        if one.color is not None and other.color is not None:
            # Where nothing was measured, colour could not be registered; pictures in folders and takes are JPEGs.
            measured = one.depth > 0
            assert np.median(np.abs(other.color[measured].astype(int) - one.color[measured])) < 8
    assert sorted(tmp_path.iterdir()) == sorted([source, out]), "nothing is left lying about"


def test_colour_comes_back_from_db3_where_nothing_was_measured(tmp_path: Path) -> None:
    """It was registered to depth before it went there: without depth it is as good."""
    frames = [replace(frame, depth=frame.depth * (np.arange(64) < 11)) for frame in frames_of(a_take(tmp_path))]
    write_sequence(tmp_path / "folder", [replace(frame, depth_unit_mm=1.0) for frame in frames], fps=30)
    assert convert(tmp_path / "folder", "--out", tmp_path / "a.db3") == 0
    assert convert(tmp_path / "a.db3", "--out", tmp_path / "back") == 0
    for one, there, back in zip(*(frames_of(tmp_path / name) for name in ("folder", "a.db3", "back")), strict=True):
        assert (one.depth == 0).mean() > 0.8 and np.array_equal(one.depth, back.depth)
        assert one.color is not None and there.color is not None and back.color is not None
        assert np.array_equal(one.color, there.color), "a .db3 holds colour without loss"
        assert np.abs(one.color.astype(int) - back.color).max() < 8, "but for the folder's JPEG"


def test_a_take_of_a_take_keeps_what_it_says_of_itself(tmp_path: Path) -> None:
    assert convert(a_take(tmp_path), "--out", tmp_path / "new.mcap", "--no-track", "--no-color") == 0
    with Take(tmp_path / "new.mcap") as take:
        info = take.info
        assert (info.user, info.notes, info.sensor, info.side) == ("Ann", "cold", "D435", Side.LEFT)
        assert info.hand_only and info.profile == {"b": 1} and info.settings is None
        assert len(take.poses()) == 0 and take.complete and take.receipt().reason == "converted"
        assert all(taken.frame.color is None for taken in take.frames())


def test_joints_go_along_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = a_take(tmp_path)
    assert convert(source, "--out", tmp_path / "with", "--joints") == 0
    assert convert(source, "--out", tmp_path / "without") == 0
    with Take(source) as take:
        joints = take.poses().joints_mm
    np.testing.assert_array_equal(np.load(tmp_path / "with" / "joints_mm.npy", allow_pickle=False), joints)
    assert not (tmp_path / "without" / "joints_mm.npy").exists()
    images = write_take(tmp_path / "images.mcap", 3, poses=False)
    for wrong, words in ((images, "holds no poses"), (an_mkv(tmp_path), "only takes hold poses")):
        assert convert(wrong, "--out", tmp_path / "new", "--joints") == 2
        assert words in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.parametrize("target", ["new.mcap", "new", "new.db3"])
def test_force_replaces_and_only_force(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / target
    first, second = write_take(tmp_path / "a.mcap", 3), write_take(tmp_path / "b.mcap", 5)
    options = ["--no-track"] if target.endswith(".mcap") else []
    assert convert(first, "--out", out, *options) == 0
    assert convert(second, "--out", out, *options) == 2 and "--force" in capsys.readouterr().err
    assert len(frames_of(out)) == 3
    assert convert(second, "--out", out, *options, "--force") == 0
    assert len(frames_of(out)) == 5
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_with_anything_else_in_it_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_take(tmp_path / "a.mcap", 3)
    assert convert(source, "--out", tmp_path / "new") == 0
    for more in ("notes.txt", "depth/notes.txt", "hand/000000.png", "depth/more/000000.png"):
        (tmp_path / "new" / more).parent.mkdir(exist_ok=True)
        (tmp_path / "new" / more).touch()
        assert convert(source, "--out", tmp_path / "new", "--force") == 2
        assert "not replaced" in capsys.readouterr().err
        (tmp_path / "new" / more).unlink()
        if not any((tmp_path / "new" / more).parent.iterdir()):
            (tmp_path / "new" / more).parent.rmdir()
    assert convert(source, "--out", tmp_path / "new", "--force") == 0


class Breaking:
    """all_frames, but something happens after some frames."""

    def __init__(self, what: BaseException) -> None:
        self._what = what

    def __call__(self, sensor: Sensor) -> Iterator[DepthFrame]:
        for number, frame in enumerate(all_frames(sensor)):
            if number == 4:
                raise self._what
            yield frame


@pytest.mark.parametrize("target", ["new.mcap", "new", "new.db3"])
@pytest.mark.parametrize("what, status", [(KeyboardInterrupt(), 130), (BadRecording("it is damaged"), 2)])
def test_what_is_not_finished_leaves_nothing(
    what: BaseException, status: int, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_take(tmp_path / "a.mcap", FRAMES), tmp_path / target
    monkeypatch.setattr("app.commands.convert.all_frames", Breaking(what))
    options = ["--no-track"] if target.endswith(".mcap") else []
    assert convert(source, "--out", out, *options) == status
    assert list(tmp_path.iterdir()) == [source]
    shutil.copy(source, out) if out.suffix else out.mkdir()
    assert convert(source, "--out", out, *options, "--force") in (status, 2)
    assert sorted(tmp_path.iterdir()) == sorted([source, out]), "what was there stays"


def test_being_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "main.py", "convert", "assets/demo", "--out", str(tmp_path / "new.mcap")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 60
        while not list(tmp_path.glob(".new.mcap.*/*.mcap")) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource")
    source = write_take(tmp_path / "a.mcap", 40)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for target, options in (("new.mcap", ["--no-track"]), ("new", []), ("new.db3", [])):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            status = convert(source, "--out", tmp_path / target, *options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        told = capsys.readouterr().err
        assert status == 2 and str(tmp_path) in told and f".{target}." not in told and told.count("\n") == 1, told
        assert list(tmp_path.iterdir()) == [source]


def test_damage_is_told_and_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_take(tmp_path / "a.mcap", 40)
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    source.write_bytes(data)
    assert convert(source, "--out", tmp_path / "new.mcap", "--no-track") == 0
    told = capsys.readouterr()
    assert "are lost" in told.err and " of 40 frames" in told.out
    assert 20 < len(frames_of(tmp_path / "new.mcap")) < 40


def test_what_cannot_be_converted_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = write_take(tmp_path / "a.mcap", 3)
    (tmp_path / "junk.bag").write_bytes(b"junk")
    (tmp_path / "junk.mkv").write_bytes(b"junk")
    before = sorted(tmp_path.iterdir())
    new = tmp_path / "new.mcap"
    for arguments, words in (
        ([tmp_path / "none", "--out", new], "does not exist"),
        (["realsense", "--out", new], "record realsense"),
        (["synthetic", "--out", new], "record synthetic"),
        ([take, "--out", tmp_path / "a.bag"], "SDK writes .db3"),
        ([take, "--out", tmp_path / "a.mkv"], "can be read only"),
        ([take, "--out", tmp_path / "a.txt"], "no known format"),
        ([take, "--out", tmp_path / "a.part.mcap"], ".part"),
        ([take, "--out", tmp_path / "no" / "b.mcap"], "does not exist"),
        ([take, "--out", tmp_path, "--force"], "not a sequence folder"),
        ([take, "--out", take, "--force"], "what is to be converted"),
        ([take, "--out", tmp_path / "new", "--side", "left"], "--side is for takes"),
        ([take, "--out", new, "--joints"], "for sequence folders"),
        ([take, "--out", new, "--no-track", "--side", "left"], "leave --no-track out"),
        ([take, "--out", new, "--hand", tmp_path / "none.glb"], "cannot be read"),
        ([tmp_path / "junk.bag", "--out", tmp_path / "new.db3"], "record it again"),
        ([tmp_path / "junk.bag", "--out", new], "junk.bag"),
        ([tmp_path / "junk.mkv", "--out", new], "junk.mkv"),
    ):
        assert convert(*arguments) == 2, arguments
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and words in told, told
    assert sorted(tmp_path.iterdir()) == before
