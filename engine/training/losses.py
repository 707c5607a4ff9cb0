"""Losses of what is known: everything on rendered crops, some joints on recorded ones (see generative.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as logistic
from torch.nn.functional import smooth_l1_loss

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoding
from engine.training.processes import ALONE
from engine.training.ranges import check_range
from engine.training.renders import RenderedBatch


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; lengths enter in centimetres. energy: Eq. 3 of each recorded crop; agree: that dense
    head and regressor say the same of it. Raises ValueError for what is no weight.
    """

    points: float = 1.0
    joints: float = 1.0
    rotation: float = 0.3
    articulation: float = 0.4
    beta: float = 0.03
    thickness: float = 0.05
    sigma: float = 0.02
    hand: float = 0.1
    right: float = 0.1
    energy: float = 0.3
    agree: float = 0.3

    def __post_init__(self) -> None:
        check_range(self, 0, math.inf, *vars(self))


def centimetres_apart(estimate: Tensor, target: Tensor) -> Tensor:
    """(B, J): how far points (B, J, 3) mm are off, robustly (smooth L1 of cm, mean over the coordinates)."""
    return smooth_l1_loss(estimate / 10, target / 10, beta=0.4, reduction="none").mean(2)


def supervised_loss(
    encoding: Encoding,
    truth: RenderedBatch,
    skeleton: Skeleton,
    weights: LossWeights,
    total: Callable[[Tensor], Tensor] = ALONE.total,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum (scalar) and its unweighted parts.

    Pose and shape count only where there is a right hand to see and where they are known: a mean over such images. The
    dense head's points count wherever joints are, a mean over each image's known ones. The two verdicts count
    everywhere.
    total: sums a count over the processes that share the batch, each of which gets its share of the loss.
    """
    valid = truth.has_hand & truth.is_right
    pose_known, joints_known = valid & truth.pose_known, valid.unsqueeze(1) & truth.joints_known
    counted = torch.stack((pose_known.sum(), joints_known.any(1).sum(), torch.ones_like(valid).sum()))
    poses, jointed, images = total(counted.float()).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (values.flatten(1).mean(1) * pose_known).sum() / poses

    def mean_joints(values: Tensor) -> Tensor:
        return ((values * joints_known).sum(1) / joints_known.sum(1).clamp(min=1)).sum() / jointed

    def verdict(logit: Tensor, truth: Tensor) -> Tensor:
        return logistic(logit, truth.float(), reduction="none") / images

    posed = skeleton.pose(
        encoding.translation, encoding.rotation, encoding.articulation, skeleton.bone_lengths(encoding.beta)
    )
    error_mm = (encoding.points.detach() - truth.joints).norm(dim=-1)
    parts = {
        "points": mean_joints(centimetres_apart(encoding.points, truth.joints)),
        "joints": mean(centimetres_apart(posed.joints, truth.joints)),
        "rotation": mean((encoding.rotation - truth.rotation).square().sum(-1)),
        "articulation": mean(smooth_l1_loss(encoding.articulation, truth.articulation, beta=0.3, reduction="none")),
        "beta": mean((encoding.beta - truth.beta).square()),
        "thickness": mean((encoding.thickness - truth.thickness).square()),
        # Laplace likelihood: log_sigma learns the error to expect; the error itself gets no gradient from here.
        "sigma": mean_joints(error_mm * torch.exp(-encoding.log_sigma) + encoding.log_sigma),
        "hand": verdict(encoding.hand_logit, truth.has_hand).sum(),
        "right": (verdict(encoding.right_logit, truth.is_right) * truth.has_hand).sum(),
    }
    return weighted_sum(parts, weights), parts


def weighted_sum(parts: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """The parts (scalars) times the weights of their names."""
    return torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum()
