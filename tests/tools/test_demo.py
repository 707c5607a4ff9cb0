"""The shipped demo take is a whole sequence with truth that fits its pictures."""

from pathlib import Path

import numpy as np
import pytest

from app.config import DEMO_SOURCE
from engine.geometry.camera import project
from engine.sensors.labels import load_labels
from engine.sensors.sequence_folder import SequenceFolder
from engine.types import Side
from tools.render_demo import main


def test_demo_says_that_it_is_rendered_and_stays_small() -> None:
    labels = load_labels(DEMO_SOURCE)
    assert labels.info.extra["rendered"] is True
    assert labels.info.side is Side.RIGHT
    assert labels.joint_convention == "anatomical"
    assert 10 <= labels.info.frame_count / labels.info.fps <= 12
    assert sum(path.stat().st_size for path in DEMO_SOURCE.rglob("*") if path.is_file()) < 8e6


def test_truth_lies_under_the_skin_that_is_seen() -> None:
    labels = load_labels(DEMO_SOURCE)
    assert labels.joints_mm is not None
    assert labels.palm_uv is not None
    with SequenceFolder(DEMO_SOURCE) as source:
        source.seek(100)
        frame = source.read(1.0)
    assert frame is not None
    joints = labels.joints_mm[100]
    column, row = np.rint(project(joints, frame.intrinsics)).astype(int).T
    seen = frame.depth_mm()[row, column]
    below = (joints[:, 2] - seen)[seen > 0]
    assert len(below) > 15
    assert np.all((below > -6) & (below < 90))
    assert np.median(below) < 25
    palm = project(joints[[0, 5, 9, 13, 17]].mean(0), frame.intrinsics)
    assert np.allclose(palm, labels.palm_uv[100], atol=0.01)


def test_the_loop_closes_and_one_hand_plays_it_all() -> None:
    joints = load_labels(DEMO_SOURCE).joints_mm
    assert joints is not None
    steps = np.linalg.norm(joints - np.roll(joints, 1, axis=0), axis=-1)
    assert steps[0].max() < 5
    assert steps.max() < 40
    palm = np.linalg.norm(joints[:, 5] - joints[:, 0], axis=-1)
    assert np.ptp(palm) < 0.01


def test_rendering_refuses_what_is_not_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.npz"), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
