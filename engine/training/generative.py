"""The loss on recorded crops: how well the encoder's hand explains the depth (Wang et al. Eq. 3), with some labelled
joints or without any label.

On such crops the paper trains by Eq. 3 alone. Here the dense head has points of its own, which no energy reaches: they
are held to the posed hand ("agree"), and to labels beyond the slack.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.decoder import GaussianDecoder
from engine.methods.gaussian.encoder import Encoding
from engine.methods.gaussian.energies import POINT, UNLABELLED, EnergyConfig, JointLabels, energy
from engine.methods.gaussian.quadtree import image_gaussians
from engine.training.losses import LossWeights, centimetres_apart, weighted_sum
from engine.training.processes import ALONE
from engine.training.renders import RenderedBatch


class GenerativeLoss(nn.Module):
    """Eq. 3 on the recorded crops of batches: those whose pose is not known."""

    def __init__(self, config: EnergyConfig, skeleton: Skeleton) -> None:
        super().__init__()
        self.config = config
        self.decoder = GaussianDecoder(skeleton, config.surface_sigmas)

    def forward(
        self,
        encoding: Encoding,
        batch: RenderedBatch,
        weights: LossWeights,
        total: Callable[[Tensor], Tensor] = ALONE.total,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum (scalar), and parts to report: means over the recorded crops.

        total: sums a count over the processes that share the batch, each of which gets its share of the loss. Raises
        LumbricalError for a crop or an estimate that is not finite.
        """
        recorded = (~batch.pose_known).nonzero().squeeze(1)
        count = total(torch.tensor(float(len(recorded)), device=recorded.device)).clamp(min=1)
        said = Encoding(*(part[recorded] for part in encoding))
        distance, crop = batch.distance[recorded], batch.crop[recorded]
        images = image_gaussians(crop, distance, self.config.depth_range_mm)
        hand = self.decoder.decode_crop(said, distance)
        labels = _labels(batch.joints[recorded], batch.joints_known[recorded], distance)
        terms = energy(hand, said.articulation, said.beta, images, labels, self.config)
        posed = hand.joints - torch.nn.functional.pad(distance[:, None, None], (2, 0))
        parts = {
            "energy": terms.total.sum() / count,
            "agree": centimetres_apart(said.points, posed).mean(1).sum() / count,
        }
        return weighted_sum(parts, weights), parts | {"dissim": terms.dissim.sum() / count}


def _labels(joints: Tensor, known: Tensor, distance: Tensor) -> JointLabels:
    """Labels (B, 21, 3) mm from the crops' centres, where known (B, 21), in the crops' cameras."""
    place = joints + torch.nn.functional.pad(distance[:, None, None], (2, 0))
    return JointLabels(torch.where(known, POINT, UNLABELLED), place)


def slacken(batch: RenderedBatch, points: Tensor, slack_mm: float) -> RenderedBatch:
    """The batch with recorded crops' labels moved up to slack_mm towards points (B, 21, 3) mm: what is so near to a
    label agrees with it (Eq. 11)."""
    offset = points - batch.joints
    way = slack_mm / offset.norm(dim=-1, keepdim=True).clamp(min=max(slack_mm, 1e-6))
    moved = torch.where(batch.pose_known[:, None, None], batch.joints, batch.joints + way * offset)
    return dataclasses.replace(batch, joints=moved)
