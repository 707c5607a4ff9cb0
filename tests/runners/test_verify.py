"""A runner that computes something else is found out."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runners.protocol import Estimate
from engine.runners.verify import Difference, RunnerDiffers, check, difference
from engine.types import FloatArray


class ShiftedRunner:
    """Says the same of each crop, moved by some mm; the last crop's first joint by much more."""

    name, version = "shifted", "x-1"

    def __init__(self, shift_mm: float) -> None:
        self._shift_mm = shift_mm

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        points = np.zeros((1, 21, 3), np.float32)
        points[..., 2] = self._shift_mm
        points[0, 0, 2] += 10 * self._shift_mm * (distances[0] == 2)
        nothing = np.zeros(1, np.float32)
        return Estimate(points, *(nothing,) * 8)


CROPS, DISTANCES = np.zeros((3, 128, 128), np.float32), np.array([0, 1, 2], np.float32)


def test_differences_are_those_of_the_points() -> None:
    found = difference(ShiftedRunner(0.1), ShiftedRunner(0.0), CROPS, DISTANCES)
    assert found.crops == 3
    assert found.max_mm == pytest.approx(1.1)
    assert found.mean_mm == pytest.approx(0.1 + 1.0 / 63)


def test_each_precision_has_its_bound() -> None:
    check("a runner", Difference(3, 0.01, 0.001), "fp32")
    with pytest.raises(RunnerDiffers, match=r"a runner differs from torch by max 1 mm, mean 0\.1 mm on 3 crops"):
        check("a runner", Difference(3, 1.0, 0.1), "fp32")
    check("a runner", Difference(3, 1.0, 0.1), "fp16")
    for wrong in (Difference(3, 9.0, 0.1), Difference(3, 1.0, 0.9), Difference(3, np.nan, np.nan)):
        with pytest.raises(RunnerDiffers):
            check("a runner", wrong, "fp16")
