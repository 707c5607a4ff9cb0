"""Ray-cast depth of many ellipsoids and tapered limbs at once: the bodies in rendered scenes.

Every part is a quadric, so that the coefficients of its ray equation are polynomials of the ray's tangents: one small
matrix product for all parts and pixels of a scene, several times cheaper than casting one solid after the other
(engine/rendering/primitives.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = float("inf")
_BEYOND_MM = 1e5


@dataclass(frozen=True)
class Quadrics:
    """P parts in each of B scenes.

    centre: (B, P, 3) mm, camera frame. rotation: (B, P, 3, 3) from the part's frame to the camera. half: (B, P, 3) mm:
    the semi-axes of an ellipsoid; radii (x, z) in the middle and half the length (y) of a limb. taper: (B, P), a
    limb's radii at its +y end are (1 + taper) of the middle ones. limb: (P,) bool. shown:
    (B, P) bool, the others are left out.
    """

    centre: Tensor
    rotation: Tensor
    half: Tensor
    taper: Tensor
    limb: Tensor
    shown: Tensor


def quadric_depth(rays: Tensor, parts: Quadrics) -> Tensor:
    """Depth (B, P, N) in mm along rays (B, N, 2) given as tangents; infinite where a ray misses. Limbs have open ends.

    Written in place: a batch of bodies is several hundred megabytes of intermediate results otherwise.
    """
    x, y = rays.unbind(-1)
    one = torch.ones_like(x)
    linear = torch.stack((x, y, one), 1)
    squares = torch.stack((x * x, y * y, one, 2 * x * y, 2 * x, 2 * y), 1)
    slope = parts.limb.to(x) * parts.taper / parts.half[..., 1]
    form = parts.half.square().reciprocal()
    form = torch.stack((form[..., 0], torch.where(parts.limb, -slope.square(), form[..., 1]), form[..., 2]), -1)
    origin = (parts.rotation.mT @ parts.centre.unsqueeze(-1)).squeeze(-1)
    matrix = (parts.rotation * form.unsqueeze(-2)) @ parts.rotation.mT
    axis = parts.rotation[..., 1]
    a = torch.stack([matrix[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], -1) @ squares
    b = (-(matrix @ parts.centre.unsqueeze(-1)).squeeze(-1) - slope.unsqueeze(-1) * axis) @ linear
    c = (form * origin.square()).sum(-1) + 2 * slope * origin[..., 1] - 1
    root = b.square().sub_(a.mul_(c.unsqueeze(-1))).clamp_(min=0).sqrt_()
    miss = root <= 0
    # The nearer root as c over the farther numerator: exact also where a limb's a passes through zero. Where the part
    # lies behind the camera the numerator is clamped, which puts the root beyond any scene.
    numerator = torch.where(parts.shown & (c > 0), c, _FAR).unsqueeze(-1)
    depth = numerator / root.sub_(b).clamp_(min=1e-9)
    limbs = torch.nonzero(parts.limb).flatten()
    along = (axis[:, limbs] @ linear).mul_(depth[:, limbs]).sub_(origin[:, limbs, 1:2]).abs_()
    miss[:, limbs] |= ~(along <= parts.half[:, limbs, 1:2])
    miss |= depth > _BEYOND_MM
    return depth.masked_fill_(miss, _FAR)


def limb_between(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre (B, 3), rotation (B, 3, 3) and half length (B,) of limbs from `start` (-y) to `end` (+y), (B, 3) mm."""
    way = end - start
    length = way.norm(dim=-1)
    y = way / length.clamp(min=1e-6).unsqueeze(-1)
    # Any direction far from y will do for x: limbs are nearly round.
    helper = torch.where(y[:, 2:].abs() < 0.8, torch.tensor([0.0, 0.0, 1.0]).to(y), torch.tensor([1.0, 0.0, 0.0]).to(y))
    x = torch.nn.functional.normalize(torch.linalg.cross(y, helper, dim=-1), dim=-1)
    return (start + end) / 2, torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), -1), length / 2
