"""Laying a colour image over a depth image of another camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import depth_to_points
from engine.sensors.undistort import Distort
from engine.types import Intrinsics


@dataclass(frozen=True)
class ColorCamera:
    """Where the colour camera is and how it sees.

    rotation (3, 3) and translation_mm (3,) take points from the depth camera's frame into the colour camera's;
    distort maps straight rays to those of its lens (None: straight already).
    """

    intrinsics: Intrinsics
    rotation: NDArray[np.float64]
    translation_mm: NDArray[np.float64]
    distort: Distort | None = None

    def register(
        self, color: NDArray[np.uint8], depth_mm: NDArray[np.float32], depth_camera: Intrinsics
    ) -> NDArray[np.uint8]:
        """The colour (H, W, 3) seen at every depth pixel; black where there is no depth or no colour.

        What the colour camera cannot see, because something nearer hides it, gets the nearer thing's colour.
        """
        points = depth_to_points(depth_mm, depth_camera)
        moved = points @ self.rotation.T.astype(np.float32) + self.translation_mm.astype(np.float32)
        valid = (points[..., 2] > 0) & (moved[..., 2] > 0)
        z = np.where(valid, moved[..., 2], 1)
        x, y = (moved[..., 0] / z).astype(np.float64), (moved[..., 1] / z).astype(np.float64)
        if self.distort is not None:
            x, y = self.distort(x, y)
        u = np.where(valid, x * self.intrinsics.fx + self.intrinsics.cx, -1)
        v = np.where(valid, y * self.intrinsics.fy + self.intrinsics.cy, -1)
        map_u = np.nan_to_num(u, nan=-1).astype(np.float32)
        map_v = np.nan_to_num(v, nan=-1).astype(np.float32)
        registered = cv2.remap(
            color, map_u, map_v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0)
        )
        return np.asarray(registered, np.uint8)
