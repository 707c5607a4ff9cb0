"""Whether a runner says the same as the reference, in mm on crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.runners.protocol import Estimate, Runner
from engine.types import FloatArray, LumbricalError

#: How far a point may move at most, and on average, mm, by a runner's precision.
BOUNDS_MM = {"fp32": (0.05, 0.01), "fp16": (5.0, 0.25), "int8": (60.0, 3.5)}


class RunnerDiffers(LumbricalError):
    """A runner does not compute what the weights say."""


@dataclass(frozen=True)
class Difference:
    """How far two runners' points are apart over `crops` crops, mm."""

    crops: int
    max_mm: float
    mean_mm: float

    def __str__(self) -> str:
        return f"max {self.max_mm:.3g} mm, mean {self.mean_mm:.3g} mm on {self.crops} crops"


def difference(runner: Runner, reference: Runner, crops: FloatArray, distances: FloatArray) -> Difference:
    """Between the points that both say of crops (N, 128, 128) at distances (N,) mm, one crop at a time."""

    def points(one: Runner) -> FloatArray:
        said: list[Estimate] = [one.run(crops[i : i + 1], distances[i : i + 1]) for i in range(len(crops))]
        return np.concatenate([estimate.points for estimate in said])

    apart = np.linalg.norm(points(runner) - points(reference), axis=2)
    return Difference(len(crops), float(apart.max()), float(apart.mean()))


def check(name: str, found: Difference, precision: str) -> None:
    """Raise RunnerDiffers where a difference exceeds what its precision (a key of BOUNDS_MM) explains, or is not a
    number."""
    most, mean = BOUNDS_MM[precision]
    if not (found.max_mm <= most and found.mean_mm <= mean):
        raise RunnerDiffers(
            f"{name} differs from torch by {found}; {precision} allows {most:g} and {mean:g}: it is not used"
        )
