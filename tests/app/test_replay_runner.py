"""A take is tracked again by the runner that it was recorded with, where that can run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from app import cli
from app.commands.track import make_tracker
from app.config import DEMO_SOURCE
from app.runtime.methods import tracker_settings
from app.runtime.preloaded import load_frames
from app.runtime.sources import open_recording
from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, LoadedEncoder
from engine.runners.int8 import int8_path
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import DEFAULT_SMOOTHING, LumbricalError, Side
from tests.app.fake_camera import FakeCamera
from tests.takes.make import write_take

FRAMES = 6


def write(path: Path, runner: str, recorded: object) -> Path:
    """A take of the demo's first frames; runner: which made its poses; recorded: which it says made them."""
    settings = tracker_settings(Side.RIGHT, DEFAULT_SMOOTHING) | {"runner": recorded}
    info = TakeInfo(fps=30, side=Side.RIGHT, settings=settings)
    writer = TakeWriter(path, info, WriterConfig(min_free_bytes=0), by_device_clock=True)
    tracker = make_tracker(runner=runner)
    tracker.side = Side.RIGHT
    tracker.reset()
    for frame in load_frames(open_recording(str(DEMO_SOURCE)), FRAMES):
        writer.write_frame(frame)
        writer.write_pose(tracker.track(frame))
    writer.close()
    return writer.path


def test_a_take_in_int8_is_replayed_in_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.runners.int8.int8_is_fast", lambda: True)
    take = str(write(tmp_path / "a.mcap", "int8", "int8"))
    assert cli.main(["replay", take, "--headless"]) == 0
    assert f"{FRAMES} of {FRAMES} poses are bit for bit" in capsys.readouterr().out
    assert cli.main(["replay", take, "--headless", "--runner=onnx"]) == 0
    assert f"0 of {FRAMES} poses are bit for bit" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_where_its_runner_cannot_run_full_precision_takes_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = str(write(tmp_path / "a.mcap", "onnx", "tensorrt"))
    assert cli.main(["replay", take, "--headless"]) == 0
    told = capsys.readouterr()
    assert f"{FRAMES} of {FRAMES} poses are bit for bit" in told.out
    assert told.err.startswith("lumbrical: ONNX Runtime tracks instead of tensorrt: TensorRT needs an NVIDIA GPU")
    assert cli.main(["replay", take, "--headless", "--runner=tensorrt"]) == 2


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ("from the future", "'from the future', which is not known here"),
        ("x" * 100_000, f"'{'x' * 40}', which is not known here"),
        (["int8"], "\"['int8']\", which is not known here"),
        ("int8", "'int8', in which this processor may not be exact"),
    ],
)
def test_where_its_runner_is_not_known_or_not_exact_here_full_precision_takes_its_place(
    recorded: object, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.runners.int8.int8_is_fast", lambda: False)
    take = str(write(tmp_path / "a.mcap", "onnx", recorded))
    assert cli.main(["replay", take, "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["runner"] == "onnx" and report["identical"] == report["compared"] == FRAMES
    assert printed.err == f"lumbrical: ONNX Runtime tracks instead of {told}\n"


def test_a_take_that_does_not_say_is_tracked_in_full_precision_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = str(write_take(tmp_path / "a.mcap", 3, info=TakeInfo(settings={"side": None, "smoothing": 0.5})))
    assert cli.main(["replay", take, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["runner"] == "onnx" and not printed.err


@pytest.mark.parametrize(
    ("named", "stale", "used"), [([], False, "int8"), ([], True, "onnx"), (["torch"], False, "torch")]
)
def test_a_take_of_a_camera_says_which_runner_it_was_really_tracked_by(
    named: list[str], stale: bool, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def int8_of(loaded: LoadedEncoder) -> Path:
        if stale:
            raise LumbricalError("it was made of other weights")
        return int8_path(DEFAULT_WEIGHTS)

    monkeypatch.setattr("engine.runners.int8.int8_of", int8_of)
    monkeypatch.setattr("app.commands.track.cpu_runner", lambda weights: "int8")
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(100_000))
    path = tmp_path / "a.mcap"
    options = [f"--runner={name}" for name in named]
    assert cli.main(["record", "fake", "--out", str(path), "--seconds", "0.5", *options]) == 0
    with Take(path) as take:
        assert take.info.settings is not None and take.info.settings["runner"] == used


def test_a_recording_is_recorded_by_the_runner_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    options = ["--seconds=0.2", "--runner=int8"]
    assert cli.main(["record", str(DEMO_SOURCE), "--out", str(path), *options]) == 0
    assert cli.main(["replay", str(path), "--headless", "--runner=int8"]) == 0
    with Take(path) as take:
        assert take.info.settings is not None and take.info.settings["runner"] == "int8"
