"""Quadrics cast together against the solids of engine/rendering/primitives.py and against plain points."""

from __future__ import annotations

import torch

from engine.rendering.primitives import cylinder_depth, ellipsoid_depth
from engine.rendering.quadrics import Quadrics, limb_between, quadric_depth
from engine.training.sampling import random_rotations


def rays(seed: int, scenes: int, count: int = 4000) -> torch.Tensor:
    return torch.rand(scenes, count, 2, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.6


def some_parts(limb: bool, taper: float = 0.0, scenes: int = 3, parts: int = 4) -> Quadrics:
    generator = torch.Generator().manual_seed(7)
    centre = torch.randn(scenes, parts, 3, generator=generator) * 120
    centre[..., 2] += 700
    rotation = random_rotations(torch.randn(scenes * parts, 4, generator=generator)).reshape(scenes, parts, 3, 3)
    half = 30 + 120 * torch.rand(scenes, parts, 3, generator=generator)
    return Quadrics(
        centre,
        rotation,
        half,
        torch.full((scenes, parts), taper),
        torch.full((parts,), limb),
        torch.ones(scenes, parts, dtype=torch.bool),
    )


def agree(found: torch.Tensor, truth: torch.Tensor) -> None:
    # Rays that graze an outline may fall on either side of it.
    assert (found.isinf() == truth.isinf()).float().mean() > 0.999
    assert truth.isfinite().float().mean() > 0.005
    both = found.isfinite() & truth.isfinite()
    assert (found - truth)[both].abs().max() < 1.0
    assert (found - truth)[both].abs().median() < 0.01


def test_ellipsoids_agree_with_the_single_ones() -> None:
    parts, look = some_parts(limb=False), rays(1, 3)
    found = quadric_depth(look, parts)
    for p in range(4):
        agree(found[:, p], ellipsoid_depth(look, parts.centre[:, p], parts.rotation[:, p], parts.half[:, p]))


def test_untapered_limbs_agree_with_cylinders() -> None:
    parts, look = some_parts(limb=True), rays(2, 3)
    found = quadric_depth(look, parts)
    for p in range(4):
        agree(found[:, p], cylinder_depth(look, parts.centre[:, p], parts.rotation[:, p], parts.half[:, p]))


def test_a_tapered_limb_has_its_radius_everywhere() -> None:
    start, end = torch.tensor([[-100.0, 30.0, 600.0]]), torch.tensor([[150.0, -80.0, 800.0]])
    centre, rotation, half_length = limb_between(start, end)
    torch.testing.assert_close(centre + rotation[..., 1] * half_length.unsqueeze(1), end)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(1))
    half = torch.tensor([[[30.0, half_length.item(), 30.0]]])
    flag = torch.ones(1, 1, dtype=torch.bool)
    parts = Quadrics(centre[:, None], rotation[:, None], half, torch.tensor([[-0.4]]), flag[0], flag)
    look = rays(3, 1, 40_000)
    depth = quadric_depth(look, parts)[0, 0]
    hit = depth.isfinite()
    assert hit.sum() > 500
    points = torch.cat((look[0, hit], torch.ones(int(hit.sum()), 1)), 1) * depth[hit, None]
    local = (points - centre) @ rotation[0]
    along = local[:, 1] / half_length
    assert along.abs().max() <= 1 + 1e-4
    torch.testing.assert_close(local[:, [0, 2]].norm(dim=1), 30 * (1 - 0.4 * along), atol=0.05, rtol=0)


def test_parts_that_are_not_shown_or_lie_behind_are_not_seen() -> None:
    parts, look = some_parts(limb=False), rays(4, 3)
    hidden = Quadrics(
        parts.centre, parts.rotation, parts.half, parts.taper, parts.limb, torch.zeros(3, 4, dtype=torch.bool)
    )
    assert quadric_depth(look, hidden).isinf().all()
    behind = Quadrics(-parts.centre, parts.rotation, parts.half, parts.taper, parts.limb, parts.shown)
    assert quadric_depth(look, behind).isinf().all()
