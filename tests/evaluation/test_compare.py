"""Comparisons whose outcome is known: shifted hands, gaps, two people, and what papers printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.evaluation.compare import THRESHOLDS_MM, compare
from engine.types import Intrinsics, LumbricalError

CAMERA = Intrinsics(1, 1, 500.0, 510.0, 320.0, 240.0)


def _hands(frames: int = 4, joints: int = 21) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 50, (frames, joints, 3)) + (0, 0, 600)


def _save(path: Path, array: NDArray[np.floating]) -> str:
    np.save(path, array)
    return str(path)


def _refused(predictions: list[str], truth: str, camera: Intrinsics | None = None, second: int | None = None) -> str:
    with pytest.raises(LumbricalError) as caught:
        compare(predictions, truth, camera, second)
    return str(caught.value)


def test_shifted_hands_have_the_shift_for_an_error(tmp_path: Path) -> None:
    truth = _hands()
    far = truth + (0, 0, 10)
    far[3, 4] += (0, 0, 30)
    np.savez(tmp_path / "methods.npz", near=(truth + (3, 4, 0)).astype(np.float32), far=far)
    report = compare([str(tmp_path / "methods.npz")], _save(tmp_path / "truth.npy", truth))
    near, far_row = report["predictions"]["near"], report["predictions"]["far"]
    assert near["mean_joint_error_mm"] == pytest.approx(5, abs=1e-4)
    assert far_row["mean_joint_error_mm"] == pytest.approx(10 + 30 / 84)
    assert far_row["median_joint_error_mm"] == pytest.approx(10)
    assert far_row["per_joint_error_mm"]["thumb_tip"] == pytest.approx(17.5)
    curve = dict(zip(report["thresholds_mm"], far_row["fraction_within"], strict=True))
    assert [curve[mm] for mm in (0, 9, 11, 39, 41, 80)] == [0, 0, 0.75, 0.75, 1, 1]
    assert len(near["fraction_within"]) == len(THRESHOLDS_MM) == 81
    assert report["ground_truth"]["joints"] == 21 and report["ground_truth"]["read_as"] == "mm"
    assert report["second_subject"] is None and near["bone_length_f1"] is None
    json.dumps(report, allow_nan=False)


def test_a_frame_without_a_prediction_is_a_miss_and_one_without_a_label_is_left_out(tmp_path: Path) -> None:
    truth = _hands()
    predicted = truth + (0, 2, 0)
    predicted[0], truth[1], truth[2, 5] = np.nan, np.nan, np.nan
    names = _save(tmp_path / "predicted.npy", predicted), _save(tmp_path / "truth.npy", truth)
    report = compare([names[0]], names[1])
    row = report["predictions"]["predicted"]
    assert (row["frames"], row["frames_predicted"], report["ground_truth"]["frames_labelled"]) == (4, 3, 3)
    assert row["mean_joint_error_mm"] == pytest.approx(2)
    assert row["fraction_within"][80] == pytest.approx(2 / 3)
    predicted[3, 7] = np.nan
    assert "NaN in some joints of frame 3" in _refused([_save(tmp_path / "torn.npy", predicted)], names[1])


def test_bone_lengths_tell_two_people_apart(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.5, (30, 21, 3))
    truth = _hands(1) * np.where(np.arange(30) < 12, 1.0, 1.1)[:, None, None] + noise
    mixed = truth.copy()
    mixed[:6] = truth[12:18]
    names = _save(tmp_path / "mixed.npy", mixed), _save(tmp_path / "truth.npy", truth)
    report = compare([names[0]], names[1], second_subject=12)
    assert report["second_subject"] == 12
    assert report["ground_truth"]["bone_length_f1"] == [1, 1]
    # Six of the first twelve are taken for the second: precision 1 and 18/24, recall 6/12 and 1.
    assert report["predictions"]["mixed"]["bone_length_f1"] == pytest.approx([2 / 3, 6 / 7])
    mixed[:12] = np.nan
    names = _save(tmp_path / "gaps.npy", mixed), names[1]
    assert compare([names[0]], names[1], second_subject=12)["predictions"]["gaps"]["bone_length_f1"] is None
    assert "within frames 1 to 29" in _refused([names[0]], names[1], second=30)
    fewer = _save(tmp_path / "fewer.npy", truth[:, :14])
    assert "needs the 21" in _refused([fewer], fewer, second=12)


def test_arrays_of_other_frames_or_joints_do_not_compare(tmp_path: Path) -> None:
    truth = _save(tmp_path / "truth.npy", _hands())
    assert "has 3 frames, the ground truth" in _refused([_save(tmp_path / "a.npy", _hands()[:3])], truth)
    assert "has 14 joints, the ground truth" in _refused([_save(tmp_path / "b.npy", _hands()[:, :14])], truth)
    assert "given twice" in _refused([truth, truth], truth)
    assert "--intrinsics is for joints in u, v, d" in _refused([truth], truth, CAMERA)


def test_predictions_of_one_name_stay_apart(tmp_path: Path) -> None:
    truth = _hands()
    for folder, shift in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "hand.npz", joints_mm=truth + (0, 0, shift))
    files = [str(tmp_path / folder / "hand.npz") for folder in "ab"]
    rows = compare(files, _save(tmp_path / "truth.npy", truth))["predictions"]
    assert {name: row["mean_joint_error_mm"] for name, row in rows.items()} == pytest.approx(
        {f"{files[0]}:joints_mm": 1, f"{files[1]}:joints_mm": 2}
    )


def test_published_predictions_give_the_published_errors(shared_data: Path) -> None:
    path = str(shared_data / "published" / "nyu_test_uvd.npz")
    report = compare([path], path)
    means = {name: round(row["mean_joint_error_mm"], 2) for name, row in report["predictions"].items()}
    assert means == {"V2V_PoseNet": 8.42, "DeepPrior++": 12.24, "DeepModel": 17.04}
    assert report["ground_truth"]["frames"] == 8252 and report["second_subject"] is None


def test_bone_lengths_of_the_nyu_annotations_tell_their_two_subjects_apart(shared_data: Path) -> None:
    path = str(shared_data / "published" / "nyu_test_joints36_uvd.npz")
    report = compare([path], path)
    assert report["ground_truth"]["bone_length_f1"] == pytest.approx([1, 1], abs=0.005)
    assert report["second_subject"] == 2440 and report["ground_truth"]["joints"] == 21
