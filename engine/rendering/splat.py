"""Depth images from surface points: each point covers 2 x 2 pixels, the nearest wins."""

from __future__ import annotations

import torch
from torch import Tensor

#: What a pixel without a surface holds.
EMPTY_MM = float("inf")


def splat_depth(points: Tensor, focal_px: Tensor, centre_px: float, size: int, facing: Tensor | None = None) -> Tensor:
    """Z-buffer of points (B, P, 3) mm, camera frame, on square images: (B, size, size) mm, EMPTY_MM where none.

    focal_px: (B,), the principal point at centre_px on both axes. facing: (B, P) bool, points to draw; the rest
    are left out (the far side of a surface, which would show through the gaps of the near one).
    """
    batch, _, _ = points.shape
    x, y, z = points.unbind(-1)
    scale = focal_px.unsqueeze(1) / z.clamp(min=1.0)
    left = torch.floor(x * scale + centre_px).long()
    top = torch.floor(y * scale + centre_px).long()
    visible = z > 1.0 if facing is None else facing & (z > 1.0)
    images = torch.full((batch, size * size + 1), EMPTY_MM, dtype=points.dtype, device=points.device)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            inside = visible & (column >= 0) & (column < size) & (row >= 0) & (row < size)
            # Points off the image go to one spare cell past its end, which is cut away below.
            cells = torch.where(inside, row * size + column, size * size)
            images.scatter_reduce_(1, cells, z, "amin")
    return images[:, :-1].reshape(batch, size, size)


def splat_depth_reference(
    points: Tensor, focal_px: Tensor, centre_px: float, size: int, facing: Tensor | None = None
) -> Tensor:
    """The same, one point at a time."""
    images = torch.full((len(points), size, size), EMPTY_MM, dtype=points.dtype)
    for b in range(len(points)):
        for p in range(points.shape[1]):
            z = points[b, p, 2].item()
            if z <= 1.0 or (facing is not None and not facing[b, p]):
                continue
            column = int(torch.floor(points[b, p, 0] * (focal_px[b] / z) + centre_px))
            row = int(torch.floor(points[b, p, 1] * (focal_px[b] / z) + centre_px))
            for v in (row, row + 1):
                for u in (column, column + 1):
                    if 0 <= u < size and 0 <= v < size:
                        images[b, v, u] = min(images[b, v, u].item(), z)
    return images
