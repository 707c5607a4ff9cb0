"""The pinhole camera: pixels to points and back, in plain numpy.

Millimetres and pixels; camera frame x right, y down, z forward; pixel centres at whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatArray, Intrinsics


def project(points_mm: FloatArray, intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Pixels (..., 2) of camera-frame points (..., 3) in mm. Points at or behind the camera give NaN."""
    points = np.asarray(points_mm, np.float64)
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    u = points[..., 0] / z * intrinsics.fx + intrinsics.cx
    v = points[..., 1] / z * intrinsics.fy + intrinsics.cy
    return np.stack([u, v], axis=-1)


def unproject(uv: FloatArray, depth_mm: FloatArray, intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Camera-frame points (..., 3) in mm of pixels (..., 2) at depths (...) along z in mm."""
    pixels = np.asarray(uv, np.float64)
    z = np.asarray(depth_mm, np.float64)
    x = (pixels[..., 0] - intrinsics.cx) / intrinsics.fx * z
    y = (pixels[..., 1] - intrinsics.cy) / intrinsics.fy * z
    return np.stack([x, y, np.broadcast_to(z, x.shape)], axis=-1)


def pixel_rays(intrinsics: Intrinsics) -> NDArray[np.float32]:
    """(H, W, 2) float32: x/z and y/z of every pixel's ray."""
    x = (np.arange(intrinsics.width, dtype=np.float64) - intrinsics.cx) / intrinsics.fx
    y = (np.arange(intrinsics.height, dtype=np.float64) - intrinsics.cy) / intrinsics.fy
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)


def depth_to_points(depth_mm: FloatArray, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """(H, W, 3) float32 camera-frame points in mm of a depth image (H, W) in mm; unmeasured pixels give zeros.

    Raises ValueError when the image is not of the intrinsics' size.
    """
    if depth_mm.shape != (intrinsics.height, intrinsics.width):
        raise ValueError(f"depth is {depth_mm.shape}, intrinsics say {(intrinsics.height, intrinsics.width)}")
    z = np.asarray(depth_mm, np.float32)[..., None]
    return np.concatenate([pixel_rays(intrinsics) * z, z], axis=-1)
