"""Forward kinematics of one hand in numpy, with analytic derivatives: the fit's own twin of engine.hand.skeleton.

Torch costs more for its calls than for the arithmetic of a single hand; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.fitting.state import ANGLES, BETA, PARAMETERS, PLACE, TURN, HandState
from engine.geometry.vectors import cross
from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray

_BONES = np.arange(BONE_COUNT)
_JOINTS = np.arange(JOINT_COUNT)
#: (20, 21) which joints a bone carries: its far end and all beyond it in the same finger.
_CARRIED = (_BONES[:, None] < _JOINTS) & (_BONES[:, None] // 4 == (_JOINTS - 1) // 4)
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


class Kinematics:
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

    def pose(self, hand: HandState) -> PosedBones:
        """Skeleton.pose for one hand."""
        lengths = np.maximum(self.mean + self.basis @ hand.beta, 0.2 * self.mean)
        angles = hand.articulation.reshape(5, 4)
        cosine, sine = np.cos(angles), np.sin(angles)
        before = hand.rotation @ self._finger_frames
        frames = np.empty((5, 4, 3, 3))
        frames[:, 0] = hand.rotation @ self._palm_frames
        frames[:, 1] = _bent(_spread(before, cosine[:, 1], sine[:, 1]), cosine[:, 0], sine[:, 0])
        frames[:, 2] = _bent(frames[:, 1], cosine[:, 2], sine[:, 2])
        frames[:, 3] = _bent(frames[:, 2], cosine[:, 3], sine[:, 3])
        far = hand.translation + (frames[..., 1] * lengths.reshape(5, 4, 1)).cumsum(1)
        origins = np.empty((5, 4, 3))
        origins[:, 0], origins[:, 1:] = hand.translation, far[:, :3]
        flat = frames.reshape(BONE_COUNT, 3, 3)
        axes = np.where(_ABDUCTION[:, None], np.repeat(before[:, :, 2], 4, axis=0), flat[ANGLE_BONE, :, 0])
        joints = np.concatenate((hand.translation[None], far.reshape(BONE_COUNT, 3)))
        return PosedBones(joints, flat, origins.reshape(BONE_COUNT, 3), lengths, axes)

    def joint_jacobian(self, bones: PosedBones) -> FloatArray:
        """(63, 52) derivatives of the joints, mm, by the hand's parameters."""
        jacobian = np.zeros((JOINT_COUNT, 3, PARAMETERS))
        jacobian[:, :, PLACE] = np.eye(3)
        x, y, z = (bones.joints - bones.joints[0]).T
        turn = jacobian[:, :, TURN]
        turn[:, 1, 0], turn[:, 2, 0] = -z, y
        turn[:, 0, 1], turn[:, 2, 1] = z, -x
        turn[:, 0, 2], turn[:, 1, 2] = -y, x
        levers = bones.joints[None] - bones.origins[ANGLE_BONE][:, None]
        turns = cross(bones.axes[:, None], levers) * _CARRIED[ANGLE_BONE][..., None]
        jacobian[:, :, ANGLES] = turns.transpose(1, 2, 0)
        stretch = (bones.frames[:, None, :, 1] * _CARRIED[..., None]).transpose(1, 2, 0).reshape(-1, BONE_COUNT)
        jacobian[:, :, BETA] = (stretch @ self.basis).reshape(JOINT_COUNT, 3, -1)
        return jacobian.reshape(3 * JOINT_COUNT, PARAMETERS)


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
