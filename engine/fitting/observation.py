"""A depth crop, prepared once a frame for all that is asked of it at every step of the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry.vectors import cross, dot, vectors
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.types import FloatArray

_MIDDLE = np.float32((CROP_SIZE - 1) / 2)
#: Every such pixel is a measured point; normals are taken over neighbours as many pixels away.
_STRIDE = 2
#: Pixels in a row of the depth so thinned, with a frame of one around it; the steps to the right, left, down and up.
_ROW = CROP_SIZE // _STRIDE + 2
_BESIDE = np.array((1, -1, _ROW, -_ROW))[:, None]
#: Neighbours further than this in depth are of another surface.
_SAME_SURFACE_MM = 12.0
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

    def nearest(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        """(P, 2) column and row of the hand's pixels nearest to pixels (P,)."""
        rows, columns = np.divmod(self.pixels.take(self.labels[row, column] - 1), CROP_SIZE)
        return np.column_stack((columns, rows)).astype(np.float32)


class Observation:
    """One crop's depth. pixel_mm: how wide a pixel is at the crop's distance.

    points (N, 3) mm: the measured pixels near the hand, thinned. normals (N, 3): of the surface they are on, towards
    the camera; 0 where neighbours do not tell.
    """

    def __init__(self, crop: FloatArray, distance: float, hand_mm: FloatArray, reach_mm: float = 40.0) -> None:
        """crop (128, 128) in [-1, 1]; distance (mm) of its centre; hand_mm (J, 3): points in the hand, crop camera;
        what is measured within reach_mm of one of them is kept."""
        self.pixel_mm = 2 * HALF_CUBE_MM / CROP_SIZE
        self._crop, self._distance = crop, distance
        self._focal = np.float32(distance * CROP_SIZE / (2 * HALF_CUBE_MM))
        # Nothing is near to infinity: not measured, like what is outside the image, is never the same surface.
        depth = np.full((_ROW, _ROW), np.inf, np.float32)
        thinned = crop[::_STRIDE, ::_STRIDE]
        inner = depth[1:-1, 1:-1]
        np.copyto(inner, thinned * np.float32(HALF_CUBE_MM) + np.float32(distance), where=thinned < 1.0)
        place = np.flatnonzero(depth < np.inf)
        row, column = np.divmod(place, _ROW)
        x, y = (_STRIDE * (at - 1).astype(np.float32) - _MIDDLE for at in (column, row))
        points = self._lifted(x, y, depth.take(place))
        middle = hand_mm.sum(0) / len(hand_mm)
        data, hand = (points - middle).astype(np.float32), (hand_mm - middle).astype(np.float32)
        squared = dot(hand, hand)[:, None] - 2 * (hand @ data.T)
        near = np.flatnonzero(squared.min(0) + dot(data, data) < reach_mm**2)
        self.points = points.take(near, 0)
        self.normals = self._normals(depth, place.take(near), x.take(near), y.take(near))
        # The last one, which a fit that goes on from another mostly asks for again.
        self._outline: tuple[int, Outline | None] | None = None

    def pixels(self, points: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Column and row (P,) of points (P, 3), 0 where they fall outside the image, and whether they are inside."""
        scale = self._focal / np.maximum(points[:, 2], 1.0)
        column = np.rint(points[:, 0] * scale + _MIDDLE).astype(np.int64)
        row = np.rint(points[:, 1] * scale + _MIDDLE).astype(np.int64)
        # As unsigned numbers, negative ones are too large.
        inside = (column.view(np.uint64) < CROP_SIZE) & (row.view(np.uint64) < CROP_SIZE) & (points[:, 2] > 1.0)
        return np.where(inside, column, 0), np.where(inside, row, 0), inside

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

    def sideways(self, points: FloatArray, pixels: FloatArray) -> FloatArray:
        """(P, 2) mm in x and y from the rays of pixels (P, 2) to points (P, 3), at each point's own depth."""
        return points[:, :2] - (pixels - _MIDDLE) * (points[:, 2:] / self._focal)

    def _lifted(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Points (N, 3) mm at depths z (N,) behind places (N,), pixels from the crop's middle."""
        scale = z / self._focal
        return vectors(x * scale, y * scale, z)

    def _normals(self, depth: FloatArray, place: NDArray[np.int64], x: FloatArray, y: FloatArray) -> FloatArray:
        """Of the surface at places (N,) in the thinned depth, x and y (N,) pixels from the crop's middle, by how it
        goes on to the right and downwards."""
        z, beside = depth.take(place), depth.take(place + _BESIDE)
        same = np.abs(beside - z) < _SAME_SURFACE_MM
        right, left, below, above = np.where(same, beside, z)
        go_right, go_left, go_down, go_up = _STRIDE * same.astype(np.float32)
        # From the pixel before to the one behind, times the focal length.
        across = vectors(
            (x + go_right) * right - (x - go_left) * left, y * (right - left), self._focal * (right - left)
        )
        down = vectors(x * (below - above), (y + go_down) * below - (y - go_up) * above, self._focal * (below - above))
        normals = cross(down, across)
        length = np.sqrt(dot(normals, normals))
        known = (same[0] | same[1]) & (same[2] | same[3]) & (length > 0)
        return normals * (known / np.maximum(length, 1e-6))[:, None].astype(np.float32)
