"""How far a session has come, quickly: what its frames say by now, and which pose to ask for next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import BONE_NAMES, WITHIN_MM, bone_lengths, bone_sd
from calibration.frames import Build, CalibrationFrame
from calibration.heat import residual_map
from calibration.poses import CATALOGUE, pose_information, ranking
from calibration.session import VIEWS, coverage
from calibration.solver import ShapeSolver

Array = NDArray[np.float64]

#: The build is searched for on so many frames, spread evenly; the others only add what they say.
_SEARCHED = 32


@dataclass(frozen=True)
class Progress:
    """frames: that it was worked out from. build: so far. lengths_mm, sd_mm: (20,) of the bones. coverage: (20, 6), see
    session.coverage. residual_map: (V,) mm, see heat. next_poses: all poses of the catalogue, the most telling first.
    """

    frames: int
    build: Build
    lengths_mm: Array
    sd_mm: Array
    coverage: Array
    residual_map: Array
    next_poses: tuple[int, ...]

    def undetermined(self, within_mm: float = WITHIN_MM) -> tuple[str, ...]:
        """Names of the bones that are not known within_mm yet."""
        return tuple(name for name, sd in zip(BONE_NAMES, self.sd_mm, strict=True) if sd > within_mm)


class ProgressSolver:
    """Works out Progress for one user; searches on from where the last one ended."""

    def __init__(self, solver: ShapeSolver, within_mm: float = WITHIN_MM) -> None:
        self.solver, self._within_mm = solver, within_mm
        self._poses = [pose_information(pose, solver, Build.mean()) for pose in CATALOGUE]
        self._build = Build.mean()

    def look(self, frames: list[CalibrationFrame]) -> Progress:
        """What these frames say; without any, what is known of hands beforehand."""
        solver = self.solver
        if not frames:
            covariance = solver.covariance(np.zeros_like(solver.prior_precision))
            unseen = np.full(len(solver.template.vertices), np.nan)
            return self._progress(0, covariance, np.zeros((len(BONE_NAMES), len(VIEWS))), unseen)
        spread = np.unique(np.linspace(0, len(frames) - 1, min(_SEARCHED, len(frames))).astype(int))
        self._build = solver.solve([frames[index] for index in spread], self._build, steps=5).build
        placed = solver.place(frames, self._build, steps=4)
        seen = coverage(placed, solver)
        return self._progress(len(frames), placed.covariance, seen, residual_map(solver, frames, placed))

    def _progress(self, frames: int, covariance: Array, seen: Array, distances: Array) -> Progress:
        lengths, sd = bone_lengths(self._build, self.solver.kinematics), bone_sd(covariance, self.solver.kinematics)
        asked = tuple(ranking(covariance, self._poses, self.solver, self._within_mm))
        return Progress(frames, self._build, lengths, sd, seen, distances, asked)
