"""Layers of surface points."""

from __future__ import annotations

import torch

from engine.rendering.closed_splat import splat_closed


def test_splats_close_gaps_but_do_not_widen() -> None:
    ticks = torch.arange(-30.0, 30.0, 2.0)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    points = torch.stack((x.flatten(), y.flatten(), torch.full((x.numel(),), 400.0)), 1).unsqueeze(0)
    for focal, pixel_mm in ((100.0, 4.0), (400.0, 1.0)):
        pixels = points[..., :2] * focal / 400 + torch.tensor([80.0, 60.0])
        facing = torch.ones(1, 900, dtype=torch.bool)
        layer, inside = splat_closed(points[..., 2], pixels, facing, torch.tensor([pixel_mm]), (120, 160))
        drawn = layer.reshape(120, 160).isfinite()
        side = round(58 / pixel_mm) + 1
        assert inside.all()
        assert abs(int(drawn.sum()) - side * side) <= 2 * side + 1
        assert drawn.any(0).sum() <= side + 1


def test_the_nearest_point_wins_and_points_outside_are_left_out() -> None:
    depth = torch.tensor([[500.0, 400.0, 300.0, 450.0]])
    pixels = torch.tensor([[[3.0, 2.0], [3.2, 1.9], [-4.0, 2.0], [7.0, 7.0]]])
    facing = torch.tensor([[True, True, True, False]])
    layer, inside = splat_closed(depth, pixels, facing, torch.tensor([10.0]), (8, 8))
    assert layer[0, 2 * 8 + 3] == 400
    assert layer.isfinite().sum() == 1
    assert inside.tolist() == [[True, True, False, False]]
