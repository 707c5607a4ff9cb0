"""A take is tracked again by the runner that it was recorded with, where that can run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app import cli
from app.commands.track import make_tracker
from app.config import DEMO_SOURCE
from app.runtime.methods import tracker_settings
from app.runtime.preloaded import load_frames
from app.runtime.sources import open_recording
from engine.takes.facts import TakeInfo
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import DEFAULT_SMOOTHING, Side

FRAMES = 6


def write(path: Path, runner: str, recorded: str) -> Path:
    """A take of the demo's first frames; runner: which made its poses; recorded: which it says made them."""
    settings = tracker_settings(Side.RIGHT, DEFAULT_SMOOTHING, runner=recorded)
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


def test_a_take_in_int8_is_replayed_in_int8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_runner_that_is_not_known_here_does_not_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = str(write(tmp_path / "a.mcap", "onnx", "from the future"))
    assert cli.main(["replay", take, "--headless"]) == 0
    assert f"{FRAMES} of {FRAMES} poses are bit for bit" in capsys.readouterr().out
