"""Depth layers from few surface points on images of any pixel size: each point fills the pixel that it is in.

So far fingers keep their width; where pixels are finer than the points lie, the gaps between are closed (a dilation and
an erosion), which does not widen the outline either.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.rendering.splat import EMPTY_MM

#: Radius of the closing in pixels, and for which sizes of a pixel (from, to, mm) it is taken: the points of a hand's
#: surface lie some 3 mm from each other.
_GAPS = ((1, 2.4, 5.0), (2, 1.5, 2.4), (3, 0.0, 1.5))


def splat_closed(
    depth: Tensor, pixels: Tensor, facing: Tensor, pixel_mm: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Z-buffer (B, H * W) of points at depth (B, P) mm and pixels (B, P, 2), EMPTY_MM where none; size: (H, W).

    Also which of the points that are `facing` (B, P) lie in the image. pixel_mm: (B,) a pixel's size at the surface,
    which tells how wide the gaps between the points are.
    """
    height, width = size
    column, row = pixels.round().long().unbind(-1)
    inside = facing & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    cells = torch.where(inside, row * width + column, height * width)
    images = torch.full((len(depth), height * width + 1), EMPTY_MM, device=depth.device)
    images.scatter_reduce_(1, cells, depth, "amin")
    layer = images[:, :-1].reshape(-1, height, width)
    for radius, low, high in _GAPS:
        some = torch.nonzero((pixel_mm >= low) & (pixel_mm < high)).flatten()
        if len(some):
            layer[some] = _closed(layer[some], radius)
    return layer.flatten(1), inside


def _closed(depth: Tensor, radius: int) -> Tensor:
    """Gaps of up to 2 * radius pixels filled: the nearest around, then the farthest around that."""
    pool = torch.nn.functional.max_pool2d
    size = 2 * radius + 1
    near = -pool(-depth.unsqueeze(1), size, 1, radius)
    return pool(near, size, 1, radius)[:, 0]
