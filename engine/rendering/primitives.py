"""Ray-cast depth of boxes, cylinders, ellipsoids and planes: exact, batched, no meshes.

Rays are given as tangents (..., N, 2): a pixel's ray is z * (x, y, 1). Each function returns depth (B, N) in mm,
infinite where the ray misses. A solid has a centre (B, 3) mm, a rotation (B, 3, 3) from its own frame to the camera and
half sizes (B, 3) mm.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FAR = float("inf")


def _local_rays(rays: Tensor, centre: Tensor, rotation: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Origin (B, 1, 3) and direction (B, N, 3) of the rays where the solid is the unit one."""
    directions = torch.cat((rays, torch.ones_like(rays[..., :1])), -1)
    into = rotation / half.unsqueeze(1)
    return -(centre.unsqueeze(1) @ into), directions @ into


def _nearest_root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The smaller root of a z^2 + 2 b z + c, infinite where there is none."""
    inside = b.square() - a * c
    root = (-b - inside.clamp(min=0).sqrt()) / a.clamp(min=1e-12)
    return torch.where((inside > 0) & (root > 0), root, _FAR)


def ellipsoid_depth(rays: Tensor, centre: Tensor, rotation: Tensor, half: Tensor) -> Tensor:
    """Depth of ellipsoids with semi-axes `half`."""
    origin, direction = _local_rays(rays, centre, rotation, half)
    return _nearest_root(direction.square().sum(-1), (origin * direction).sum(-1), origin.square().sum(-1) - 1)


def cylinder_depth(rays: Tensor, centre: Tensor, rotation: Tensor, half: Tensor) -> Tensor:
    """Depth of open elliptic cylinders along their own y axis: radii half[0], half[2], half length half[1]."""
    origin, direction = _local_rays(rays, centre, rotation, half)
    o, d = origin[..., [0, 2]], direction[..., [0, 2]]
    depth = _nearest_root(d.square().sum(-1), (o * d).sum(-1), o.square().sum(-1) - 1)
    along = origin[..., 1] + torch.where(depth.isinf(), 0.0, depth) * direction[..., 1]
    return torch.where(along.abs() <= 1, depth, _FAR)


def box_depth(rays: Tensor, centre: Tensor, rotation: Tensor, half: Tensor) -> Tensor:
    """Depth of boxes, by slabs."""
    origin, direction = _local_rays(rays, centre, rotation, half)
    inverse = 1.0 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    first, second = (-1 - origin) * inverse, (1 - origin) * inverse
    enter = torch.minimum(first, second).amax(-1)
    leave = torch.maximum(first, second).amin(-1)
    return torch.where((enter < leave) & (enter > 0), enter, _FAR)


def plane_depth(rays: Tensor, point: Tensor, normal: Tensor) -> Tensor:
    """Depth of infinite planes through point (B, 3) with normal (B, 3)."""
    directions = torch.cat((rays, torch.ones_like(rays[..., :1])), -1)
    slope = (directions @ normal.unsqueeze(-1)).squeeze(-1)
    depth = (point * normal).sum(-1, keepdim=True) / torch.where(slope.abs() < 1e-6, 1e-6, slope)
    return torch.where(depth > 0, depth, _FAR)
