"""Rendered crops with their truth: what the encoder is trained and tested on.

Everything happens in the crop's virtual camera: a pinhole camera whose axis passes through the cube's centre,
`distance` away, and whose image is exactly the cube's cross-section there (128 x 128 pixels for 300 mm).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.hand.template import HandTemplate, load_template
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.rendering.splat import splat_depth
from engine.training.clutter import Clutter
from engine.training.noise import SensorNoise
from engine.training.ranges import check_fractions, check_range, check_spreads
from engine.training.sampling import HandSample, HandSampler, SamplingConfig, batch_seed
from engine.types import BETA_SIZE, JOINT_COUNT, THICKNESS_SIZE

#: How far apart an image's pixels are at the cube's centre.
PIXEL_MM = 2 * HALF_CUBE_MM / CROP_SIZE
_BULGES = 16
_FOREARM_POINTS = 6000
#: More would fill any memory.
_MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class RenderConfig:
    """What is rendered. points: on the hand's surface. *_fraction: of crops without a hand, and of left hands.
    *_jitter_mm: how far the cube's centre is off, where a detector and where the last result has placed it.
    flesh_spread_mm: how much hands of the same bones and thickness differ in shape, on the fingers; see varied_flesh.
    Raises ValueError for what cannot be rendered.
    """

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    points: int = 11_000
    centre_jitter_mm: float = 12.0
    followed_jitter_mm: float = 6.0
    flesh_spread_mm: float = 1.0
    empty_fraction: float = 0.1
    left_fraction: float = 0.12
    noise: bool = True
    clutter: bool = True

    def __post_init__(self) -> None:
        check_range(self, 1, _MOST_POINTS, "points")
        check_spreads(self)
        check_fractions(self)


@dataclass(frozen=True)
class HandShape:
    """One person's hand: beta (20,), thickness (6,) mm, bulges (16,) of varied_flesh."""

    beta: Tensor
    thickness: Tensor
    bulges: Tensor

    @staticmethod
    def draw(generator: torch.Generator, spread: float = 0.8, flesh_mm: float = 0.8) -> HandShape:
        """A person drawn at random; spread and flesh_mm: standard deviations of beta and thickness."""
        beta, thickness, bulges = torch.randn(BETA_SIZE + THICKNESS_SIZE + _BULGES, generator=generator).split(
            (BETA_SIZE, THICKNESS_SIZE, _BULGES)
        )
        return HandShape(spread * beta, flesh_mm * thickness, bulges)


class Noise(Protocol):
    """What a camera makes of depth images; see engine.training.noise.SensorNoise."""

    def __call__(
        self, depth: Tensor, distance: Tensor, pixel_mm: float, camera_roll: Tensor | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class RenderedBatch:
    """Depth images and truth. Lengths in mm from the cube's centre, in the crop's virtual camera.

    depth: (B, 128, 128) mm along the camera's axis, infinite where nothing was seen. distance: (B,) of the cube's
    centre. joints: (B, 21, 3). rotation: (B, 3, 3). articulation: (B, 20).
    beta: (B, 20). thickness: (B, 6). has_hand, is_right: (B,) bool; a left hand is the mirrored picture of the right
    hand that the other fields describe, and they do not hold for the picture then. joints_known: (B, 21) bool, False
    for joints without a label; pose_known: (B,) bool, that rotation, articulation, beta and thickness have one.
    """

    depth: Tensor
    distance: Tensor
    joints: Tensor
    rotation: Tensor
    articulation: Tensor
    beta: Tensor
    thickness: Tensor
    has_hand: Tensor
    is_right: Tensor
    joints_known: Tensor
    pose_known: Tensor

    @property
    def crop(self) -> Tensor:
        """What the encoder is given: (B, 1, 128, 128) in [-1, 1]."""
        return normalise(self.depth, self.distance).unsqueeze(1)


class HandRenderer:
    """Makes batches of rendered crops on one device: batch number `index` of a seed is always the same.

    size: pixels of an image's side; more than a crop's shows more around the cube, at the same scale. shape: of all
    hands, instead of another for each. noise: makes the camera's noise of a generator, instead of training's own.
    """

    def __init__(
        self,
        config: RenderConfig,
        seed: int,
        device: str = "cpu",
        template: HandTemplate | None = None,
        size: int = CROP_SIZE,
        shape: HandShape | None = None,
        noise: Callable[[torch.Generator], Noise] = SensorNoise,
    ) -> None:
        self.config, self._shape = config, shape
        self._size, self._centre_px = size, (size - 1) / 2
        self._generator = torch.Generator(device)
        self._seed = seed
        self.skeleton = Skeleton().to(device)
        self._sampler = HandSampler(config.sampling, self.skeleton, self._generator)
        surface = sample_surface(varied_flesh(template or load_template()), config.points, Skeleton())
        self._surface = surface.to(device)
        self._clutter = Clutter(self._generator)
        self._noise = noise(self._generator)
        ticks = (torch.arange(size, device=device) - self._centre_px) * PIXEL_MM
        v, u = torch.meshgrid(ticks, ticks, indexing="ij")
        self._grid_mm = torch.stack((u.flatten(), v.flatten()), 1)

    @torch.no_grad()
    def batch(self, count: int, index: int = 0, view_width: float = 1.0) -> RenderedBatch:
        """Render `count` crops; view_width: how far the views range, from easy ones (0) to all (1)."""
        device, config = self._generator.device, self.config
        self._generator.manual_seed(batch_seed(self._seed, index))
        self._sampler.width = min(1.0, max(0.0, view_width))
        hands, distance = self._draw(count), self._sampler.distances(count)
        lengths = self.skeleton.bone_lengths(hands.beta)
        origin = torch.zeros(count, 3, device=device)
        centred = self.skeleton.pose(origin, hands.rotation, hands.articulation, lengths).joints
        spread = torch.where(hands.followed, config.followed_jitter_mm, config.centre_jitter_mm).unsqueeze(1)
        jitter = spread * torch.randn(count, 3, generator=self._generator, device=device)
        offset = jitter - centred.mean(1)
        has_hand = self._chance(count) >= config.empty_fraction
        # Without a hand the crop looks at the arm beyond it, which is what is most easily taken for one.
        up_the_arm = -hands.rotation[:, :, 1] * (60 + 180 * self._chance(count)).unsqueeze(1)
        place = torch.where(has_hand.unsqueeze(1), offset, up_the_arm + jitter)
        place[:, 2] += distance
        pose = self.skeleton.pose(place, hands.rotation, hands.articulation, lengths)
        is_right = self._chance(count) >= config.left_fraction
        depth = self._depth(pose, hands, distance, has_hand)
        return RenderedBatch(
            depth=torch.where(is_right[:, None, None], depth, depth.flip(2)),
            distance=distance,
            joints=centred + offset.unsqueeze(1),
            rotation=hands.rotation,
            articulation=hands.articulation,
            beta=hands.beta,
            thickness=hands.thickness,
            has_hand=has_hand,
            is_right=is_right,
            joints_known=torch.ones(count, JOINT_COUNT, dtype=torch.bool, device=device),
            pose_known=torch.ones(count, dtype=torch.bool, device=device),
        )

    def _draw(self, count: int) -> HandSample:
        hands = self._sampler.draw(count)
        if self._shape is None:
            return hands
        beta, thickness = (row.to(hands.beta).expand(count, -1) for row in (self._shape.beta, self._shape.thickness))
        return replace(hands, beta=beta, thickness=thickness)

    def _chance(self, count: int) -> Tensor:
        return torch.rand(count, generator=self._generator, device=self._generator.device)

    def _depth(self, pose: SkeletonPose, hands: HandSample, distance: Tensor, has_hand: Tensor) -> Tensor:
        bulges = torch.randn(len(has_hand), _BULGES, generator=self._generator, device=self._generator.device)
        if self._shape is not None:
            bulges = self._shape.bulges.to(bulges).expand_as(bulges)
        flesh = torch.cat((hands.thickness, self.config.flesh_spread_mm * bulges), 1)
        points, normals = self._surface(pose, flesh)
        arm_points, arm_normals = self._clutter.forearm_points(pose, hands.rotation, _FOREARM_POINTS)
        # A crop without a hand shows the arm alone, or nothing of it.
        has_arm = has_hand | (self._chance(len(has_hand)) < 0.6)
        shown = torch.cat(
            (has_hand.unsqueeze(1).expand(normals.shape[:2]), has_arm.unsqueeze(1).expand(arm_normals.shape[:2])), 1
        )
        points, normals = torch.cat((points, arm_points), 1), torch.cat((normals, arm_normals), 1)
        facing = shown & ((points * normals).sum(-1) < 0)
        focal = distance / PIXEL_MM
        # A splat reaches half a pixel beyond its point: outlines would come out wider by that much.
        points[..., :2] -= 0.5 * PIXEL_MM * normals[..., :2]
        depth = splat_depth(points, focal, self._centre_px, self._size, facing)
        if self.config.clutter:
            rays = self._grid_mm / distance[:, None, None]
            others = (
                self._clutter.held(rays, pose),
                self._clutter.behind(rays, distance, has_hand),
                self._clutter.alone(rays, distance, has_hand),
            )
            depth = torch.stack([depth, *(other.reshape_as(depth) for other in others)]).amin(0)
        return self._noise(depth, distance, PIXEL_MM, hands.camera_roll) if self.config.noise else depth


def varied_flesh(template: HandTemplate) -> HandTemplate:
    """The template with further coordinates of thickness (_BULGES of them): smooth bulges and hollows.

    Standard normal coordinates together move a finger's skin by 1 mm and the palm's by 2.5 mm (standard deviation):
    the pads of the thumb and of the little finger differ most between people.
    """
    rng = np.random.default_rng(6)
    directions = rng.normal(size=(_BULGES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * (2 * np.pi / rng.uniform(40.0, 100.0, (_BULGES, 1)))
    field = np.cos(template.vertices @ waves.T + rng.uniform(0, 2 * np.pi, _BULGES)) * np.sqrt(2 / _BULGES)
    scale = 1.0 + 1.5 * template.thickness_weights[:, :1]
    weights = np.concatenate((template.thickness_weights, scale * field), 1).astype(np.float32)
    return replace(template, thickness_weights=weights)


def normalise(depth: Tensor, distance: Tensor) -> Tensor:
    """Depth (B, H, W) mm to [-1, 1] across the cube; what lies outside the cube, or was not seen, becomes 1."""
    scaled = (depth - distance[:, None, None]) / HALF_CUBE_MM
    return torch.where(scaled.abs() <= 1, scaled, 1.0)
