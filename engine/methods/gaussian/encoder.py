"""The encoder: a depth crop in, hand parameters out.

A ResNet-18 with a dense head: every cell of a 32 x 32 grid votes where each joint is, and a heat map per joint weighs
the votes to a point (soft-argmax, Sun et al. 2018, with the offsets of A2J, Xiong et al. 2019: what is seen of a finger
may vote for a tip that is not). A small transformer over the joints then moves the points, hidden ones above all; they
and pooled features feed a small regressor of theta, beta and thickness. Dense heads learn several times faster than
direct regression and stay exact where the surface is seen; the regressor keeps the result a hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.geometry.rotations import six_d_to_matrix
from engine.hand.limits import ARTICULATION_LIMITS
from engine.methods.backbone import ResNet18, conv_norm
from engine.methods.joint_mixer import JointMixer
from engine.types import BETA_SIZE, JOINT_COUNT, THICKNESS_SIZE

#: Half the side of the crop's cube in mm (paper, section IV-B: 300 mm).
HALF_CUBE_MM = 150.0
CROP_SIZE = 128
_POINT_SCALE_MM = 60.0


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the network. width: of the ResNet-18, 1.0 is the published one (64 channels in the first stage).

    Raises ValueError for sizes of no network: they come from files.
    """

    width: float = 0.5
    head_channels: int = 64
    hidden: int = 256
    mixer_width: int = 128
    mixer_layers: int = 3

    def __post_init__(self) -> None:
        if not (1 / 64 <= self.width <= 4 and 1 <= self.head_channels <= 1024 and 1 <= self.hidden <= 8192):
            raise ValueError(f"no encoder has a width of {self.width}, {self.head_channels} and {self.hidden} channels")
        if not (4 <= self.mixer_width <= 1024 and self.mixer_width % 4 == 0 and 1 <= self.mixer_layers <= 16):
            raise ValueError(f"no encoder mixes joints by {self.mixer_layers} layers of {self.mixer_width} channels")


class Encoding(NamedTuple):
    """What the encoder says of a batch of crops, in the crop's virtual camera.

    points: (B, 21, 3) mm from the crop's centre. log_sigma: (B, 21), log of each point's expected
    error in mm. translation: (B, 3) mm of the wrist from the crop's centre; rotation: (B, 3, 3); articulation: (B, 20)
    radians; beta: (B, 20); thickness: (B, 6) mm. hand_logit, right_logit: (B,), that there is a hand, and that it
    is a right one.
    """

    points: Tensor
    log_sigma: Tensor
    translation: Tensor
    rotation: Tensor
    articulation: Tensor
    beta: Tensor
    thickness: Tensor
    hand_logit: Tensor
    right_logit: Tensor


class DenseHead(nn.Module):
    """Top-down path to stride 4, then per joint a heat map, a depth map and two maps of where a cell's vote goes."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.merge = nn.ModuleList(nn.Sequential(conv_norm(width, width, 3), nn.ReLU()) for _ in channels)
        self.output = nn.Conv2d(width, 4 * JOINT_COUNT, 1)

    def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Over the N cells of the finest grid: heat (B, 21, N) logits; votes (B, 21, 3, N), depth and how far from the
        cell's centre, in the unit of cell_centres; features (B, width, N)."""
        top: Tensor | None = None
        for features, lateral, merge in zip(
            reversed(pyramid), reversed(self.lateral), reversed(self.merge), strict=True
        ):
            here = lateral(features)
            if top is not None:
                here = here + nn.functional.interpolate(top, scale_factor=2.0, mode="nearest")
            top = merge(here)
        assert top is not None
        heat, *votes = self.output(top).flatten(2).float().chunk(4, dim=1)
        return heat, torch.stack(votes, 2), top.flatten(2)


def cell_centres(side: int) -> Tensor:
    """(side * side, 2) centres u, v of a grid's cells over [-1, 1]."""
    ticks = (torch.arange(side, dtype=torch.float32) + 0.5) * (2.0 / side) - 1.0
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack((u.flatten(), v.flatten()), 1)


class Encoder(nn.Module):
    """Crop (B, 1, 128, 128) in [-1, 1] and distance (B,) mm of its centre -> Encoding."""

    cells: Tensor
    identity_six: Tensor
    limits_middle: Tensor
    limits_half: Tensor

    def __init__(self, config: EncoderConfig = EncoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet18(config.width)
        self.head = DenseHead(self.backbone.channels, config.head_channels)
        pooled = self.backbone.channels[-1]
        # Of each joint: features, point (3), spread and depth.
        known, cells = config.head_channels + 5, (CROP_SIZE // 32) ** 2
        self.mixer = JointMixer(JOINT_COUNT, known, pooled, cells, config.mixer_width, config.mixer_layers)
        # By how much a point moves (3) and its expected error changes (1); a new network begins with neither.
        self.moved = nn.Linear(config.mixer_width, 4)
        nn.init.zeros_(self.moved.weight)
        nn.init.zeros_(self.moved.bias)
        inputs = 5 * JOINT_COUNT + pooled + config.mixer_width
        # 9 = wrist offset (3) + rotation in 6D (6).
        outputs = 9 + 20 + BETA_SIZE + THICKNESS_SIZE
        self.regressor = nn.Sequential(
            nn.Linear(inputs, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, outputs),
        )
        self.sigma = nn.Linear(pooled + 2 * JOINT_COUNT, JOINT_COUNT)
        self.verdict = nn.Linear(pooled, 2)
        limits = torch.as_tensor(ARTICULATION_LIMITS, dtype=torch.float32)
        centres = cell_centres(CROP_SIZE // 4)
        # (3, N): what a vote is counted from, depth from nothing.
        self.register_buffer("cells", torch.cat((torch.zeros(1, len(centres)), centres.T)), persistent=False)
        # Added to what is regressed, so that a new network begins at no rotation.
        self.register_buffer("identity_six", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)
        self.register_buffer("limits_middle", limits.mean(1), persistent=False)
        self.register_buffer("limits_half", (limits[:, 1] - limits[:, 0]) / 2, persistent=False)

    def forward(self, crop: Tensor, distance: Tensor) -> Encoding:
        pyramid = self.backbone(crop)
        heat, votes, features = self.head(pyramid)
        weights = heat.softmax(-1)
        depth, u, v = (votes + self.cells).unbind(2)
        # As one product: many times faster than sums over pairs.
        weighed = torch.stack((depth, u, v, u * u + v * v), 2) @ weights.unsqueeze(-1)
        d, uv, squared = weighed[:, :, 0, 0], weighed[:, :, 1:3, 0], weighed[:, :, 3, 0]
        # The floor keeps the root's slope finite where all votes agree.
        spread = (squared - uv.square().sum(-1)).clamp(min=1e-5).sqrt()
        points = lift(uv, d, distance)
        known = torch.cat((points / _POINT_SCALE_MM, torch.stack((spread, d), -1)), -1)
        at_joints = weights.to(features.dtype) @ features.transpose(1, 2)
        mixed = self.mixer(torch.cat((at_joints.float(), known), -1), pyramid[-1].flatten(2))
        moved = self.moved(mixed).float()
        points = points + _POINT_SCALE_MM * moved[..., :3]
        pooled = pyramid[-1].float().mean((2, 3))
        sigma = self.sigma(torch.cat((pooled, spread, d), 1)) + moved[..., 3]
        evidence = torch.cat((points.flatten(1) / _POINT_SCALE_MM, spread, d, pooled, mixed.float().mean(1)), 1)
        return self._regress(points, evidence, sigma, pooled)

    def _regress(self, points: Tensor, evidence: Tensor, sigma: Tensor, pooled: Tensor) -> Encoding:
        offset, six, angles, beta, thickness = self.regressor(evidence).split((3, 6, 20, BETA_SIZE, THICKNESS_SIZE), 1)
        hand_logit, right_logit = self.verdict(pooled).unbind(1)
        return Encoding(
            points=points,
            log_sigma=sigma.clamp(-1.0, 5.0) + 1.5,
            translation=points[:, 0] + 5.0 * offset,
            rotation=six_d_to_matrix(six + self.identity_six),
            articulation=self.limits_middle + self.limits_half * angles,
            beta=beta,
            thickness=thickness,
            hand_logit=hand_logit,
            right_logit=right_logit,
        )


def lift(uv: Tensor, d: Tensor, distance: Tensor) -> Tensor:
    """Crop coordinates to mm from the crop's centre: uv (B, J, 2) and d (B, J) in [-1, 1], distance (B,) -> (B, J, 3).

    The crop is a pinhole image whose axis passes through the cube's centre at `distance`, and whose border is the
    cube's at that distance, so x = u * half * z / distance.
    """
    perspective = 1.0 + d * HALF_CUBE_MM / distance.unsqueeze(1)
    return torch.cat((uv * perspective.unsqueeze(-1), d.unsqueeze(-1)), -1) * HALF_CUBE_MM
