"""The posed skeleton of one hand in numpy: engine.hand.skeleton's twin for tracking.

Torch costs more for its calls than for the arithmetic of a single hand; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray

#: The bone whose frame holds each angle's axis, and which axis that is: flexions turn about x, abductions about z.
ANGLE_BONE = np.array([4 * finger + bone for finger in range(5) for bone in (1, 1, 2, 3)])


@dataclass(frozen=True)
class PosedBones:
    """A posed skeleton. joints (21, 3) mm; frames (20, 3, 3), origins (20, 3) mm and lengths (20,) mm of the bones, as
    in SkeletonPose; axes (20, 3): what each articulation angle turns about."""

    joints: FloatArray
    frames: FloatArray
    origins: FloatArray
    lengths: FloatArray
    axes: FloatArray


class Bones:
    """Poses the hand model's skeleton.

    mean (20,) mm and basis (20, 20): of its bone lengths. rest_frames (20, 3, 3) and rest_origins (20, 3): its bones
    at zero angles and mean lengths.
    """

    def __init__(self) -> None:
        exact = Skeleton(torch.float64)
        self._finger_frames = exact.finger_frames.numpy()
        self._palm_frames = exact.palm_frames.numpy()
        self.mean, self.basis = exact.bone_length_mean.numpy(), exact.bone_length_basis.numpy()
        rest = rest_pose(exact)
        self.rest_frames, self.rest_origins = rest.rotations[0].numpy(), rest.origins[0].numpy()

    def posed(
        self, translation: FloatArray, rotation: FloatArray, articulation: FloatArray, beta: FloatArray
    ) -> PosedBones:
        """Skeleton.pose for one hand: its wrist's place (3,) mm and rotation (3, 3), angles (20,), beta (20,)."""
        lengths = np.maximum(self.mean + self.basis @ beta, 0.2 * self.mean)
        angles = articulation.reshape(5, 4)
        before = rotation @ self._finger_frames
        spread = _spread(before, angles[:, 1])
        frames = np.empty((5, 4, 3, 3))
        frames[:, 0] = rotation @ self._palm_frames
        # All flexions of a finger turn about one axis, so that they add up.
        _bend(spread, angles[:, (0, 2, 3)].cumsum(1), frames[:, 1:])
        along = (frames[..., 1] * lengths.reshape(5, 4, 1)).cumsum(1)
        joints = np.empty((JOINT_COUNT, 3))
        joints[0] = translation
        far = joints[1:].reshape(5, 4, 3)
        np.add(translation, along, out=far)
        origins = np.empty((5, 4, 3))
        origins[:, 0], origins[:, 1:] = translation, far[:, :3]
        axes = np.empty((5, 4, 3))
        axes[:], axes[:, 1] = spread[:, None, :, 0], before[:, :, 2]
        flat = frames.reshape(BONE_COUNT, 3, 3)
        return PosedBones(joints, flat, origins.reshape(BONE_COUNT, 3), lengths, axes.reshape(BONE_COUNT, 3))


def _bend(frames: FloatArray, angles: FloatArray, out: FloatArray) -> None:
    """Frames (5, 3, 3) after turns about their own x by angles (5, 3), radians, into (5, 3, 3, 3)."""
    c, s = np.cos(angles)[..., None], np.sin(angles)[..., None]
    y, z = frames[:, None, :, 1], frames[:, None, :, 2]
    out[..., 0] = frames[:, None, :, 0]
    np.add(c * y, s * z, out=out[..., 1])
    np.subtract(c * z, s * y, out=out[..., 2])


def _spread(frames: FloatArray, angles: FloatArray) -> FloatArray:
    """Frames (5, 3, 3) after a turn about their own z by angles (5,), radians."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = frames[..., 0], frames[..., 1]
    turned = frames.copy()
    turned[..., 0], turned[..., 1] = c * x + s * y, c * y - s * x
    return turned
