"""CSV and .npz, read back with csv and NumPy."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from engine.takes.export import export_motion, load_results
from engine.takes.motion import Motion
from engine.types import JOINT_NAMES, Side
from tests.takes.export.clips import LOST, fields_of, moving_hand

both_sides = pytest.mark.parametrize("side", list(Side))


@both_sides
def test_csv_has_a_row_a_frame_and_a_unit_a_column(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.csv")
    with (tmp_path / "take.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(motion) and [int(row["frame"]) for row in rows] == list(range(24))
    assert [int(row["frame_number"]) for row in rows] == list(range(100, 124))
    assert {row["side"] for row in rows} == {side.value}
    assert [number for number, row in enumerate(rows) if row["tracked"] == "0"] == list(LOST)
    assert float(rows[3]["device_time_s"]) == pytest.approx(1000.1)
    for axis, name in enumerate(("index_tip_x_mm", "index_tip_y_mm", "index_tip_z_mm")):
        assert float(rows[5][name]) == pytest.approx(
            motion.joints_mm[5, JOINT_NAMES.index("index_tip"), axis], abs=1e-5
        )
    assert float(rows[5]["theta_wrist_rz_rad"]) == pytest.approx(motion.theta[5, 5], abs=1e-5)
    assert float(rows[5]["theta_little_flexion2_rad"]) == pytest.approx(motion.theta[5, 24], abs=1e-5)
    assert float(rows[5]["thickness_little_mm"]) == pytest.approx(motion.thickness[5, 5], abs=1e-5)
    assert rows[7]["index_tip_x_mm"] == rows[7]["beta_0"] == rows[7]["little_tip_sigma_mm"] == ""


def test_csv_opens_as_an_array_with_nan_for_lost_frames(tmp_path: Path) -> None:
    motion = moving_hand()
    export_motion(motion, tmp_path / "take.csv")
    table = np.genfromtxt(tmp_path / "take.csv", delimiter=",", names=True, dtype=None, encoding="ascii")
    joints = np.stack([table[f"{name}_{axis}_mm"] for name in JOINT_NAMES for axis in "xyz"], 1).reshape(24, 21, 3)
    np.testing.assert_allclose(joints, motion.joints_mm, atol=1e-5)
    sigma = np.stack([table[f"{name}_sigma_mm"] for name in JOINT_NAMES], 1)
    np.testing.assert_allclose(sigma, motion.joint_sigma_mm, atol=1e-5)


@both_sides
def test_npz_comes_back_as_the_same_motion(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.npz")
    back = load_results(tmp_path / "take.npz")
    assert back.side is side
    for name in Motion.__dataclass_fields__:
        if name != "side":
            np.testing.assert_array_equal(getattr(back, name), getattr(motion, name), err_msg=name)
    with np.load(tmp_path / "take.npz", allow_pickle=False) as archive:
        assert tuple(archive["joint_names"]) == JOINT_NAMES


def test_a_clip_without_any_hand_is_still_a_table(tmp_path: Path) -> None:
    motion = Motion(**(fields_of(moving_hand()) | {"tracked": np.zeros(24, np.bool_)}))
    for name in ("take.csv", "take.npz"):
        assert export_motion(motion, tmp_path / name).lost_frames == 24
    assert load_results(tmp_path / "take.npz").lost_count == 24
