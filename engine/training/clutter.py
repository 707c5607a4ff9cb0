"""What else a crop sees: the forearm, something held, and what stands behind. Batched depth images in mm."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.geometry.rotations import rotation_about_axis
from engine.hand.skeleton import SkeletonPose
from engine.rendering.primitives import box_depth, cylinder_depth, ellipsoid_depth, plane_depth
from engine.training.sampling import random_rotations

_EMPTY = float("inf")


class Clutter:
    """Draws surroundings; every chance is per image."""

    held_chance = 0.2
    behind_chance = 0.45
    alone_chance = 0.4
    sleeve_chance = 0.3

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self.device = generator.device

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._generator, device=self.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self.device)

    def forearm_points(self, pose: SkeletonPose, rotation: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Points (B, count, 3) and outward normals of a tapered forearm, bent at the wrist as wrists bend."""
        batch = len(rotation)
        bend = rotation_about_axis(0, 0.45 * self._normal(batch)) @ rotation_about_axis(2, 0.2 * self._normal(batch))
        frame = rotation @ bend
        place = torch.arange(count, device=self.device)
        # A golden-angle spiral covers the mantle evenly.
        angle = place * 2.399963
        # Denser near the wrist, which is what a crop of the hand shows.
        along = ((place + 0.5) / count) ** 1.2
        wide_at_wrist = self._uniform(batch, 1, low=24.0, high=31.0)
        grow = self._uniform(batch, 1, low=4.0, high=22.0)
        sleeve_from = torch.where(
            self._uniform(batch, 1) < self.sleeve_chance, self._uniform(batch, 1, low=0.05, high=0.6), 2.0
        )
        sleeve = self._uniform(batch, 1, low=4.0, high=16.0) * (along > sleeve_from)
        wide = wide_at_wrist + grow * (along * 1.3).clamp(max=1.0) + sleeve
        deep = 0.72 * wide_at_wrist + 1.1 * grow * (along * 1.3).clamp(max=1.0) + sleeve
        cosine, sine = angle.cos().expand(batch, -1), angle.sin().expand(batch, -1)
        local = torch.stack((wide * cosine, 8.0 + along.expand(batch, -1) * 270.0, deep * sine), -1)
        normals = torch.stack((deep * cosine, torch.zeros_like(cosine), wide * sine), -1)
        wrist = pose.joints[:, :1]
        return wrist + local @ frame.mT, torch.nn.functional.normalize(normals, dim=-1) @ frame.mT

    def held(self, rays: Tensor, pose: SkeletonPose) -> Tensor:
        """Depth (B, N) of a bar, box or ball in or before the palm; infinite in most images."""
        depth = torch.full((len(rays), rays.shape[1]), _EMPTY, device=self.device)
        some = torch.nonzero(self._uniform(len(rays)) < self.held_chance).flatten()
        if len(some) == 0:
            return depth
        count = len(some)
        joints, palm_axis = pose.joints[some], pose.rotations[some, 8, :, 2]
        way = self._uniform(count, 1)
        centre = (1 - way) * joints[:, [5, 9, 13]].mean(1) + way * joints[:, [6, 10, 14, 2]].mean(1)
        centre = centre + palm_axis * self._uniform(count, 1, low=18.0, high=55.0) + 12.0 * self._normal(count, 3)
        depth[some] = self._solid(rays[some], centre, radius=(7, 22), half=(12, 55))
        return depth

    def alone(self, rays: Tensor, distance: Tensor, has_hand: Tensor) -> Tensor:
        """Depth (B, N) of a mug, a box or a ball in the cube's middle, in some of the images without a hand."""
        depth = torch.full((len(rays), rays.shape[1]), _EMPTY, device=self.device)
        some = torch.nonzero((self._uniform(len(rays)) < self.alone_chance) & ~has_hand).flatten()
        if len(some) == 0:
            return depth
        centre = 30.0 * self._normal(len(some), 3)
        centre[:, 2] += distance[some]
        depth[some] = self._solid(rays[some], centre, radius=(15, 50), half=(15, 70))
        return depth

    def _solid(self, rays: Tensor, centre: Tensor, radius: tuple[float, float], half: tuple[float, float]) -> Tensor:
        """Depth (B, N) of a cylinder (of that range of radii), a box or an ellipsoid (of half sides), turned."""
        count = len(rays)
        turn = random_rotations(self._normal(count, 4))
        across, along = self._uniform(count, low=radius[0], high=radius[1]), self._uniform(count, low=35, high=110)
        bar = torch.stack((across, along, across), 1)
        box = self._uniform(count, 3, low=half[0], high=half[1])
        shapes = (
            cylinder_depth(rays, centre, turn, bar),
            box_depth(rays, centre, turn, box),
            ellipsoid_depth(rays, centre, turn, box),
        )
        kind = torch.randint(0, 3, (count, 1), generator=self._generator, device=self.device)
        return torch.where(kind == 0, shapes[0], torch.where(kind == 1, shapes[1], shapes[2]))

    def behind(self, rays: Tensor, distance: Tensor, has_hand: Tensor) -> Tensor:
        """Depth (B, N) of a body, a head or a wall near the far side of the cube; infinite in the other images.

        Where has_hand (B,) is false, it may stand in the cube's middle, where a hand would.
        """
        depth = torch.full((len(rays), rays.shape[1]), _EMPTY, device=self.device)
        some = torch.nonzero(self._uniform(len(rays)) < self.behind_chance).flatten()
        if len(some) == 0:
            return depth
        count = len(some)
        back = self._uniform(count, low=35.0, high=210.0)
        back = torch.where(has_hand[some], back, back - self._uniform(count, low=0.0, high=120.0))
        point = torch.stack((torch.zeros(count, device=self.device), torch.zeros(count, device=self.device), back), 1)
        point[:, 2] += distance[some]
        normal = torch.nn.functional.normalize(
            torch.cat((0.35 * self._normal(count, 2), -torch.ones(count, 1, device=self.device)), 1), dim=1
        )
        wall = plane_depth(rays[some], point, normal)
        half = torch.stack(
            (
                self._uniform(count, low=60, high=220),
                self._uniform(count, low=80, high=300),
                self._uniform(count, low=60, high=140),
            ),
            1,
        )
        spread = torch.where(has_hand[some], 150.0, 60.0).unsqueeze(1)
        body = point + torch.cat((spread * self._normal(count, 2), half[:, 2:]), 1)
        blob = ellipsoid_depth(rays[some], body, random_rotations(self._normal(count, 4)), half)
        depth[some] = torch.where(self._uniform(count, 1) < 0.35, wall, blob)
        return depth
