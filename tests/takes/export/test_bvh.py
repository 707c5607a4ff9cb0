"""BVH, read back by another program's rules: its joints are the motion's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.takes.export import export_motion
from engine.types import JOINT_NAMES, Side
from tests.takes.export.bvh_reader import read_bvh
from tests.takes.export.clips import joints_of, moving_hand, y_up

both_sides = pytest.mark.parametrize("side", list(Side))


@both_sides
def test_every_joint_is_where_the_motion_has_it(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.bvh")
    bvh = read_bvh(tmp_path / "take.bvh")
    places = bvh.places()
    assert [node.name for node in bvh.nodes if "/" not in node.name] == list(JOINT_NAMES)
    assert len(bvh.rows) == len(motion) and bvh.frame_time_s == pytest.approx(1 / 30)
    found = np.stack([places[name] for name in JOINT_NAMES], 1)
    off = np.linalg.norm(found - y_up(motion.joints_mm), axis=2)[motion.tracked]
    assert off.max() < 0.001
    # Whoever takes the end sites for the tips is right, too.
    np.testing.assert_array_equal(places["index_tip/end"], places["index_tip"])


@both_sides
def test_the_rigid_kind_is_the_motion_with_its_median_shape(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.bvh", "bvh-rigid")
    bvh = read_bvh(tmp_path / "take.bvh")
    assert [len(node.channels) for node in bvh.nodes if "/" not in node.name] == [6] + [3] * 15
    places = bvh.places()
    found = np.stack([places[name if name in places else f"{_before(name)}/end"] for name in JOINT_NAMES], 1)
    tracked = motion.tracked
    shape = np.tile(np.median(motion.beta[tracked], axis=0), (int(tracked.sum()), 1))
    expected = y_up(joints_of(motion.theta[tracked], shape, side))
    assert np.linalg.norm(found[tracked] - expected, axis=2).max() < 0.001
    lengths = np.linalg.norm(np.diff(found[:, 5:9], axis=1), axis=2)
    assert np.ptp(lengths, axis=0).max() < 0.001


def _before(tip: str) -> str:
    return JOINT_NAMES[JOINT_NAMES.index(tip) - 1]


def test_a_lost_hand_holds_its_last_pose_and_before_the_first_that(tmp_path: Path) -> None:
    export_motion(moving_hand(), tmp_path / "take.bvh")
    rows = read_bvh(tmp_path / "take.bvh").rows
    for lost, shown in ((0, 2), (1, 2), (7, 6), (9, 6), (23, 22)):
        np.testing.assert_array_equal(rows[lost], rows[shown])
    assert np.abs(rows[10] - rows[9]).max() > 0.1


def test_curves_do_not_jump(tmp_path: Path) -> None:
    motion = moving_hand(frames=200, lost=())
    export_motion(motion, tmp_path / "take.bvh", "bvh-rigid")
    fingers = read_bvh(tmp_path / "take.bvh").rows[:, 6:]
    # Bent by 103 degrees about x within 200 frames; an Euler angle that flips would step by 180.
    assert np.abs(np.diff(fingers, axis=0)).max() < 5
    assert np.ptp(fingers, axis=0).max() > 95
