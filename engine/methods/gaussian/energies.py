"""The energies of Wang et al. section III-D, each for every image of a batch, and their weighted sum (Eq. 3).

Overlaps are integrals of Gaussians that are not normalised, g(0) = 1, in two dimensions (Eq. 4, pixels) and in three
(Eq. 7, centimetres). Constants that the paper leaves open stand in EnergyConfig; docs/gaussian-loss.md says how they
were chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.hand.gaussians import gaussian_layout
from engine.hand.limits import ARTICULATION_LIMITS
from engine.methods.gaussian.decoder import SURFACE_SIGMAS, DecodedHand
from engine.methods.gaussian.overlap import similarity
from engine.methods.gaussian.quadtree import DEPTH_RANGE_MM, ImageGaussians, falloff
from engine.types import JOINT_COUNT, JOINT_PARENTS, LumbricalError

#: What is known of a joint: nothing, the ray it lies on (a 2D label), or its place (a 3D label).
UNLABELLED, RAY, POINT = 0, 1, 2
_CM_PER_MM = 0.1


@dataclass(frozen=True)
class EnergyConfig:
    """Every constant of Eqs. 3-11.

    dissim, collision (per cm^3), bone, lim (per rad^2), joint (per mm^2): the lambdas of Eq. 3. slack_mm: s of Eq. 11
    (the paper's 25 for labels as wrong as HIM's). depth_range_mm: c of the quadtree. surface_sigmas: where a Gaussian's
    camera-facing surface lies before its mean. collide_neighbours: Eq. 7 as printed, over all pairs; without it, pairs
    whose bones are one or share a joint, which overlap as the model is built, are left out.

    Raises ValueError for numbers that make no energy: they come from files.
    """

    dissim: float = 1.0
    collision: float = 0.001
    bone: float = 0.002
    lim: float = 1.0
    joint: float = 0.001
    slack_mm: float = 0.0
    depth_range_mm: float = DEPTH_RANGE_MM
    surface_sigmas: float = SURFACE_SIGMAS
    collide_neighbours: bool = False

    def __post_init__(self) -> None:
        for name in ("dissim", "collision", "bone", "lim", "joint", "slack_mm", "surface_sigmas"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} of the energies must be a number from 0 up, not {getattr(self, name)}")
        if not 0 < self.depth_range_mm < math.inf:
            raise ValueError(f"depth_range_mm must be above 0, not {self.depth_range_mm}")


@dataclass(frozen=True)
class JointLabels:
    """Labels of joints in the camera frame.

    kind: (B, 21) int64, UNLABELLED, RAY or POINT. target: (B, 21, 3), a place in mm (POINT) or the unit direction from
    the camera (RAY; engine.methods.gaussian.decoder.pixel_rays makes it of a pixel); anything, NaN too, where
    UNLABELLED.

    Raises LumbricalError for shapes that do not fit and for labelled joints that are not finite.
    """

    kind: Tensor
    target: Tensor

    def __post_init__(self) -> None:
        if self.kind.ndim != 2 or self.kind.shape[1] != JOINT_COUNT or self.target.shape != (*self.kind.shape, 3):
            shapes = f"{tuple(self.kind.shape)} and {tuple(self.target.shape)}"
            raise LumbricalError(f"joint labels must have shapes (B, 21) and (B, 21, 3), not {shapes}")
        if not self.target[self.kind != UNLABELLED].isfinite().all():
            raise LumbricalError("a joint that is marked as labelled has no finite label; mark it as not labelled")


@dataclass(frozen=True)
class Energies:
    """(B,) each; total is Eq. 3, the rest the terms before their weights."""

    total: Tensor
    dissim: Tensor
    collision: Tensor
    bone: Tensor
    lim: Tensor
    joint: Tensor


def energy(
    hand: DecodedHand,
    articulation: Tensor,
    beta: Tensor,
    images: ImageGaussians,
    labels: JointLabels | None,
    config: EnergyConfig,
) -> Energies:
    """Eq. 3 for each image. articulation (B, 20) radians and beta (B, 20) are the decoded hand's; labels None: none."""
    joint = e_joint(hand.joints, labels, config.slack_mm) if labels is not None else torch.zeros_like(beta[:, 0])
    pairs = None if config.collide_neighbours else apart_pairs(hand.means.device)
    parts = {
        "dissim": e_dissim(hand, images),
        "collision": e_collision(hand.means, hand.sigmas_mm, pairs),
        "bone": e_bone(beta),
        "lim": e_lim(articulation),
        "joint": joint,
    }
    total = torch.stack([getattr(config, name) * value for name, value in parts.items()]).sum(0)
    return Energies(total, **parts)


def e_dissim(hand: DecodedHand, images: ImageGaussians) -> Tensor:
    """E_dissim = -S_sim (Eqs. 4-6): (B,), no unit, 0 and without gradient where the crop is empty.

    -1 would be a model that covers the image as the image's own Gaussians do. The image is a constant.
    """
    shared = similarity(hand.centres_px, hand.sigmas_px, hand.surface_mm, hand.sigmas_mm, images)
    own = images.self_similarity.to(shared.dtype)
    return -shared / torch.where(own > 0, own, 1.0)


def e_collision(means_mm: Tensor, sigmas_mm: Tensor, pairs: Tensor | None = None) -> Tensor:
    """E_collision (Eq. 7): the overlap in space of model Gaussians, summed over pairs j < k: (B,) cm^3.

    means_mm: (B, G, 3), sigmas_mm: (B, G). S_jk = (2 pi sj^2 sk^2 / s^2)^(3/2) exp(-d^2 / 2 s^2) with
    s^2 = sj^2 + sk^2. pairs: (G, G) bool, symmetric, which count; None: all, as printed. Differentiable once, in the
    first two.
    """
    total: Tensor = _Collision.apply(_CM_PER_MM * means_mm, _CM_PER_MM * sigmas_mm, pairs)
    return total


class _Collision(torch.autograd.Function):
    """Eq. 7 with its gradient worked out in forward: it takes the numbers that are there, and keeps none per pair."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, sigmas: Tensor, pairs: Tensor | None) -> Tensor:
        means = means - means.mean(1, keepdim=True)
        variance = sigmas.square()
        over = 1.0 / (variance.unsqueeze(2) + variance.unsqueeze(1))
        x, y, z = means.unbind(-1)
        square = (x.unsqueeze(2) - x.unsqueeze(1)).square_()
        square += (y.unsqueeze(2) - y.unsqueeze(1)).square_()
        square += (z.unsqueeze(2) - z.unsqueeze(1)).square_()
        square *= over
        width = (2 * torch.pi) * variance.unsqueeze(2) * variance.unsqueeze(1) * over
        overlap = falloff(-0.5 * square).mul_(width).mul_(width.sqrt())
        overlap.diagonal(dim1=1, dim2=2).zero_()
        if pairs is not None:
            overlap *= pairs
        # d ln S / d m_j = -(m_j - m_k) / s^2; d ln S / d(sj^2) = 3/2 (1 / sj^2 - 1 / s^2) + d^2 / 2 s^4.
        pull = overlap * over
        by_means = torch.baddbmm(-pull.sum(2, keepdim=True) * means, pull, means)
        by_variance = 1.5 * overlap.sum(2) / variance + (pull * (0.5 * square - 1.5)).sum(2)
        ctx.save_for_backward(by_means, 2 * sigmas * by_variance)
        return 0.5 * overlap.sum((1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        by_means, by_sigmas = ctx.saved_tensors
        return slope[:, None, None] * by_means, slope[:, None] * by_sigmas, None


@lru_cache(maxsize=8)
def apart_pairs(device: torch.device) -> Tensor:
    """(G, G) bool: pairs of the model's Gaussians whose bones are neither one nor share a joint."""
    ends = [{bone + 1, JOINT_PARENTS[bone + 1]} for bone, _, _ in gaussian_layout()]
    return torch.tensor([[not (one & other) for other in ends] for one in ends], device=device)


def e_bone(beta: Tensor) -> Tensor:
    """E_bone (Eq. 8): the squared length of beta (B, 20): (B,), no unit; 20 is what people's hands have on average."""
    return beta.square().sum(1)


def e_lim(articulation: Tensor) -> Tensor:
    """E_lim (Eq. 9): squared excess over the limits of engine/hand/limits.py: (B,) rad^2 from articulation (B, 20).

    The hand's place and rotation have no limits.
    """
    lower, upper = torch.as_tensor(ARTICULATION_LIMITS.T, dtype=articulation.dtype, device=articulation.device)
    return ((lower - articulation).clamp(min=0) + (articulation - upper).clamp(min=0)).square().sum(1)


def e_joint(joints: Tensor, labels: JointLabels, slack_mm: float) -> Tensor:
    """E_joint (Eqs. 10-11): squared distance from the labels beyond the slack radius: (B,) mm^2; joints: (B, 21, 3).

    A point counts by its distance, a ray by the distance from the nearest point of the line through the camera.
    """
    known = labels.kind != UNLABELLED
    target = torch.where(known.unsqueeze(-1), labels.target.to(joints.dtype), 0.0)
    along = (joints * target).sum(-1, keepdim=True) * target
    offset = joints - torch.where((labels.kind == RAY).unsqueeze(-1), along, target)
    # Inside the slack, and where there is no label, the root is taken of 1: its slope at 0 is infinite, and times 0 not
    # a number.
    square = offset.square().sum(-1)
    outside = known & (square > slack_mm**2)
    distance = torch.where(outside, square, 1.0).sqrt()
    return torch.where(outside, distance - slack_mm, 0.0).square().sum(1)
