"""What was tracked while a take was recorded, as motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.takes.poses import PoseTable
from engine.takes.reader import Take
from engine.takes.recorded_motion import load_motion, motion_of
from engine.types import LumbricalError, Side
from tests.takes.make import write_take


@pytest.fixture
def poses(tmp_path: Path) -> PoseTable:
    with Take(write_take(tmp_path / "made.mcap", 9)) as take:
        return take.poses()


def test_every_number_of_a_take_is_in_its_motion(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 9)
    motion = load_motion(path)
    with Take(path) as take:
        poses = take.poses()
    assert motion.side is Side.LEFT
    assert motion.tracked.tolist() == [True, True, False] * 3
    for name in ("theta", "beta", "thickness", "joints_mm", "joint_sigma_mm"):
        np.testing.assert_array_equal(getattr(motion, name), getattr(poses, name).astype(np.float64))
    np.testing.assert_array_equal(motion.device_time_s, poses.device_time_s)
    np.testing.assert_array_equal(motion.frame_number, poses.number)


def test_one_hand_of_two_is_asked_for(poses: PoseTable) -> None:
    both = replace(poses, side=np.array(["left", "right", "right"] * 3))
    with pytest.raises(LumbricalError, match="both hands"):
        motion_of(both)
    assert motion_of(both, Side.RIGHT).tracked.tolist() == [False, True, False] * 3
    assert motion_of(both, Side.LEFT).tracked.tolist() == [True, False, False] * 3
    # Frames without a hand have a side, too: that of the hand that was looked for.
    assert motion_of(replace(poses, side=np.array(["left", "left", "right"] * 3))).side is Side.LEFT


@pytest.mark.parametrize("name", ["theta", "beta", "thickness", "joints_mm"])
def test_damaged_rows_count_as_lost(poses: PoseTable, name: str) -> None:
    getattr(poses, name)[4].flat[0] = np.nan
    assert motion_of(poses).tracked.tolist() == [True, True, False, True, False, False, True, True, False]


def test_files_without_motion_are_refused(tmp_path: Path) -> None:
    images = write_take(tmp_path / "images.mcap", 3, poses=False)
    with pytest.raises(LumbricalError, match=r"images.mcap holds no poses.*track .*images.mcap --out"):
        load_motion(images)
    with pytest.raises(LumbricalError, match="does not exist"):
        load_motion(tmp_path / "none.mcap")
    with pytest.raises(LumbricalError, match="holds no motion"):
        load_motion(tmp_path)


def test_damage_is_told(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 40)
    cut = tmp_path / "a.part.mcap"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    told: list[str] = []
    assert 5 < len(load_motion(cut, note=told.append)) < 40
    assert "cut off" in told[0]
