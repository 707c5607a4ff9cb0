"""Which frames to learn from, and what to ask for next: those that narrow the bones' variances most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import bone_sd
from calibration.solver import ShapeSolver
from engine.types import BETA_SIZE, FloatArray

Array = NDArray[np.float64]

#: So many frames are chosen before the covariance is worked out anew.
_AT_ONCE = 3


def expected_gains(information: FloatArray, covariance: FloatArray, solver: ShapeSolver) -> Array:
    """(N,) mm², by how much the sum of the bones' variances falls with each frame, to first order.

    information (N, 126, 126) of the frames, covariance (126, 126) of what is known.
    """
    towards = covariance[:, :BETA_SIZE] @ solver.kinematics.basis.T
    return np.asarray(np.einsum("sb,nst,tb->n", towards, information, towards, optimize=True) / solver.config.doubt)


def choose_frames(information: FloatArray, count: int, solver: ShapeSolver, within_mm: float = 0.0) -> list[int]:
    """Up to `count` of the frames whose information (N, 126, 126) is given, the most telling first; fewer where every
    bone's standard deviation is within_mm already. Greedy: each is chosen for what the ones before have left open.
    """
    left, chosen = np.ones(len(information), bool), list[int]()
    known = np.zeros(information.shape[1:])
    while len(chosen) < count and left.any():
        covariance = solver.covariance(known)
        if chosen and bone_sd(covariance, solver.kinematics).max() <= within_mm:
            break
        places = np.nonzero(left)[0]
        gains = expected_gains(information[places], covariance, solver)
        best = places[np.argsort(-gains, kind="stable")[: min(_AT_ONCE, count - len(chosen))]]
        chosen.extend(int(index) for index in best)
        left[best] = False
        known = known + information[best].sum(0)
    return chosen
