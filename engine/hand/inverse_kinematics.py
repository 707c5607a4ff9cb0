"""Pose and bone lengths that bring the skeleton's joints to given points: damped Gauss-Newton, analytic Jacobian.

The encoder's dense head says where each joint is and how sure it is; its regressor says what hand that is, less
exactly. The fit below keeps the hand a hand and lets it reach for the points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.types import BETA_SIZE, BONE_COUNT, JOINT_COUNT, FloatArray

Array = NDArray[np.float64]

_BONES = np.arange(BONE_COUNT)
_JOINTS = np.arange(JOINT_COUNT)
#: (20, 21) which joints a bone carries: its far end and all beyond it in the same finger.
_CARRIED = (_BONES[:, None] < _JOINTS) & (_BONES[:, None] // 4 == (_JOINTS - 1) // 4)
#: Translation, turn, articulation, beta.
PARAMETERS = 3 + 3 + 20 + BETA_SIZE
#: The bone whose frame holds each angle's axis, and which axis that is: flexions turn about x, abductions about z.
ANGLE_BONE = np.array([4 * finger + bone for finger in range(5) for bone in (1, 1, 2, 3)])
_ABDUCTION = np.arange(20) % 4 == 1


@dataclass(frozen=True)
class FitConfig:
    """How strongly the start holds: standard deviations of angles (radians) and of beta around it."""

    steps: int = 2
    angle_sd: float = 0.5
    beta_sd: float = 0.5
    limit_sd: float = 0.05
    damping: float = 1e-3


@dataclass(frozen=True)
class FittedPose:
    """translation (3,) mm, rotation (3, 3), articulation (20,) radians, beta (20,)."""

    translation: Array
    rotation: Array
    articulation: Array
    beta: Array


#: What else is known of a pose: its normal equations J'WJ (46, 46) and J'Wr (46,) at a pose.
Evidence = Callable[[FittedPose, SkeletonPose], tuple[Array, Array]]


class PoseFitter:
    """Fits the skeleton to points, one hand at a time."""

    def __init__(self, skeleton: Skeleton, config: FitConfig = FitConfig()) -> None:
        self.config = config
        self._skeleton = skeleton
        self._basis = skeleton.bone_length_basis.double().numpy()

    @torch.inference_mode()
    def fit(
        self, start: FittedPose, points: FloatArray, sigma: FloatArray, evidence: Evidence | None = None
    ) -> FittedPose:
        """Move from `start` towards points (21, 3) mm, weighted by 1 / sigma^2; sigma: (21,) mm, the points' expected
        errors. Frame: any camera's, the same for start and points. evidence: a further term, asked at every step.
        """
        weights = np.repeat(1.0 / np.asarray(sigma, np.float64), 3)
        current = start
        for _ in range(self.config.steps):
            pose = self.pose(current)
            residual = (pose.joints[0].numpy() - points).reshape(-1) * weights
            jacobian = self.jacobian(pose, current.rotation) * weights[:, None]
            hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residual
            if evidence is not None:
                more_hessian, more_gradient = evidence(current, pose)
                hessian, gradient = hessian + more_hessian, gradient + more_gradient
            _add_priors(hessian, gradient, current, start, self.config)
            hessian[np.diag_indices(len(hessian))] *= 1 + self.config.damping
            current = _moved(current, -np.linalg.solve(hessian, gradient).astype(np.float64))
        return current

    def pose(self, fit: FittedPose) -> SkeletonPose:
        """The skeleton so posed, a batch of one, in the skeleton's own precision."""
        arrays = (fit.translation, fit.rotation, fit.articulation, fit.beta)
        dtype = self._skeleton.bone_length_mean.dtype
        translation, rotation, articulation, beta = (torch.from_numpy(a).to(dtype).unsqueeze(0) for a in arrays)
        return self._skeleton.pose(translation, rotation, articulation, self._skeleton.bone_lengths(beta))

    def jacobian(self, pose: SkeletonPose, rotation: Array) -> Array:
        """(63, 46) derivatives of the joints, mm: translation (3), turn about the camera's axes at the wrist (3),
        articulation (20), beta (20). pose: a batch of one, posed with `rotation` (3, 3)."""
        joints, frames, origins = (t[0].double().numpy() for t in (pose.joints, pose.rotations, pose.origins))
        jacobian = np.zeros((JOINT_COUNT, 3, PARAMETERS))
        jacobian[:, :, :3] = np.eye(3)
        x, y, z = (joints - joints[0]).T
        jacobian[:, 1, 3], jacobian[:, 2, 3] = -z, y
        jacobian[:, 0, 4], jacobian[:, 2, 4] = z, -x
        jacobian[:, 0, 5], jacobian[:, 1, 5] = -y, x
        axes = angle_axes(pose, rotation, self._skeleton)
        levers = joints[None] - origins[ANGLE_BONE][:, None]
        turns = cross(axes[:, None], levers) * _CARRIED[ANGLE_BONE][..., None]
        jacobian[:, :, 6:26] = turns.transpose(1, 2, 0)
        stretch = (frames[:, None, :, 1] * _CARRIED[..., None]).transpose(1, 2, 0).reshape(-1, BONE_COUNT)
        jacobian[:, :, 26:] = (stretch @ self._basis).reshape(JOINT_COUNT, 3, BETA_SIZE)
        return jacobian.reshape(3 * JOINT_COUNT, -1)


def angle_axes(pose: SkeletonPose, rotation: Array, skeleton: Skeleton) -> Array:
    """(20, 3) the axis that each articulation angle turns about; pose: a batch of one, posed with `rotation` (3, 3)."""
    before = np.repeat(rotation @ skeleton.finger_frames.double().numpy(), 4, axis=0)
    return np.where(_ABDUCTION[:, None], before[:, :, 2], pose.rotations[0].double().numpy()[ANGLE_BONE, :, 0])


def cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis; numpy's own costs several times more on small arrays."""
    (ax, ay, az), (bx, by, bz) = (np.moveaxis(v, -1, 0) for v in (a, b))
    return np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), -1)


def _add_priors(hessian: Array, gradient: Array, current: FittedPose, start: FittedPose, config: FitConfig) -> None:
    """The pull back to the start, and within the anatomical limits (Wang et al., Eq. 9)."""
    angles = np.arange(6, 26)
    hessian[angles, angles] += config.angle_sd**-2
    gradient[angles] += (current.articulation - start.articulation) * config.angle_sd**-2
    betas = np.arange(26, 26 + BETA_SIZE)
    hessian[betas, betas] += config.beta_sd**-2
    gradient[betas] += (current.beta - start.beta) * config.beta_sd**-2
    low, high = ARTICULATION_LIMITS.T
    excess = np.minimum(current.articulation - low, 0) + np.maximum(current.articulation - high, 0)
    hessian[angles, angles] += (excess != 0) * config.limit_sd**-2
    gradient[angles] += excess * config.limit_sd**-2


def _moved(fit: FittedPose, step: Array) -> FittedPose:
    turn = cv2.Rodrigues(step[3:6])[0]
    return FittedPose(
        fit.translation + step[:3], turn @ fit.rotation, fit.articulation + step[6:26], fit.beta + step[26:]
    )
