"""Crops of a depth frame as small virtual cameras that look straight at the hand.

A crop is what a pinhole camera in the same place would see, turned so that its axis passes through the cube's centre
and zoomed so that its 128 x 128 image is the cube's cross-section there. A hand at the image's border thus looks as it
would in the middle, and points go back to the camera by one rotation. Once it is known how a hand is turned, the camera
also rolls until the forearm points down: upright hands are easier to read. A left hand is seen by a camera mirrored in
its y-z plane, where it is a right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry.vectors import cross
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.types import DepthFrame, FloatArray

_TICKS = (np.arange(CROP_SIZE, dtype=np.float32) - (CROP_SIZE - 1) / 2) * np.float32(2 * HALF_CUBE_MM / CROP_SIZE)
_GRID = np.stack(np.meshgrid(_TICKS, _TICKS))
#: (16384, 2) mm from the cube's centre, across and down, of a crop's pixels.
GRID_MM = np.ascontiguousarray(_GRID.reshape(2, -1).T)


@dataclass(frozen=True)
class CropWindow:
    """Where a crop looks. rotation (3, 3) turns the (mirrored, when `mirrored`) camera's frame into the crop's;
    the cube's centre lies `distance` mm along the crop's z. roll: see look_at."""

    rotation: NDArray[np.float32]
    distance: float
    mirrored: bool
    roll: float = 0.0

    def to_camera(self, points: FloatArray) -> FloatArray:
        """Points (N, 3) mm from the cube's centre, crop frame -> canonical camera frame (mirrored for a left hand)."""
        return (points + np.array([0, 0, self.distance], np.float32)) @ self.rotation

    def is_near(self, other: CropWindow, mm: float, roll: float) -> bool:
        """Whether both look at the same place, to within `mm`, turned alike, to within `roll` radians."""
        shift = self.distance * self.rotation[2] - other.distance * other.rotation[2]
        turn = (self.roll - other.roll + np.pi) % (2 * np.pi) - np.pi
        return bool(np.linalg.norm(shift) <= mm and abs(turn) <= roll)

    def corners_uv(self, frame: DepthFrame) -> NDArray[np.float32]:
        """The crop's outline in the frame's image, (4, 2) pixels."""
        half = HALF_CUBE_MM
        square = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]], np.float32)
        x, y, z = self.to_camera(square).T
        camera = frame.intrinsics
        side = -1.0 if self.mirrored else 1.0
        z = np.maximum(z, 1.0)
        return np.stack((camera.cx + side * camera.fx * x / z, camera.cy + camera.fy * y / z), 1).astype(np.float32)


def look_at(centre_mm: FloatArray, mirrored: bool = False, roll: float = 0.0) -> CropWindow:
    """The window around a point (3,) of the camera's frame, turned about its own axis by `roll` radians (clockwise, as
    the (mirrored, when `mirrored`) camera sees it) from where its x axis is level with the camera's.

    Raises ValueError for a point that is not finite or is the camera's own place.
    """
    centre = np.asarray(centre_mm, np.float64) * (-1.0 if mirrored else 1.0, 1.0, 1.0)
    distance = float(np.linalg.norm(centre))
    if not 0 < distance < np.inf:
        raise ValueError(f"no camera can look at {centre_mm}")
    z = centre / distance
    # Straight up or down no direction is level: any will do.
    level = np.array([z[2], 0.0, -z[0]]) if np.hypot(z[0], z[2]) > 1e-6 else np.array([1.0, 0.0, 0.0])
    level /= np.linalg.norm(level)
    down = cross(z, level)
    x = np.cos(roll) * level + np.sin(roll) * down
    rotation = np.array((x, cross(z, x), z), np.float32)
    return CropWindow(rotation, distance, mirrored, roll)


def cut(frame: DepthFrame, window: CropWindow) -> NDArray[np.float32]:
    """The crop (128, 128) float32 in [-1, 1] across the cube; 1 where nothing was measured or it lies outside."""
    camera = frame.intrinsics
    tangents = np.ones((3, CROP_SIZE, CROP_SIZE), np.float32)
    np.divide(_GRID, np.float32(window.distance), out=tangents[:2])
    x, y, z = (window.rotation.T @ tangents.reshape(3, -1)).reshape(tangents.shape)
    ahead = z > 1e-3
    inverse = np.float32(1.0) / np.where(ahead, z, np.float32(1.0))
    side = -camera.fx if window.mirrored else camera.fx
    column = x * inverse * np.float32(side) + np.float32(camera.cx)
    row = y * inverse * np.float32(camera.fy) + np.float32(camera.cy)
    raw = cv2.remap(frame.depth, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    # Along a ray depths scale alike, so the crop's own depth is the measured one over the ray's slope.
    depth = raw * (np.float32(frame.depth_unit_mm) * inverse)
    scaled = (depth - np.float32(window.distance)) / np.float32(HALF_CUBE_MM)
    seen = ahead & (raw > 0) & (np.abs(scaled) <= 1)
    return np.where(seen, scaled, np.float32(1.0))
