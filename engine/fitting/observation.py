"""A depth crop, prepared once a frame for all that is asked of it at every step of the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.types import FloatArray

MIDDLE = np.float32((CROP_SIZE - 1) / 2)
#: Every such pixel is a measured point; normals are taken over neighbours as many pixels away.
_STRIDE = 2
_THINNED = CROP_SIZE // _STRIDE
#: Neighbours further than this in depth are of another surface.
_SAME_SURFACE_MM = np.float32(12.0)
_SQUARE = np.ones((3, 3), np.uint8)
#: How finely an outline is told by how deep it reaches.
_OUTLINE_STEP_MM = 10.0


@dataclass(frozen=True)
class Outline:
    """Where the hand may be. pixels (L,): its pixels, numbered along the rows of the image; distance (128, 128) pixels
    to the nearest of them; labels (128, 128): 1 for the first of them, and so on."""

    distance: FloatArray
    labels: NDArray[np.int32]
    pixels: NDArray[np.int64]


class Observation:
    """One crop's depth. pixel_mm: how wide a pixel is at the crop's distance. focal: the crop's focal length in pixels.

    points (N, 3) mm: the measured pixels near the hand, thinned. normals (N, 3): of the surface they are on, towards
    the camera; 0 where neighbours do not tell.
    """

    def __init__(self, crop: FloatArray, distance: float, hand_mm: FloatArray, reach_mm: float = 40.0) -> None:
        """crop (128, 128) in [-1, 1]; distance (mm) of its centre; hand_mm (J, 3): points in the hand, crop camera;
        what is measured within reach_mm of one of them is kept."""
        self.pixel_mm = 2 * HALF_CUBE_MM / CROP_SIZE
        self._crop, self._distance = crop, distance
        self.focal = np.float32(distance * CROP_SIZE / (2 * HALF_CUBE_MM))
        depth = _thinned(crop, np.float32(distance))
        near = _near(depth, self.focal, hand_mm, reach_mm)
        self.points, self.normals = _measured(depth, near, self.focal)
        # The last one, which a fit that goes on from another mostly asks for again.
        self._outline: tuple[int, Outline | None] | None = None

    def pixels(self, points: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Column and row (P,) of points (P, 3), 0 where they fall outside the image, and whether they are inside."""
        return _pixels(points, self.focal)

    def outline(self, farthest_mm: float) -> Outline | None:
        """Of everything measured up to about that depth, small gaps closed; None where there is nothing."""
        step = math.ceil(farthest_mm / _OUTLINE_STEP_MM)
        if self._outline is None or self._outline[0] != step:
            self._outline = step, self._outline_before(step * _OUTLINE_STEP_MM)
        return self._outline[1]

    def _outline_before(self, farthest_mm: float) -> Outline | None:
        depth = self._crop * np.float32(HALF_CUBE_MM) + np.float32(self._distance)
        solid = ((self._crop < 1.0) & (depth < farthest_mm)).view(np.uint8)
        if not solid.any():
            return None
        closed = np.asarray(cv2.morphologyEx(solid, cv2.MORPH_CLOSE, _SQUARE), np.uint8)
        distance, labels = cv2.distanceTransformWithLabels(1 - closed, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        # OpenCV labels the hand's pixels row by row.
        pixels = np.flatnonzero(closed.view(np.bool_))
        return Outline(np.asarray(distance, np.float32), np.asarray(labels, np.int32), pixels)


@compiled
def _thinned(crop: FloatArray, distance: np.float32) -> FloatArray:
    """Every _STRIDE-th pixel's depth, mm, with a frame of one around it. What was not measured, and what is outside the
    image, is infinitely far, so that it is never on the surface of anything beside it."""
    depth = np.full((_THINNED + 2, _THINNED + 2), np.inf, np.float32)
    for i in range(_THINNED):
        for j in range(_THINNED):
            value = crop[_STRIDE * i, _STRIDE * j]
            if value < 1:
                depth[i + 1, j + 1] = value * np.float32(HALF_CUBE_MM) + distance
    return depth


@compiled
def _near(depth: FloatArray, focal: np.float32, hand: FloatArray, reach_mm: float) -> NDArray[np.bool_]:
    """Which pixels of a thinned depth show something within reach of a point of the hand (J, 3) mm."""
    near = np.zeros(depth.shape, np.bool_)
    for i in range(1, _THINNED + 1):
        for j in range(1, _THINNED + 1):
            z = depth[i, j]
            if z == np.inf:
                continue
            x, y = _from_middle(j) * z / focal, _from_middle(i) * z / focal
            for k in range(len(hand)):
                if (x - hand[k, 0]) ** 2 + (y - hand[k, 1]) ** 2 + (z - hand[k, 2]) ** 2 < reach_mm**2:
                    near[i, j] = True
                    break
    return near


@compiled
def _measured(depth: FloatArray, near: NDArray[np.bool_], focal: np.float32) -> tuple[FloatArray, FloatArray]:
    """Points (N, 3) mm of those pixels, row by row, and normals (N, 3) by how the surface goes on to the right and
    downwards."""
    points = np.empty((near.sum(), 3), np.float32)
    normals = np.zeros(points.shape, np.float32)
    count = 0
    for i in range(1, _THINNED + 1):
        for j in range(1, _THINNED + 1):
            if not near[i, j]:
                continue
            z = depth[i, j]
            x, y = _from_middle(j), _from_middle(i)
            points[count] = x * z / focal, y * z / focal, z
            left, right, left_step, right_step = _beside(z, depth[i, j - 1], depth[i, j + 1])
            above, below, above_step, below_step = _beside(z, depth[i - 1, j], depth[i + 1, j])
            if left_step + right_step > 0 and above_step + below_step > 0:
                # From the pixel before to the one behind, times the focal length.
                ax, ay, az = (
                    (x + right_step) * right - (x - left_step) * left,
                    y * (right - left),
                    focal * (right - left),
                )
                dx, dy, dz = (
                    x * (below - above),
                    (y + below_step) * below - (y - above_step) * above,
                    focal * (below - above),
                )
                nx, ny, nz = dy * az - dz * ay, dz * ax - dx * az, dx * ay - dy * ax
                length = max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-6))
                normals[count] = nx / length, ny / length, nz / length
            count += 1
    return points, normals


@compiled
def _pixels(points: FloatArray, focal: np.float32) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """See Observation.pixels."""
    column, row = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
    inside = np.zeros(len(points), np.bool_)
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        scale = focal / max(z, np.float32(1.0))
        across, down = np.rint(x * scale + MIDDLE), np.rint(y * scale + MIDDLE)
        if z > 1.0 and 0 <= across < CROP_SIZE and 0 <= down < CROP_SIZE:
            column[p], row[p], inside[p] = int(across), int(down), True
    return column, row, inside


@compiled
def _from_middle(thinned: int) -> np.float32:
    """Pixels from the crop's middle, of a row or column of the thinned depth."""
    return np.float32(_STRIDE * (thinned - 1)) - MIDDLE


@compiled
def _beside(z: np.float32, before: np.float32, behind: np.float32) -> tuple[np.float32, ...]:
    """Depths of both neighbours, and how many pixels away those are: the pixel itself where a neighbour is of something
    else."""
    none, step = np.float32(0), np.float32(_STRIDE)
    before_same, behind_same = abs(before - z) < _SAME_SURFACE_MM, abs(behind - z) < _SAME_SURFACE_MM
    return (
        before if before_same else z,
        behind if behind_same else z,
        step if before_same else none,
        step if behind_same else none,
    )
