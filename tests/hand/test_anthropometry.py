"""The bone-length space: plausible hands, and a basis that is exactly its covariance."""

from __future__ import annotations

import numpy as np
import pytest

from engine.hand import anthropometry as anthro
from engine.types import BONE_COUNT, JOINT_COUNT, THICKNESS_SIZE

MIDDLE_RAY = slice(8, 12)


def test_basis_times_its_transpose_is_the_covariance() -> None:
    mean, basis = anthro.bone_length_basis()
    assert mean.shape == (BONE_COUNT,) and basis.shape == (BONE_COUNT, BONE_COUNT)
    np.testing.assert_allclose(basis @ basis.T, anthro.BONE_LENGTH_COVARIANCE, atol=1e-9)


def test_samples_of_beta_reproduce_mean_and_covariance() -> None:
    mean, basis = anthro.bone_length_basis()
    beta = np.random.default_rng(7).standard_normal((200_000, BONE_COUNT))
    lengths = mean + beta @ basis.T
    np.testing.assert_allclose(lengths.mean(axis=0), anthro.BONE_LENGTH_MEAN_MM, atol=0.1)
    error = np.cov(lengths.T) - anthro.BONE_LENGTH_COVARIANCE
    assert np.abs(error).max() < 0.02 * anthro.BONE_LENGTH_COVARIANCE.max()


def test_covariance_is_a_covariance_with_the_stated_spread() -> None:
    covariance = anthro.BONE_LENGTH_COVARIANCE
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0.1
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), anthro.BONE_LENGTH_SD_MM)
    shares = anthro.SIZE_SHARE + anthro.FINGER_SHARE + anthro.ROW_SHARE + anthro.OWN_SHARE
    assert shares == pytest.approx(1.0)


def test_columns_fall_in_variance_and_have_a_fixed_sign() -> None:
    _, basis = anthro.bone_length_basis()
    variance = (basis**2).sum(axis=0)
    assert np.all(np.diff(variance) <= 1e-9)
    assert np.all(basis.sum(axis=0) > 0)
    assert np.all(basis[:, 0] > 0), "the first direction is the size of the whole hand"
    np.testing.assert_array_equal(basis, anthro.bone_length_basis()[1])


def test_basis_columns_stay_apart_so_that_beta_means_the_same_everywhere() -> None:
    variance = (anthro.bone_length_basis()[1] ** 2).sum(axis=0)
    assert np.min(-np.diff(variance) / variance[:-1]) > 1e-4


def test_callers_cannot_change_the_mean() -> None:
    mean, _ = anthro.bone_length_basis()
    mean += 100
    assert anthro.BONE_LENGTH_MEAN_MM.max() < 100


def test_lengths_stay_positive_four_sigma_out_on_every_axis() -> None:
    mean, basis = anthro.bone_length_basis()
    assert (mean[:, None] + 4 * basis).min() > 10
    assert (mean[:, None] - 4 * basis).min() > 10


def test_hand_length_is_that_of_a_mixed_adult_population() -> None:
    ray = anthro.BONE_LENGTH_MEAN_MM[MIDDLE_RAY].sum()
    sd = np.sqrt(anthro.BONE_LENGTH_COVARIANCE[MIDDLE_RAY, MIDDLE_RAY].sum())
    hand_length = ray + anthro.STYLION_TO_WRIST_CENTRE_MM
    assert 180 < hand_length < 190
    assert 0.05 < sd / hand_length < 0.065  # Greiner, both sexes: 187 mm, 6.4 %
    assert 172 < ray < 182


@pytest.mark.parametrize(("finger", "tip_to_crease_mm"), [(1, 177.6), (2, 186.5), (3, 177.0), (4, 152.7)])
def test_fingers_reach_as_far_as_greiner_measured(finger: int, tip_to_crease_mm: float) -> None:
    phalanges = anthro.BONE_LENGTH_MEAN_MM[4 * finger + 1 : 4 * finger + 4].sum()
    reach = anthro.STYLION_TO_WRIST_CENTRE_MM + anthro.FIRST_JOINT_POSITIONS_MM[finger, 1] + phalanges
    assert reach == pytest.approx(tip_to_crease_mm, rel=0.05)


def test_proportions_of_the_skeleton() -> None:
    bones = anthro.BONE_LENGTH_MEAN_MM.reshape(5, 4)
    assert np.all(np.diff(bones[1:], axis=1)[:, :2] < 0), "metacarpal > proximal > middle phalanx"
    finger_length = bones[1:, 1:].sum(axis=1)
    assert finger_length.argmax() == 1 and finger_length.argmin() == 3
    assert 25 <= bones[0, 0] <= 33, "the saddle joint is 25-33 mm from the wrist's centre"
    np.testing.assert_allclose(np.linalg.norm(anthro.FIRST_JOINT_POSITIONS_MM, axis=1), bones[:, 0])


def test_first_joints_lie_in_order_across_a_palm_as_broad_as_the_hand() -> None:
    across = anthro.FIRST_JOINT_POSITIONS_MM[:, 0]
    assert np.all(np.diff(across) > 0)
    radii = anthro.JOINT_RADIUS_MM
    breadth = across[4] + radii[17] - (across[1] - radii[5])
    assert breadth == pytest.approx(anthro.HAND_BREADTH_MM, rel=0.06)


def test_radii_taper_to_the_tips_and_match_girths() -> None:
    radii = anthro.JOINT_RADIUS_MM
    assert radii.shape == (JOINT_COUNT,) and np.all(np.isfinite(radii))
    assert np.all(np.diff(radii[1:].reshape(5, 4), axis=1) < 0)
    np.testing.assert_allclose(2 * np.pi * radii[[3, 6, 10, 14, 18]], anthro.PIP_CIRCUMFERENCE_MM)
    assert np.all(np.abs(anthro.PIP_BREADTH_MM / anthro.PIP_DEPTH_MM - 1.05) < 0.07)
    assert np.all(radii[4::4] < anthro.BONE_LENGTH_MEAN_MM[3::4] / 2), "a fingertip's rounding fits its phalanx"


def test_wrist_is_broader_than_thick_and_thickness_spreads_are_small() -> None:
    assert 35 < anthro.WRIST_THICKNESS_MM < 43 < anthro.WRIST_BREADTH_MM < anthro.HAND_BREADTH_MM
    assert anthro.THICKNESS_SD_MM.shape == (THICKNESS_SIZE,)
    assert np.all((anthro.THICKNESS_SD_MM > 0.4) & (anthro.THICKNESS_SD_MM < 1.5))
