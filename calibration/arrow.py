"""Least squares with one shape and many poses: each frame's pose meets the shape, and no two poses meet.

Normal equations of that form are an arrow: blocks of poses down the diagonal, one border of the shape. Eliminating the
poses (Schur complement) leaves a system of the shape's size whatever the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.fitting.state import BETA
from engine.types import FloatArray

#: Parameters of a frame's own, as in engine.fitting.state; all beyond them are the shape's, which frames share.
POSE = slice(0, BETA.start)


@dataclass(frozen=True)
class ArrowSolution:
    """poses (N, 26) and shape (S,): the step. information (N, S, S): what each frame says of the shape once its own
    pose is free, without priors."""

    poses: FloatArray
    shape: FloatArray
    information: FloatArray


def solve_arrow(
    hessians: FloatArray,
    gradients: FloatArray,
    prior: FloatArray,
    prior_gradient: FloatArray,
    damping: float = 0.0,
    weights: FloatArray | None = None,
) -> ArrowSolution:
    """The step that minimises the sum of all frames' quadratic models and the shape's prior.

    hessians (N, 26 + S, 26 + S), gradients (N, 26 + S): of single frames, priors of their poses among them. prior
    (S, S), prior_gradient (S,): of the shape. damping: of the poses' diagonals, relative. weights (N,): what frames
    count, 1 when None; a pose is a frame's own whatever the frame counts. Raises numpy.linalg.LinAlgError where a pose
    is not determined.
    """
    size = hessians.shape[1] - POSE.stop
    shared = slice(POSE.stop, None)
    pose, border = hessians[:, POSE, POSE], hessians[:, POSE, shared]
    pose = pose * (1 + damping * np.eye(POSE.stop))
    right = np.concatenate((border, gradients[:, POSE, None]), 2)
    solved = np.linalg.solve(pose, right)
    by_shape, alone = solved[..., :size], solved[..., size]
    information = hessians[:, shared, shared] - border.transpose(0, 2, 1) @ by_shape
    information = 0.5 * (information + information.transpose(0, 2, 1))
    pulls = gradients[:, shared] - np.einsum("nps,np->ns", border, alone)
    if weights is not None:
        information, pulls = weights[:, None, None] * information, weights[:, None] * pulls
    shape = -np.linalg.solve(prior + information.sum(0), prior_gradient + pulls.sum(0))
    return ArrowSolution(-alone - by_shape @ shape, shape, information)
