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
from calibration.solver import ShapeSolver, Solution
from engine.fitting.state import HandState

Array = NDArray[np.float64]

#: The build is searched for on so many frames, spread evenly, in so many steps; the others only add what they say.
_SEARCHED = 32
_STEPS = 5


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
        #: Frames that were placed, by identity. What one says hardly changes with the build, so it is asked once.
        self._placed: dict[int, tuple[CalibrationFrame, HandState, Array]] = {}

    def look(self, frames: list[CalibrationFrame]) -> Progress:
        """What these frames say; without any, what is known of hands beforehand."""
        if not frames:
            unseen = np.full(len(self.solver.template.vertices), np.nan)
            return self._progress(0, 0 * self.solver.prior_precision, np.zeros((len(BONE_NAMES), len(VIEWS))), unseen)
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(_SEARCHED, len(frames))).astype(int))
        spread = [frames[index] for index in chosen]
        searched = self.solver.solve(spread, self._build, steps=_STEPS)
        self._build = searched.build
        self._note(spread, searched)
        new = [frame for frame in frames if id(frame) not in self._placed]
        if new:
            self._note(new, self.solver.place(new, self._build, steps=_STEPS))
        known = [self._placed[id(frame)] for frame in frames]
        self._placed = {id(one[0]): one for one in known}
        hands, information = [one[1] for one in known], np.stack([one[2] for one in known])
        seen = coverage(hands, information, self.solver)
        return self._progress(len(frames), information.sum(0), seen, residual_map(self.solver, spread, searched))

    def _note(self, frames: list[CalibrationFrame], placed: Solution) -> None:
        for frame, hand, information in zip(frames, placed.hands, placed.information, strict=True):
            self._placed[id(frame)] = frame, hand, information

    def _progress(self, frames: int, information: Array, seen: Array, distances: Array) -> Progress:
        solver = self.solver
        covariance = solver.covariance(information)
        lengths, sd = bone_lengths(self._build, solver.kinematics), bone_sd(covariance, solver.kinematics)
        asked = tuple(ranking(covariance, self._poses, solver, self._within_mm))
        return Progress(frames, self._build, lengths, sd, seen, distances, asked)
