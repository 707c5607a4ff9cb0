"""A motion posed for exporters: skeleton and rotations of every frame, and the frames other programs use.

Where the hand was lost, the last pose is held; before it was first found, the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.skeleton import Skeleton
from engine.takes.motion import Motion
from engine.types import FloatArray, LumbricalError, Side

Array = NDArray[np.float64]

#: What an export may differ from its motion.
JOINT_TOLERANCE_MM = 0.1
_CHUNK = 4096
#: From the canonical hand in the camera frame, x right, y down, z forward, to its own side with y up.
_MIRROR = {Side.RIGHT: np.array([1.0, -1.0, -1.0]), Side.LEFT: np.array([-1.0, -1.0, -1.0])}


@dataclass(frozen=True)
class PosedMotion:
    """N frames that all have a hand, on its own side; mm, x to the camera's right, y up, z towards it.

    joints (N, 21, 3); wrist (N, 3, 3) the wrist's turn from rest; frames (N, 20, 3, 3) from each bone's frame, which
    has y along the bone, z out of the flexor side and x = y cross z, for a left hand, too; lengths (N, 20) mm;
    thickness (N, 6) mm.
    At rest the palm faces the camera and the fingers point up: rest_joints (21, 3), rest_frames (20, 3, 3).
    """

    joints: Array
    wrist: Array
    frames: Array
    lengths: Array
    thickness: FloatArray
    rest_joints: Array
    rest_frames: Array


def check_has_hand(motion: Motion) -> None:
    """Raise LumbricalError for a motion that gives nothing to pose."""
    if not motion.tracked.any():
        raise LumbricalError(f"the motion has no hand in any of its {len(motion)} frames: there is nothing to pose")


def held_frames(tracked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) for each frame the tracked one whose pose stands for it: itself, the last before it, or the first of all."""
    numbers = np.where(tracked, np.arange(len(tracked)), -1)
    return np.where(np.maximum.accumulate(numbers) < 0, int(tracked.argmax()), np.maximum.accumulate(numbers))


def lost_ranges(tracked: NDArray[np.bool_]) -> list[list[int]]:
    """The runs of lost frames, each as its first and last frame."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], tracked, [True])).astype(np.int8)))
    return [[int(first), int(end) - 1] for first, end in zip(edges[::2], edges[1::2], strict=True)]


def pose_motion(motion: Motion, rest_beta: FloatArray | None = None, one_shape: bool = False) -> PosedMotion:
    """Pose every frame. rest_beta: (20,) the shape at rest, the mean hand if None; one_shape: it is every frame's.

    Raises LumbricalError where no frame has a hand, and where the motion's joints are not those of its parameters.
    """
    check_has_hand(motion)
    held = held_frames(motion.tracked)
    shape = np.zeros(motion.beta.shape[1]) if rest_beta is None else rest_beta
    beta = np.broadcast_to(shape, motion.beta.shape) if one_shape else motion.beta[held]
    joints, frames, lengths = _forward(motion.theta[held], beta)
    if not one_shape:
        _check_joints(motion, joints)
    rest_joints, rest_frames, _ = _forward(np.zeros((1, motion.theta.shape[1])), shape[None])
    mirror = _MIRROR[motion.side]
    # The first bone is fixed to the wrist.
    wrist = frames[:, 0] @ rest_frames[0, 0].T
    return PosedMotion(
        joints=joints * mirror,
        wrist=mirror[:, None] * wrist * mirror,
        frames=_own_side(frames, mirror),
        lengths=lengths,
        thickness=motion.thickness[held],
        rest_joints=rest_joints[0] * mirror,
        rest_frames=_own_side(rest_frames[0], mirror),
    )


def to_y_up(points: Array, side: Side) -> Array:
    """Points or directions (..., 3) of the canonical right hand, camera frame, as PosedMotion has them."""
    return points * _MIRROR[side]


def _own_side(frames: Array, mirror: Array) -> Array:
    """Bone frames (..., 3, 3) carried over; mirroring would leave them left-handed, so x turns round."""
    handed = np.array([np.prod(mirror), 1.0, 1.0])
    return mirror[:, None] * frames * handed


def _forward(theta: FloatArray, beta: FloatArray) -> tuple[Array, Array, Array]:
    """Joints (N, 21, 3), bone frames (N, 20, 3, 3) and lengths (N, 20) in the canonical camera frame, mm."""
    skeleton = Skeleton(torch.float64)
    parts: list[tuple[Array, Array, Array]] = []
    with torch.inference_mode():
        for first in range(0, len(theta), _CHUNK):
            rows = slice(first, first + _CHUNK)
            pose = skeleton(torch.tensor(theta[rows]), torch.tensor(beta[rows]))
            parts.append((pose.joints.numpy(), pose.rotations.numpy(), pose.bone_lengths.numpy()))
    joints, frames, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return joints, frames, lengths


def _check_joints(motion: Motion, joints: Array) -> None:
    """joints: (N, 21, 3) canonical, camera frame."""
    own = motion.joints_mm * ([-1.0, 1.0, 1.0] if motion.side is Side.LEFT else [1.0, 1.0, 1.0])
    off = np.linalg.norm(own - joints, axis=2).max(1)
    off[~motion.tracked] = 0.0
    frame = int(off.argmax())
    if off[frame] > JOINT_TOLERANCE_MM:
        raise LumbricalError(
            f"the motion's joints are {off[frame]:.2g} mm off those of its theta and beta in frame {frame}: "
            "bones need both to agree, so track it again, or export .csv or .npz"
        )
