"""Recorded joints -> angles of our skeleton: one hand shape for a clip, one pose for each of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.geometry.rotations import six_d_to_matrix
from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.training.sampling import finger_spheres
from tools.motion_sources import Clip

#: Standard deviations of the fit's terms. Distances in mm, angles in radians, lengths as log ratios.
_POINT_MM = 2.0
_OFFSET_MM = 2.0
_LENGTH = 0.12
#: The shape counts as much as this share of all of its frames' points: frames of one hand repeat each other's errors.
_SHAPE_SHARE = 0.25
#: Ends of fingers matter most: where they touch is what a pose means.
_TIP_WEIGHT = 3.0
_LIMIT = 0.03
_CONTACT_MM = 1.5
#: Two fingers' midlines come no nearer than this, mm.
_FINGERS_APART_MM = 14.0
#: Where angles are drawn to, and how loosely, degrees, per finger and angle. The fingers' sideways angles hold the
#: palm's frame: knuckles alone leave its turn in the palm's plane to how the recorder places them.
_EXPECTED_DEG = np.array([[0, -5, 10, 15], [15, 5, 15, 10], [15, 0, 15, 10], [15, -4, 15, 10], [15, -8, 15, 10]])
_SPREAD_DEG = np.array([[40, 25, 50, 70]] + 4 * [[80, 8, 80, 60]])


@dataclass(frozen=True)
class FittedClip:
    """rotation (T, 3, 3) and translation (T, 3) mm of the wrist in the clip's frame, articulation (T, 20) radians
    within limits, lengths (20,) mm, residual_mm (T, 21) distances to the given joints, NaN where none was given."""

    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]
    articulation: NDArray[np.float32]
    lengths: NDArray[np.float32]
    residual_mm: NDArray[np.float32]


def fit_clip(clip: Clip, steps: int = 500) -> FittedClip:
    """Fit by Adam over all frames at once, within the joint limits.

    Where the recorder's fingers start need not be where ours do: an offset per finger, constant in the wrist frame, is
    fitted with the rest and left out of the result.
    """
    skeleton = Skeleton()
    joints = torch.as_tensor(clip.joints, dtype=torch.float32)
    known = joints.isfinite().all(-1)
    target = torch.nan_to_num(joints)
    rotation, translation = _palm_alignment(target, known, skeleton)
    six = torch.cat((rotation[..., 0], rotation[..., 1]), -1).requires_grad_()
    moved = torch.zeros_like(translation, requires_grad=True)
    angles = torch.full((len(joints), 20), 0.2, requires_grad=True)
    stretch = torch.zeros(20, requires_grad=True)
    offset = torch.zeros(5, 3, requires_grad=True)
    expected, spread = (
        torch.as_tensor(np.deg2rad(a), dtype=torch.float32).flatten() for a in (_EXPECTED_DEG, _SPREAD_DEG)
    )
    low, high = torch.as_tensor(ARTICULATION_LIMITS, dtype=torch.float32).T
    groups = [
        {"params": [six, angles], "lr": 0.04},
        {"params": [stretch], "lr": 0.01},
        {"params": [moved, offset], "lr": 0.6},
    ]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-4)
    frames = len(joints)
    weights = known.float()
    weights[:, 4::4] *= _TIP_WEIGHT

    def placed() -> tuple[Tensor, SkeletonPose, Tensor]:
        turn = six_d_to_matrix(six)
        lengths = (skeleton.bone_length_mean * stretch.exp()).expand(frames, 20)
        pose = skeleton.pose(translation + moved, turn, angles, lengths)
        shift = (turn.unsqueeze(1) @ offset.repeat_interleave(4, 0).unsqueeze(-1)).squeeze(-1)
        return torch.cat((pose.joints[:, :1], pose.joints[:, 1:] + shift), 1), pose, turn

    for _ in range(steps):
        optimiser.zero_grad()
        found, pose, _ = placed()
        error = (weights * (found - target).square().sum(-1)).sum() / _POINT_MM**2
        excess = (low - angles).clamp(min=0) + (angles - high).clamp(min=0)
        held = (excess / _LIMIT).square().sum() + ((angles - expected) / spread).square().sum()
        shape = (stretch / _LENGTH).square().sum() + (offset / _OFFSET_MM).square().sum()
        (error + held + frames * _SHAPE_SHARE * shape + _thumb_contact(pose)).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found, _, turn = placed()
        residual = torch.where(known, (found - target).norm(dim=-1), torch.nan)
        lengths = skeleton.bone_length_mean * stretch.exp()
        place = translation + moved
        limited = torch.minimum(torch.maximum(angles, low), high)
    return FittedClip(*(t.detach().numpy() for t in (turn, place, limited, lengths, residual)))


def _palm_alignment(target: Tensor, known: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Rotation (T, 3, 3) and place (T, 3) of the wrist that lay our knuckles on the known ones, size left free."""
    palm = [joint for joint in (0, 1, 5, 9, 13, 17) if bool(known[:, joint].all())]
    ours, theirs = rest_pose(skeleton).joints[0, palm], target[:, palm]
    ours_mean, theirs_mean = ours.mean(0), theirs.mean(1, keepdim=True)
    covariance = (theirs - theirs_mean).mT @ (ours - ours_mean)
    u, _, v = torch.linalg.svd(covariance)
    flip = torch.diag_embed(torch.stack((torch.ones(len(u)), torch.ones(len(u)), torch.det(u @ v)), -1))
    rotation = u @ flip @ v
    return rotation, theirs_mean[:, 0] - rotation @ ours_mean


def _thumb_contact(pose: SkeletonPose) -> Tensor:
    """How far the thumb has gone into the other fingers: it lies over or beside a fist, not within."""
    centres, owners = finger_spheres(pose)
    gaps = torch.cdist(centres[:, owners == 0], centres[:, (owners > 0) & (owners < 5)])
    return ((_FINGERS_APART_MM - gaps).clamp(min=0) / _CONTACT_MM).square().sum()
