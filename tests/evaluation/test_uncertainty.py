"""Expected errors against errors: intervals hold what they should, and the constants make them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation.uncertainty import calibrated, calibration_report
from engine.metrics import interval_coverage, interval_radius

NONE_HIDDEN = np.zeros((4000, 21), bool)


def gaussian_errors(sigma: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lengths of isotropic errors whose root mean square is sigma."""
    drawn = np.random.default_rng(seed).normal(size=(*sigma.shape, 3))
    return np.linalg.norm(drawn, axis=-1) * sigma / np.sqrt(3)


def some_doubt(seed: int = 1) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(2.0, 0.7, (4000, 21)))


def test_the_interval_is_the_gaussians() -> None:
    assert interval_radius(0.9) == pytest.approx(1.44354, abs=1e-5)
    errors = gaussian_errors(np.full(400_000, 5.0))
    for share in (0.1, 0.5, 0.9, 0.99):
        assert np.mean(errors < 5 * interval_radius(share)) == pytest.approx(share, abs=0.003)
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            interval_radius(share)


def test_coverage_leaves_out_what_has_no_label() -> None:
    errors = np.array([1.0, 5.0, np.nan, 20.0])
    assert interval_coverage(errors, np.full(4, 5.0), 0.9) == pytest.approx(2 / 3)
    assert interval_coverage(errors[2:3], np.full(1, 5.0), 0.9) is None


def test_the_report_tells_calibrated_from_overconfident() -> None:
    sigma = some_doubt()
    errors = gaussian_errors(sigma)
    good = calibration_report(errors, sigma, NONE_HIDDEN)
    assert good["within_90"]["all"] == pytest.approx(0.9, abs=0.01)
    assert good["reliability"]["observed"] == pytest.approx(good["reliability"]["nominal"], abs=0.01)
    assert calibration_report(errors, 0.7 * sigma, NONE_HIDDEN)["within_90"]["all"] < 0.7
    assert good["within_90"]["hidden"] is None and good["hidden_joints"] == 0


def test_the_report_tells_hidden_joints_from_seen_ones() -> None:
    sigma = some_doubt()
    hidden = NONE_HIDDEN.copy()
    hidden[:, 8] = True
    errors = gaussian_errors(sigma)
    errors[hidden] *= 3
    report = calibration_report(errors, sigma, hidden)
    assert report["hidden_joints"] == pytest.approx(1 / 21)
    assert report["within_90"]["seen"] == pytest.approx(0.9, abs=0.01)
    assert report["within_90"]["hidden"] < 0.5


def test_constants_are_found_again() -> None:
    doubt = some_doubt()
    scale, power = calibrated(gaussian_errors(0.6 * doubt**1.3), doubt)
    assert power == pytest.approx(1.3, abs=0.04)
    assert scale * np.exp(2.0) ** (power - 1.3) == pytest.approx(0.6, rel=0.04)
