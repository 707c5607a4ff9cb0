"""The crop's centre between frames."""

from __future__ import annotations

import numpy as np
import pytest

from engine.localise.predict import CropPredictor, PredictorConfig


def fed(velocity: tuple[float, float, float], steps: int = 20, period: float = 1 / 60) -> CropPredictor:
    predictor = CropPredictor()
    for i in range(steps):
        predictor.update(np.array([0.0, 0.0, 500.0]) + np.array(velocity) * i * period, 10.0 + i * period)
    return predictor


def last(velocity: tuple[float, float, float], steps: int = 20, period: float = 1 / 60) -> np.ndarray:
    return np.array([0.0, 0.0, 500.0]) + np.array(velocity) * (steps - 1) * period


def test_nothing_is_predicted_before_the_first_result() -> None:
    assert CropPredictor().predict(1.0) is None


def test_a_still_hand_stays() -> None:
    centre = fed((0, 0, 0)).predict(10.5)
    assert centre is not None
    np.testing.assert_allclose(centre, [0, 0, 500], atol=1e-3)


def test_a_moving_hand_is_met_on_its_way() -> None:
    velocity = (900.0, -300.0, 0.0)
    after = 10.0 + 20 / 60
    centre = fed(velocity).predict(after)
    truth = last(velocity) + np.array(velocity) / 60
    behind = np.linalg.norm(last(velocity) - truth)
    assert centre is not None
    assert np.linalg.norm(centre - truth) < 0.25 * behind


def test_the_velocity_fades_when_results_stay_away() -> None:
    predictor = fed((400.0, 0.0, 0.0))
    start = last((400.0, 0.0, 0.0))
    far = predictor.predict(60.0)
    assert far is not None
    # 400 mm/s that halves every 0.08 s goes 400 * 0.08 / ln 2 = 46 mm in all.
    assert far[0] - start[0] == pytest.approx(46.2, abs=1.0)


def test_the_step_and_the_speed_are_bounded() -> None:
    predictor = CropPredictor()
    predictor.update(np.zeros(3), 0.0)
    predictor.update(np.array([4000.0, 0, 0]), 0.01)
    centre = predictor.predict(0.2)
    assert centre is not None
    assert np.linalg.norm(centre - [4000, 0, 0]) <= PredictorConfig().max_step_mm + 1e-2


@pytest.mark.parametrize("time", [9.0, 10.0, 12.0])
def test_a_clock_that_stands_or_jumps_forgets_the_velocity(time: float) -> None:
    predictor = CropPredictor()
    predictor.update(np.zeros(3), 9.99)
    predictor.update(np.array([10.0, 0, 0]), 10.0)
    predictor.update(np.array([20.0, 0, 0]), time)
    centre = predictor.predict(time + 0.05)
    assert centre is not None
    np.testing.assert_allclose(centre, [20, 0, 0], atol=1e-4)


def test_results_that_are_no_numbers_are_left_out() -> None:
    predictor = fed((0, 0, 0))
    predictor.update(np.array([np.nan, 0, 500]), 11.0)
    predictor.update(np.array([0, 0, 900]), float("nan"))
    centre = predictor.predict(11.0)
    assert centre is not None
    np.testing.assert_allclose(centre, [0, 0, 500], atol=1e-3)


def test_the_prediction_is_its_own_array() -> None:
    predictor = fed((0, 0, 0))
    first = predictor.predict(0.0)
    assert first is not None
    first += 100
    second = predictor.predict(0.0)
    assert second is not None
    np.testing.assert_allclose(second, [0, 0, 500], atol=1e-3)
