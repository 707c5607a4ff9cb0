"""Depth of a triangle mesh as a camera would see it: for measuring, not for the live path. Numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import project
from engine.types import FloatArray, Intrinsics

#: A triangle is drawn as a lattice of points this many pixels apart, so that no pixel within it stays empty.
_STEP_PX = 0.6
_MAX_LATTICE = 400


def render_depth(vertices: FloatArray, faces: NDArray[np.integer], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Depth (H, W) float32 in mm along z, 0 where the mesh is not seen.

    vertices (V, 3) mm in the camera frame; faces (F, 3). Triangles that reach behind the camera are left out.
    """
    image = np.full(intrinsics.height * intrinsics.width, np.inf, np.float32)
    corners = vertices[faces].astype(np.float64)
    corners = corners[(corners[..., 2] > 1.0).all(1)]
    uv = project(corners, intrinsics)
    inside = (uv.max(1) > -1).all(1) & (uv.min(1) < (intrinsics.width, intrinsics.height)).all(1)
    corners, uv = corners[inside], uv[inside]
    longest = np.linalg.norm(uv - np.roll(uv, 1, axis=1), axis=2).max(1) if len(uv) else np.zeros(0)
    steps = np.minimum(2 ** np.ceil(np.log2(np.maximum(longest / _STEP_PX, 1))), _MAX_LATTICE).astype(int)
    for step in np.unique(steps):
        points = (_lattice(step) @ corners[steps == step]).reshape(-1, 3)
        pixels = np.rint(project(points, intrinsics)).astype(np.int64)
        seen = ((pixels >= 0) & (pixels < (intrinsics.width, intrinsics.height))).all(1)
        cells = pixels[seen, 1] * intrinsics.width + pixels[seen, 0]
        np.minimum.at(image, cells, points[seen, 2].astype(np.float32))
    return np.where(np.isinf(image), 0, image).reshape(intrinsics.height, intrinsics.width).astype(np.float32)


def _lattice(steps: int) -> FloatArray:
    """Barycentric coordinates (N, 3) of an even lattice over a triangle, corners included."""
    a, b = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    keep = a + b <= steps
    first, second = a[keep] / steps, b[keep] / steps
    return np.stack((first, second, 1 - first - second), 1)
