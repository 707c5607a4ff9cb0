"""Joint limits and Eq. 9."""

from __future__ import annotations

import numpy as np
import pytest

from engine.hand.anthropometry import METACARPAL_SPLAY_RAD
from engine.hand.limits import (
    ARTICULATION_LIMITS,
    FINGER_EVERYDAY_MEAN,
    FINGER_EVERYDAY_RANGE,
    FINGER_EVERYDAY_SD,
    THUMB_EVERYDAY_MEAN,
    limit_violation,
)

LOWER, UPPER = ARTICULATION_LIMITS.T
THUMB = slice(0, 4)
FINGERS = ARTICULATION_LIMITS[4:].reshape(4, 4, 2)


def test_limits_are_ordered_radians_around_the_flat_hand() -> None:
    assert ARTICULATION_LIMITS.shape == (20, 2)
    assert np.all(LOWER < 0) and np.all(UPPER > 0)
    assert ARTICULATION_LIMITS.max() < np.deg2rad(136) and ARTICULATION_LIMITS.min() > np.deg2rad(-51)


def test_fist_open_hand_and_fingers_side_by_side_are_allowed() -> None:
    fist = np.deg2rad(np.array([20, 10, 40, 60] + 4 * [90, 0, 105, 70]))
    side_by_side = np.zeros(20)
    side_by_side[5::4] = -METACARPAL_SPLAY_RAD
    assert limit_violation(fist) == 0
    assert limit_violation(np.zeros(20)) == 0
    assert limit_violation(side_by_side) == 0


def test_fingers_do_not_bend_far_backwards() -> None:
    backwards = np.zeros(20)
    backwards[6] = np.deg2rad(-40)
    assert limit_violation(backwards) == pytest.approx(np.deg2rad(30) ** 2)


def test_violation_is_the_sum_of_squares_on_either_side() -> None:
    angles = np.zeros(20)
    angles[2] = UPPER[2] + 0.3
    angles[17] = LOWER[17] - 0.4
    assert limit_violation(angles) == pytest.approx(0.25)
    assert limit_violation(LOWER) == 0 and limit_violation(UPPER) == 0


def test_violation_keeps_leading_axes() -> None:
    angles = np.zeros((2, 3, 20))
    angles[1, 2] = UPPER + 0.1
    violation = limit_violation(angles)
    assert violation.shape == (2, 3)
    assert violation[1, 2] == pytest.approx(20 * 0.01) and violation.sum() == violation[1, 2]


@pytest.mark.parametrize("shape", [(), (19,), (20, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="20"):
        limit_violation(np.zeros(shape))


def test_everyday_use_lies_within_the_limits() -> None:
    flexion = FINGERS[:, [0, 2, 3]]
    assert np.all(flexion[..., 0] < FINGER_EVERYDAY_RANGE[:, 0])
    assert np.all(flexion[..., 1] > FINGER_EVERYDAY_RANGE[:, 1])
    np.testing.assert_allclose(FINGER_EVERYDAY_MEAN + 1.645 * FINGER_EVERYDAY_SD, FINGER_EVERYDAY_RANGE[:, 1])
    assert np.all(UPPER[THUMB][[0, 2, 3]] > THUMB_EVERYDAY_MEAN)


def test_ulnar_fingers_bend_at_least_as_far() -> None:
    assert np.all(np.diff(FINGERS[:, [0, 2], 1], axis=0) >= 0)
