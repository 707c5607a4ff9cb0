"""Straightening depth images, so that their pixels fit a pinhole camera.

A depth image may not be interpolated: a mean of hand and background is a place where nothing is. So every pixel of the
straight image takes the nearest pixel of the distorted one, by a table worked out once. Depth along z does not change
with the direction, so values are only moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import pixel_rays
from engine.types import Intrinsics

#: Maps x/z, y/z of straight rays to those of the distorted image.
Distort = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


class Undistorter:
    """Moves the pixels of a distorted image to where a pinhole camera with the same intrinsics would see them."""

    def __init__(self, intrinsics: Intrinsics, distort: Distort) -> None:
        rays = pixel_rays(intrinsics).astype(np.float64)
        x, y = distort(rays[..., 0], rays[..., 1])
        u = x * intrinsics.fx + intrinsics.cx
        v = y * intrinsics.fy + intrinsics.cy
        seen = np.isfinite(u) & np.isfinite(v)
        # remap() fills what lies outside the image with its border value, 0: nothing measured.
        self._map_u = np.where(seen, np.rint(np.where(seen, u, 0)), -1).astype(np.float32)
        self._map_v = np.where(seen, np.rint(np.where(seen, v, 0)), -1).astype(np.float32)

    @property
    def is_identity(self) -> bool:
        """True when no pixel moves."""
        height, width = self._map_u.shape
        return bool(np.all(self._map_u == np.arange(width)) and np.all(self._map_v == np.arange(height)[:, None]))

    def __call__(self, image: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The straight image: (H, W) uint16, a new array; 0 where the distorted image does not reach."""
        straight = cv2.remap(
            image, self._map_u, self._map_v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
        return np.asarray(straight, np.uint16)


def rational(k: Sequence[float], p1: float, p2: float, cross: float, max_radius: float = np.inf) -> Distort:
    """Brown-Conrady with six radial terms k1-k6, (1 + k1 r2 + ...) / (1 + k4 r2 + ...), and two tangential.

    cross is the factor of the x y term: 2, or 1 in the "rational 6KT" variant. Rays further than max_radius from the
    axis were never calibrated: they map to NaN.
    """
    k1, k2, k3, k4, k5, k6 = k

    def distort(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r2 = x * x + y * y
        below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        ratio = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / np.where(below == 0, 1, below)
        ratio = np.where(r2 <= max_radius**2, ratio, np.nan)
        xd = x * ratio + p2 * (r2 + 2 * x * x) + cross * p1 * x * y
        yd = y * ratio + p1 * (r2 + 2 * y * y) + cross * p2 * x * y
        return xd, yd

    return distort


def modified_brown_conrady(k1: float, k2: float, k3: float, p1: float, p2: float) -> Distort:
    """The RealSense variant of Brown-Conrady, whose tangential terms act on rays already bent radially.

    The SDK's "inverse Brown-Conrady" is unprojected by inverting this very function, so it serves for both.
    """

    def distort(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r2 = x * x + y * y
        ratio = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xr, yr = x * ratio, y * ratio
        xd = xr + 2 * p1 * xr * yr + p2 * (r2 + 2 * xr * xr)
        yd = yr + 2 * p2 * xr * yr + p1 * (r2 + 2 * yr * yr)
        return xd, yd

    return distort
