"""What a calibration says of a hand: each bone as length ± mm, and which bones its frames do not determine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.frames import Build
from calibration.solver import Solution
from engine.fitting.kinematics import Kinematics
from engine.fitting.state import PARAMETERS
from engine.types import BETA_SIZE, FINGERS, THICKNESS_SIZE, FloatArray

Array = NDArray[np.float64]

_ROWS = ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx")
_THUMB = ("carpus", "metacarpal", "proximal phalanx", "distal phalanx")
#: In the order of bones; a finger's metacarpal reaches to the wrist's centre, as in engine.types.JOINT_PARENTS.
BONE_NAMES = tuple(f"{finger} {bone}" for finger in FINGERS for bone in (_THUMB if finger == "thumb" else _ROWS))
#: A session asks for more until each bone is known this well: its standard deviation, mm.
WITHIN_MM = 2.0
#: Bones of one hand, solved twice, differ by less on average, mm.
ONE_HAND_MM = 4.0
#: How far beyond its mean one value in ten of a normal distribution lies, to either side, in standard deviations.
NINETY = 1.645
SHAPE_SIZE = BETA_SIZE + THICKNESS_SIZE
assert SHAPE_SIZE == PARAMETERS - 26


@dataclass(frozen=True)
class ShapeEstimate:
    """build: the hand. lengths_mm (20,) with standard deviations sd_mm (20,): two bones of three lie within ± one of
    them, nine of ten within ± 1.645. covariance (26, 26): of beta and thickness. frames: that it was learnt from.
    """

    build: Build
    lengths_mm: Array
    sd_mm: Array
    covariance: Array
    frames: int

    @staticmethod
    def of(solution: Solution, kinematics: Kinematics) -> ShapeEstimate:
        """What a solution says."""
        return ShapeEstimate(
            solution.build,
            bone_lengths(solution.build, kinematics),
            bone_sd(solution.covariance, kinematics),
            solution.covariance[:SHAPE_SIZE, :SHAPE_SIZE],
            len(solution.hands),
        )

    def undetermined(self, within_mm: float = WITHIN_MM) -> tuple[str, ...]:
        """Names of the bones whose standard deviation is above within_mm."""
        return tuple(name for name, sd in zip(BONE_NAMES, self.sd_mm, strict=True) if sd > within_mm)


def bone_lengths(build: Build, kinematics: Kinematics) -> Array:
    """(20,) mm, as kinematics poses them."""
    return np.asarray(np.maximum(kinematics.mean + kinematics.basis @ build.beta, 0.2 * kinematics.mean))


def bone_sd(covariance: FloatArray, kinematics: Kinematics) -> Array:
    """(20,) standard deviations, mm, of bones under a covariance whose first 20 rows are beta's."""
    of_beta = covariance[:BETA_SIZE, :BETA_SIZE]
    return np.asarray(np.sqrt(((kinematics.basis @ of_beta) * kinematics.basis).sum(1)))
