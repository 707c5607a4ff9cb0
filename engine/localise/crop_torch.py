"""`crop.cut` in torch, several windows at once, on the device the depth is on: no pixel passes through the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.localise.crop import GRID_MM, CropWindow
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.types import Intrinsics


class TorchCutter:
    """Cuts crops on a device, which holds the grid of a crop's pixels."""

    def __init__(self, device: torch.device | str) -> None:
        self._grid = torch.from_numpy(GRID_MM).to(device)

    def cut(self, depth: Tensor, depth_unit_mm: float, camera: Intrinsics, windows: Sequence[CropWindow]) -> Tensor:
        """Crops (B, 128, 128) float32 in [-1, 1] of B windows. depth: (H, W) int32 units of depth_unit_mm, 0 unknown.

        Equal to crop.cut but for single pixels whose ray falls between two of the image's.
        """
        device = self._grid.device
        rotation = torch.from_numpy(np.stack([window.rotation for window in windows])).to(device)
        distance = torch.tensor([window.distance for window in windows], dtype=torch.float32, device=device)
        side = torch.tensor([-1.0 if window.mirrored else 1.0 for window in windows], device=device)
        tangents = self._grid / distance[:, None, None]
        rays = torch.cat((tangents, torch.ones_like(tangents[..., :1])), -1) @ rotation
        x, y, z = rays.unbind(-1)
        ahead = z > 1e-3
        inverse = 1.0 / torch.where(ahead, z, 1.0)
        column = torch.round(x * inverse * (side[:, None] * camera.fx) + camera.cx).long()
        row = torch.round(y * inverse * camera.fy + camera.cy).long()
        inside = ahead & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        raw = depth.flatten()[torch.where(inside, row * camera.width + column, 0)]
        scaled = (raw.float() * (depth_unit_mm * inverse) - distance[:, None]) / HALF_CUBE_MM
        seen = inside & (raw > 0) & (scaled.abs() <= 1)
        return torch.where(seen, scaled, 1.0).reshape(-1, CROP_SIZE, CROP_SIZE)
