"""Losses on rendered crops, where everything is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as logistic
from torch.nn.functional import smooth_l1_loss

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoding
from engine.training.processes import ALONE
from engine.training.renders import RenderedBatch


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; lengths enter in centimetres."""

    points: float = 1.0
    joints: float = 1.0
    rotation: float = 0.3
    articulation: float = 0.4
    beta: float = 0.03
    thickness: float = 0.05
    sigma: float = 0.02
    hand: float = 0.1
    right: float = 0.1


def supervised_loss(
    encoding: Encoding,
    truth: RenderedBatch,
    skeleton: Skeleton,
    weights: LossWeights,
    total: Callable[[Tensor], Tensor] = ALONE.total,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum (scalar) and its unweighted parts.

    Pose and shape count only where there is a right hand to see; the two verdicts count everywhere.
    total: sums a count over the processes that share the batch, each of which gets its share of the loss.
    """
    valid = truth.has_hand & truth.is_right
    right_hands, images = total(torch.stack((valid.sum(), torch.ones_like(valid).sum())).float()).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (values.flatten(1).mean(1) * valid).sum() / right_hands

    def verdict(logit: Tensor, truth: Tensor) -> Tensor:
        return logistic(logit, truth.float(), reduction="none") / images

    def close(estimate: Tensor, target: Tensor, beta: float) -> Tensor:
        return mean(smooth_l1_loss(estimate, target, beta=beta, reduction="none"))

    posed = skeleton.pose(
        encoding.translation, encoding.rotation, encoding.articulation, skeleton.bone_lengths(encoding.beta)
    )
    error_mm = (encoding.points.detach() - truth.joints).norm(dim=-1)
    parts = {
        "points": close(encoding.points / 10, truth.joints / 10, 0.4),
        "joints": close(posed.joints / 10, truth.joints / 10, 0.4),
        "rotation": mean((encoding.rotation - truth.rotation).square().sum(-1)),
        "articulation": close(encoding.articulation, truth.articulation, 0.3),
        "beta": mean((encoding.beta - truth.beta).square()),
        "thickness": mean((encoding.thickness - truth.thickness).square()),
        # Laplace likelihood: log_sigma learns the error to expect; the error itself gets no gradient from here.
        "sigma": mean(error_mm * torch.exp(-encoding.log_sigma) + encoding.log_sigma),
        "hand": verdict(encoding.hand_logit, truth.has_hand).sum(),
        "right": (verdict(encoding.right_logit, truth.is_right) * truth.has_hand).sum(),
    }
    total = torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum()
    return total, parts
