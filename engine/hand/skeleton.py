"""The kinematic skeleton of Wang et al. section III-A: 20 bones, 26 degrees of freedom, 21 joints.

Frames. The wrist frame of the right hand has x towards the thumb, y towards the forearm and z out of the back of the
hand, so that with no rotation the palm faces the camera and the fingers point up in the image. A bone's frame
has y along the bone (away from the wrist), z out of the flexor side (the palm, the pulp of the finger) and
x = y cross z. Positive flexion is a turn about x; positive abduction is a turn about z, towards the little
finger. For the thumb, whose pulp faces across the palm, flexion carries it across the palm and positive
abduction brings it into the palm's plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.geometry.rotations import euler_to_matrix, rotation_about_axis
from engine.hand.anthropometry import FIRST_JOINT_POSITIONS_MM, METACARPAL_SPLAY_RAD, bone_length_basis
from engine.hand.limits import THUMB_ZERO_RAD
from engine.types import JOINT_COUNT

#: Directions of the flexor side of each straight finger, thumb to little, wrist frame: the pulp of a resting thumb
#: faces across the palm, the fingers' turn slightly towards each other.
_FLEXOR_DIRECTIONS = (
    (-0.82, 0.00, -0.57),
    (0.05, 0.00, -1.00),
    (0.00, 0.00, -1.00),
    (0.08, 0.00, -1.00),
    (0.18, 0.00, -1.00),
)


def _unit(vectors: object) -> Tensor:
    return torch.nn.functional.normalize(torch.as_tensor(vectors, dtype=torch.float64), dim=-1)


def _finger_directions() -> Tensor:
    """(5, 3) wrist frame: the thumb at its resting place, the fingers in line with their metacarpals."""
    radial, palmar = torch.as_tensor(THUMB_ZERO_RAD)
    thumb = torch.stack((radial.sin() * palmar.cos(), -radial.cos() * palmar.cos(), -palmar.sin()))
    splay = torch.as_tensor(METACARPAL_SPLAY_RAD)
    fingers = torch.stack((-splay.sin(), -splay.cos(), torch.zeros_like(splay)), 1)
    return torch.cat((thumb.unsqueeze(0), fingers))


def _frames(y: Tensor, towards_z: Tensor) -> Tensor:
    """Right-handed frames (..., 3, 3), columns x y z, y exact and z as near to towards_z as that allows."""
    z = torch.nn.functional.normalize(towards_z - (towards_z * y).sum(-1, keepdim=True) * y, dim=-1)
    return torch.stack((torch.linalg.cross(y, z, dim=-1), y, z), -1)


@dataclass(frozen=True)
class SkeletonPose:
    """A posed skeleton in the camera frame.

    joints: (B, 21, 3) mm. rotations: (B, 20, 3, 3) from each bone's frame to the camera. origins: (B, 20, 3) mm, the
    end of each bone nearer to the wrist. bone_lengths: (B, 20) mm.
    """

    joints: Tensor
    rotations: Tensor
    origins: Tensor
    bone_lengths: Tensor


class Skeleton(torch.nn.Module):
    """Forward kinematics F(theta, beta) of the right hand, differentiable and batched; its buffers follow .to()."""

    first_joint_directions: Tensor
    finger_frames: Tensor
    palm_frames: Tensor
    bone_length_mean: Tensor
    bone_length_basis: Tensor

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        mean, basis = (torch.as_tensor(array) for array in bone_length_basis())
        # The table's axes run against the wrist frame's: ulnar, distal, palmar.
        directions, flexor = _unit(-FIRST_JOINT_POSITIONS_MM), _unit(_FLEXOR_DIRECTIONS)
        palm_flexor = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64).expand(5, 3)
        for name, value in (
            ("first_joint_directions", directions),
            ("finger_frames", _frames(_finger_directions(), flexor)),
            ("palm_frames", _frames(directions, palm_flexor)),
            ("bone_length_mean", mean),
            ("bone_length_basis", basis),
        ):
            self.register_buffer(name, value.to(dtype), persistent=False)

    def bone_lengths(self, beta: Tensor) -> Tensor:
        """b = b_avg + M_pca beta (Eq. 1): (B, 20) mm from (B, 20), never below a fifth of the mean."""
        lengths = self.bone_length_mean + beta @ self.bone_length_basis.T
        return torch.maximum(lengths, 0.2 * self.bone_length_mean)

    def forward(self, theta: Tensor, beta: Tensor) -> SkeletonPose:
        """Pose the hand: theta (B, 26), beta (B, 20); see engine.types.HandParameters for their layout."""
        return self.pose(theta[:, :3], euler_to_matrix(theta[:, 3:6]), theta[:, 6:], self.bone_lengths(beta))

    def pose(self, translation: Tensor, rotation: Tensor, articulation: Tensor, lengths: Tensor) -> SkeletonPose:
        """The same from wrist place (B, 3) mm and rotation (B, 3, 3), angles (B, 20), bone lengths (B, 20) mm."""
        batch = len(translation)
        angles = articulation.reshape(batch, 5, 4)
        bones = lengths.reshape(batch, 5, 4)
        first_turn = rotation_about_axis(2, angles[..., 1]) @ rotation_about_axis(0, angles[..., 0])
        proximal = rotation.unsqueeze(1) @ self.finger_frames @ first_turn
        middle = proximal @ rotation_about_axis(0, angles[..., 2])
        distal = middle @ rotation_about_axis(0, angles[..., 3])
        palm = rotation.unsqueeze(1) @ self.palm_frames
        rotations = torch.stack((palm, proximal, middle, distal), 2)
        steps = rotations[..., :, 1] * bones.unsqueeze(-1)
        joints = translation[:, None, None] + steps.cumsum(2)
        wrist = translation[:, None, None].expand(batch, 5, 1, 3)
        origins = torch.cat((wrist, joints[:, :, :3]), 2)
        all_joints = torch.cat((translation.unsqueeze(1), joints.reshape(batch, JOINT_COUNT - 1, 3)), 1)
        return SkeletonPose(all_joints, rotations.reshape(batch, 20, 3, 3), origins.reshape(batch, 20, 3), lengths)
