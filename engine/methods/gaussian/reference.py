"""The quadtree and the energies once more, plainly: recursion and loops, for tests and for `bench losses`.

One image at a time, one Gaussian against a list of others. Slow, differentiable by autograd alone, and written from the
paper's equations without looking at how the batched functions do it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.hand.limits import ARTICULATION_LIMITS
from engine.methods.gaussian.decoder import DecodedHand
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.methods.gaussian.energies import POINT, RAY, EnergyConfig, JointLabels, apart_pairs


@dataclass(frozen=True)
class Leaves:
    """One image's Gaussians: centres (N, 2) px, sigmas (N,) px, depth (N,) mm in the camera frame."""

    centres: Tensor
    sigmas: Tensor
    depth: Tensor


def leaves_reference(crop: Tensor, distance: float, depth_range_mm: float) -> Leaves:
    """The quadtree of one crop (N, N) in [-1, 1], by recursion."""
    found: list[tuple[float, float, float, float]] = []

    def visit(top: int, left: int, side: int) -> None:
        region = crop[top : top + side, left : left + side]
        full = region[region < 1]
        if len(full) == 0:
            return
        depths = distance + HALF_CUBE_MM * full
        if side > 1 and (len(full) < side * side or float(depths.max() - depths.min()) >= depth_range_mm):
            half = side // 2
            for down in (0, half):
                for right in (0, half):
                    visit(top + down, left + right, half)
            return
        found.append((left + (side - 1) / 2, top + (side - 1) / 2, side / 2, float(depths.mean())))

    visit(0, 0, len(crop))
    u, v, sigma, depth = torch.tensor(found, dtype=crop.dtype).reshape(-1, 4).unbind(1)
    return Leaves(torch.stack((u, v), 1), sigma, depth)


def overlap_reference(first: Tensor, first_sigma: Tensor, second: Tensor, second_sigma: Tensor) -> Tensor:
    """Eq. 4 in as many dimensions as the means (..., D) have: the integral of two Gaussians' product, each g(0) = 1."""
    dimensions = first.shape[-1]
    variance = first_sigma**2 + second_sigma**2
    square = ((first - second) ** 2).sum(-1)
    width = first_sigma**2 * second_sigma**2 / variance
    return (2 * math.pi * width) ** (dimensions / 2) * torch.exp(-square / (2 * variance))


def e_dissim_reference(hand: DecodedHand, images: list[Leaves]) -> Tensor:
    """Eqs. 4-6, (B,)."""
    energies = []
    for b, image in enumerate(images):
        shared = hand.means.new_zeros(())
        for p in range(hand.means.shape[1]):
            overlap = overlap_reference(image.centres, image.sigmas, hand.centres_px[b, p], hand.sigmas_px[b, p])
            apart = (image.depth - hand.surface_mm[b, p]).abs() / (2 * hand.sigmas_mm[b, p])
            shared = shared + (torch.where(apart < 1, 1 - apart, 0.0) * overlap).sum()
        own = sum(
            (overlap_reference(image.centres, image.sigmas, centre, sigma).sum()
             for centre, sigma in zip(image.centres, image.sigmas, strict=True)),
            start=hand.means.new_zeros(()),
        )  # fmt: skip
        energies.append(-shared / own if len(image.depth) else 0.0 * shared)
    return torch.stack(energies)


def e_collision_reference(means_mm: Tensor, sigmas_mm: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Eq. 7, (B,) cm^3."""
    energies = []
    for means, sigmas in zip(means_mm / 10, sigmas_mm / 10, strict=True):
        total = means.new_zeros(())
        for j in range(len(means)):
            rest = slice(j + 1, None)
            overlap = overlap_reference(means[j], sigmas[j], means[rest], sigmas[rest])
            total = total + (overlap if pairs is None else overlap[pairs[j, rest]]).sum()
        energies.append(total)
    return torch.stack(energies)


def e_bone_reference(beta: Tensor) -> Tensor:
    """Eq. 8, (B,)."""
    return torch.stack([torch.stack([value**2 for value in row]).sum() for row in beta])


def e_lim_reference(articulation: Tensor) -> Tensor:
    """Eq. 9, (B,) rad^2."""
    energies = []
    for angles in articulation:
        total = angles.new_zeros(())
        for angle, (lower, upper) in zip(angles, ARTICULATION_LIMITS.tolist(), strict=True):
            if angle < lower:
                total = total + (lower - angle) ** 2
            elif angle > upper:
                total = total + (angle - upper) ** 2
        energies.append(total)
    return torch.stack(energies)


def e_joint_reference(joints: Tensor, labels: JointLabels, slack_mm: float) -> Tensor:
    """Eqs. 10-11, (B,) mm^2."""
    energies = []
    for places, kinds, targets in zip(joints, labels.kind, labels.target, strict=True):
        total = places.new_zeros(())
        for place, kind, target in zip(places, kinds.tolist(), targets, strict=True):
            if kind == POINT:
                distance = torch.linalg.vector_norm(place - target)
            elif kind == RAY:
                distance = torch.linalg.vector_norm(place - (place @ target) * target)
            else:
                continue
            if distance > slack_mm:
                total = total + (distance - slack_mm) ** 2
        energies.append(total)
    return torch.stack(energies)


def energy_reference(
    hand: DecodedHand,
    articulation: Tensor,
    beta: Tensor,
    crop: Tensor,
    distance: Tensor,
    labels: JointLabels,
    config: EnergyConfig,
) -> Tensor:
    """Eq. 3, (B,), quadtrees of the crops (B, N, N) included."""
    images = [leaves_reference(c, float(d), config.depth_range_mm) for c, d in zip(crop, distance, strict=True)]
    pairs = None if config.collide_neighbours else apart_pairs(hand.means.device)
    return (
        config.dissim * e_dissim_reference(hand, images)
        + config.collision * e_collision_reference(hand.means, hand.sigmas_mm, pairs)
        + config.bone * e_bone_reference(beta)
        + config.lim * e_lim_reference(articulation)
        + config.joint * e_joint_reference(hand.joints, labels, config.slack_mm)
    )
