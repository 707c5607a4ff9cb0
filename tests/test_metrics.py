"""Metrics against hand-made cases and against figures printed in papers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import metrics


def _hands(frames: int = 5, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 50, (frames, 21, 3)) + (0, 0, 600)


def test_joint_error_is_euclidean_and_keeps_joints_apart() -> None:
    truth = _hands()
    predicted = truth.copy()
    predicted[:, 3] += (3, 4, 0)
    errors = metrics.joint_errors(predicted, truth)
    assert errors[:, 3] == pytest.approx(5.0)
    assert metrics.mean_or_none(errors) == pytest.approx(5 / 21)
    assert metrics.median_or_none(errors) == pytest.approx(0)
    assert metrics.per_joint_means(errors)[3] == pytest.approx(5.0)


def test_finger_error_leaves_the_wrist_out() -> None:
    truth = _hands()
    predicted = truth.copy()
    predicted[:, 0] += 100
    assert metrics.finger_joint_error(metrics.joint_errors(predicted, truth)) == pytest.approx(0)


def test_unlabelled_joints_are_left_out() -> None:
    truth = _hands()
    predicted = truth + (0, 0, 2)
    truth[1, 4] = np.nan
    truth[2] = np.nan
    errors = metrics.joint_errors(predicted, truth)
    assert np.isnan(errors).sum() == 22
    assert metrics.mean_or_none(errors) == pytest.approx(2.0)
    worst = metrics.worst_joint_errors(predicted, truth)
    assert np.isnan(worst[2]) and worst[1] == pytest.approx(2.0)


def test_frames_without_a_prediction_are_misses() -> None:
    truth = _hands(4)
    predicted = truth + (0, 10, 0)
    predicted[0] = np.nan
    predicted[3, 7, 2] += 50
    worst = metrics.worst_joint_errors(predicted, truth)
    assert worst[0] == np.inf
    assert metrics.fraction_within(worst, 20.0) == pytest.approx(0.5)
    np.testing.assert_allclose(metrics.fraction_within(worst, np.array([5.0, 20.0, 1e3])), [0, 0.5, 0.75])


def test_nothing_measured_is_none_not_zero() -> None:
    assert metrics.mean_or_none(np.full((2, 3), np.nan)) is None
    assert metrics.median_or_none(np.empty(0)) is None
    assert np.isnan(metrics.fraction_within(np.full(3, np.nan), 20.0))


def test_procrustes_undoes_a_similarity_but_not_a_reflection() -> None:
    truth = _hands(2)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert np.nanmax(metrics.procrustes_errors(1.3 * truth @ turn.T + (5, 6, 7), truth)) < 1e-9
    assert np.nanmean(metrics.procrustes_errors(truth * (-1, 1, 1), truth)) > 5


def test_procrustes_is_no_worse_than_the_raw_error_in_squares() -> None:
    truth, noise = _hands(6), np.random.default_rng(1).normal(0, 8, (6, 21, 3))
    aligned = metrics.procrustes_errors(truth + noise, truth)
    assert (aligned**2).sum() < (metrics.joint_errors(truth + noise, truth) ** 2).sum()


def test_mdpc_is_the_distance_to_the_nearest_point_wherever_it_is() -> None:
    cloud = np.stack(np.meshgrid(np.arange(-50.0, 51, 5), np.arange(-50.0, 51, 5)), -1).reshape(-1, 2)
    plane = np.column_stack((cloud, np.full(len(cloud), 500.0)))
    joints = np.array([[0, 0, 509.0], [10, 5, 500.0], [0, 0, 800.0]])
    np.testing.assert_allclose(metrics.point_cloud_distances(joints, plane), [9, 0, 300])
    assert np.isnan(metrics.point_cloud_distances(joints, plane[:0])).all()


def test_bone_lengths_and_jitter_of_a_hand_that_shakes() -> None:
    generator = np.random.default_rng(2)
    still = _hands(1)
    mean, deviation = metrics.bone_length_statistics(np.repeat(still, 10, 0))
    assert deviation == pytest.approx(0, abs=1e-9)
    assert mean[5] == pytest.approx(np.linalg.norm(still[0, 6] - still[0, 5]))
    assert mean[8] == pytest.approx(np.linalg.norm(still[0, 9] - still[0, 0]))
    assert metrics.jitter(np.repeat(still, 10, 0)) == pytest.approx(0, abs=1e-9)
    assert metrics.jitter(still + generator.normal(0, 2, (4000, 21, 3))) == pytest.approx(2 * np.sqrt(3), rel=0.03)
    assert metrics.jitter(still) is None


def test_k_means_finds_the_same_clusters_every_time() -> None:
    generator = np.random.default_rng(3)
    vectors = np.concatenate((generator.normal(0, 1, (30, 20)), generator.normal(3, 1, (50, 20))))
    subjects = np.repeat([0, 1], (30, 50))
    np.testing.assert_allclose(metrics.subject_f1(vectors, subjects), [1, 1])
    np.testing.assert_array_equal(metrics.k_means(vectors), metrics.k_means(vectors))
    assert metrics.subject_f1(generator.normal(0, 1, (400, 20)), np.repeat([0, 1], 200)).mean() < 0.65
    with pytest.raises(ValueError, match="2 clusters of 1"):
        metrics.k_means(vectors[:1])


def test_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="must both be"):
        metrics.joint_errors(_hands(2), _hands(3))


def _nyu_mm(uvd: NDArray[np.floating]) -> NDArray[np.float64]:
    uvd = uvd.astype(float)
    u, v, d = uvd[..., 0], uvd[..., 1], uvd[..., 2]
    return np.stack(((u - 320) * d / 588.03, (v - 240) * d / 587.07, d), -1)


@pytest.mark.parametrize(
    ("method", "published_mm"), [("V2V_PoseNet", 8.42), ("DeepPrior++", 12.24), ("DeepModel", 17.04)]
)
def test_published_predictions_give_the_published_error(shared_data: Path, method: str, published_mm: float) -> None:
    with np.load(shared_data / "published" / "nyu_test_uvd.npz", allow_pickle=False) as arrays:
        errors = metrics.joint_errors(_nyu_mm(arrays[method]), _nyu_mm(arrays["ground_truth"]))
    assert metrics.mean_or_none(errors) == pytest.approx(published_mm, abs=0.005)


def test_bone_lengths_tell_the_two_nyu_subjects_apart(shared_data: Path) -> None:
    with np.load(shared_data / "published" / "nyu_test_joints36_uvd.npz", allow_pickle=False) as arrays:
        joints = _nyu_mm(arrays["uvd"])
    hands = [joints[:, 35], joints[:, 29], joints[:, 27], joints[:, 25:27].mean(1), joints[:, 24]]
    for tip in (18, 12, 6, 0):
        hands += [joints[:, tip + 5], joints[:, tip + 3], joints[:, tip + 1 : tip + 3].mean(1), joints[:, tip]]
    subjects = (np.arange(len(joints)) >= 2440).astype(int)
    np.testing.assert_allclose(
        metrics.subject_f1(metrics.bone_lengths(np.stack(hands, 1)), subjects), [1, 1], atol=0.005
    )
