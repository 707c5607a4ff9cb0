"""The posed skeleton of one hand in numpy: engine.hand.skeleton's twin for tracking.

Torch costs more for its calls than for the arithmetic of a single hand; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.types import BONE_COUNT, FloatArray

#: The bone whose frame holds each angle's axis, and which axis that is: flexions turn about x, abductions about z.
ANGLE_BONE = np.array([4 * finger + bone for finger in range(5) for bone in (1, 1, 2, 3)])
_ABDUCTION = np.arange(20) % 4 == 1


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
        cosine, sine = np.cos(angles), np.sin(angles)
        before = rotation @ self._finger_frames
        frames = np.empty((5, 4, 3, 3))
        frames[:, 0] = rotation @ self._palm_frames
        frames[:, 1] = _bent(_spread(before, cosine[:, 1], sine[:, 1]), cosine[:, 0], sine[:, 0])
        frames[:, 2] = _bent(frames[:, 1], cosine[:, 2], sine[:, 2])
        frames[:, 3] = _bent(frames[:, 2], cosine[:, 3], sine[:, 3])
        far = translation + (frames[..., 1] * lengths.reshape(5, 4, 1)).cumsum(1)
        origins = np.empty((5, 4, 3))
        origins[:, 0], origins[:, 1:] = translation, far[:, :3]
        flat = frames.reshape(BONE_COUNT, 3, 3)
        axes = np.where(_ABDUCTION[:, None], np.repeat(before[:, :, 2], 4, axis=0), flat[ANGLE_BONE, :, 0])
        joints = np.concatenate((translation[None], far.reshape(BONE_COUNT, 3)))
        return PosedBones(joints, flat, origins.reshape(BONE_COUNT, 3), lengths, axes)


def _bent(frames: FloatArray, cosine: FloatArray, sine: FloatArray) -> FloatArray:
    """Frames (5, 3, 3) after a turn about their own x."""
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    c, s = cosine[:, None], sine[:, None]
    turned = np.empty_like(frames)
    turned[..., 0], turned[..., 1], turned[..., 2] = x, c * y + s * z, c * z - s * y
    return turned


def _spread(frames: FloatArray, cosine: FloatArray, sine: FloatArray) -> FloatArray:
    """Frames (5, 3, 3) after a turn about their own z."""
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    c, s = cosine[:, None], sine[:, None]
    turned = np.empty_like(frames)
    turned[..., 0], turned[..., 1], turned[..., 2] = c * x + s * y, c * y - s * x, z
    return turned
