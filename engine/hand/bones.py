"""The posed skeleton of one hand, compiled: engine.hand.skeleton's twin for tracking.

Torch costs more for its calls than for the arithmetic of a single hand; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.compiled import compiled
from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray

#: The bone whose frame holds each angle's axis, and which axis that is: flexions turn about x, abductions about z.
ANGLE_BONE = np.array([4 * finger + bone for finger in range(5) for bone in (1, 1, 2, 3)])
_X, _Z = 0, 2


@dataclass(frozen=True)
class PosedBones:
    """A posed skeleton. joints (21, 3) mm; frames (20, 3, 3), origins (20, 3) mm and lengths (20,) mm of the bones, as
    in SkeletonPose; axes (20, 3): what each articulation angle turns about."""

    joints: FloatArray
    frames: FloatArray
    origins: FloatArray
    axes: FloatArray
    lengths: FloatArray


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
        rotation, angles = np.ascontiguousarray(rotation), np.ascontiguousarray(articulation).reshape(5, 4)
        place = np.asarray(translation, np.float64)
        return PosedBones(*_posed(place, rotation, angles, lengths, self._finger_frames, self._palm_frames), lengths)


@compiled
def _posed(
    place: FloatArray,
    rotation: FloatArray,
    angles: FloatArray,
    lengths: FloatArray,
    finger_frames: FloatArray,
    palm_frames: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """joints, frames, origins and axes of PosedBones."""
    joints, frames = np.empty((JOINT_COUNT, 3)), np.empty((BONE_COUNT, 3, 3))
    origins, axes = np.empty((BONE_COUNT, 3)), np.empty((BONE_COUNT, 3))
    joints[0] = place
    for finger in range(5):
        before = _product(rotation, finger_frames[finger])
        spread = _turned(before, _Z, angles[finger, 1])
        bend = 0.0
        for bone in range(4):
            b = 4 * finger + bone
            if bone == 0:
                frames[b] = _product(rotation, palm_frames[finger])
            else:
                # All flexions of a finger turn about one axis, so that they add up.
                bend += angles[finger, 0 if bone == 1 else bone]
                frames[b] = _turned(spread, _X, bend)
            # Angle b of the hand; the second one of each finger is its abduction.
            axes[b] = before[:, 2] if bone == 1 else spread[:, 0]
            origins[b] = place if bone == 0 else joints[b]
            joints[b + 1] = origins[b] + lengths[b] * frames[b, :, 1]
    return joints, frames, origins, axes


@compiled
def _product(a: FloatArray, b: FloatArray) -> FloatArray:
    """Of two matrices (3, 3)."""
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
    return out


@compiled
def _turned(frame: FloatArray, axis: int, angle: float) -> FloatArray:
    """A frame (3, 3) after a turn about one of its own axes by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    to, fro = (axis + 1) % 3, (axis + 2) % 3
    out = frame.copy()
    for i in range(3):
        out[i, to], out[i, fro] = c * frame[i, to] + s * frame[i, fro], c * frame[i, fro] - s * frame[i, to]
    return out
