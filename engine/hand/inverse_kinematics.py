"""Pose and bone lengths that bring the skeleton's joints to given points: damped Gauss-Newton, analytic Jacobian.

The encoder's dense head says where each joint is and how sure it is; its regressor says what hand that is, less exactly.
The fit below keeps the hand a hand and lets it reach for the points.
"""

from __future__ import annotations

from dataclasses import dataclass

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
_CARRIED = (_JOINTS > _BONES[:, None]) & ((_JOINTS - 1) // 4 == _BONES[:, None] // 4)
#: The bone whose frame holds each angle's axis, and which axis that is: flexions turn about x, abductions about z.
_ANGLE_BONE = np.array([4 * finger + bone for finger in range(5) for bone in (1, 1, 2, 3)])
_ABDUCTION = np.arange(20) % 4 == 1


@dataclass(frozen=True)
class FitConfig:
    """How strongly the start holds: standard deviations of angles (radians) and of beta around it."""

    steps: int = 3
    angle_sd: float = 0.35
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


def joint_jacobian(pose: SkeletonPose, rotation: FloatArray, skeleton: Skeleton) -> Array:
    """(63, 46) derivatives of the joints, mm: translation (3), turn about the camera's axes at the wrist (3),
    articulation (20), beta (20). pose: a batch of one, posed with `rotation` (3, 3)."""
    joints, frames, origins = (t[0].double().numpy() for t in (pose.joints, pose.rotations, pose.origins))
    jacobian = np.zeros((JOINT_COUNT, 3, 6 + 20 + BETA_SIZE))
    jacobian[:, :, :3] = np.eye(3)
    arms = joints - joints[0]
    jacobian[:, :, 3:6] = np.cross(np.eye(3)[None], arms[:, None]).transpose(0, 2, 1)
    before = np.repeat(rotation @ skeleton.finger_frames.double().numpy(), 4, axis=0)
    axes = np.where(_ABDUCTION[:, None], before[:, :, 2], frames[_ANGLE_BONE, :, 0])
    levers = joints[None] - origins[_ANGLE_BONE][:, None]
    turns = np.cross(axes[:, None], levers) * _CARRIED[_ANGLE_BONE][..., None]
    jacobian[:, :, 6:26] = turns.transpose(1, 2, 0)
    stretch = frames[:, None, :, 1] * _CARRIED[..., None]
    jacobian[:, :, 26:] = stretch.transpose(1, 2, 0) @ skeleton.bone_length_basis.double().numpy()
    return jacobian.reshape(3 * JOINT_COUNT, -1)


@torch.inference_mode()
def fit_points(
    start: FittedPose, points: FloatArray, sigma: FloatArray, skeleton: Skeleton, config: FitConfig = FitConfig()
) -> FittedPose:
    """Move from `start` towards points (21, 3) mm with standard deviations sigma (21,) mm."""
    weights = np.repeat(1.0 / np.asarray(sigma, np.float64), 3)
    current = start
    for _ in range(config.steps):
        pose = _pose(current, skeleton)
        residual = (pose.joints[0].double().numpy() - points).reshape(-1) * weights
        jacobian = joint_jacobian(pose, current.rotation, skeleton) * weights[:, None]
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residual
        _add_priors(hessian, gradient, current, start, config)
        hessian[np.diag_indices(len(hessian))] *= 1 + config.damping
        current = _moved(current, -np.linalg.solve(hessian, gradient))
    return current


def _pose(fit: FittedPose, skeleton: Skeleton) -> SkeletonPose:
    batch = (
        torch.from_numpy(np.asarray(a, np.float32)).unsqueeze(0)
        for a in (fit.translation, fit.rotation, fit.articulation, fit.beta)
    )
    translation, rotation, articulation, beta = batch
    return skeleton.pose(translation, rotation, articulation, skeleton.bone_lengths(beta))


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
    turn = torch.linalg.matrix_exp(torch.from_numpy(_skew(step[3:6]))).numpy()
    return FittedPose(
        fit.translation + step[:3], turn @ fit.rotation, fit.articulation + step[6:26], fit.beta + step[26:]
    )


def _skew(v: Array) -> Array:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
