"""Pictures of hands without a graphics driver: poses to be shown, and where a model lies off what was measured."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from app.viewer import shapes
from app.viewer.palette import SKIN_COLOR, residual_colors
from calibration.frames import Build
from calibration.poses import CATALOGUE, GuidedPose, posed_hand
from calibration.skin import personal_template
from engine.fitting.kinematics import Kinematics
from engine.fitting.state import HandState
from engine.geometry.rotations import matrix_to_euler
from engine.hand.hand import HandModel
from engine.hand.template import load_template
from engine.types import HandParameters, Side

Picture = NDArray[np.uint8]
F32 = NDArray[np.float32]

#: Drawn larger by this and then reduced: smooth edges.
_OVERSAMPLING = 2
#: A triangle is painted as a lattice of points this many pixels apart, so that no pixel within it stays empty.
_STEP_PX, _MOST_STEPS = 0.9, 126
#: Width that a picture shows at the hand, mm, and how far away it is seen from.
_FIELD_MM, _DISTANCE_MM = 235.0, 450.0
_UNSEEN = np.array((0.34, 0.37, 0.42), np.float32)


class HandPainter:
    """Paints hands of one side, on nothing: pictures are RGBA."""

    def __init__(self, side: Side = Side.RIGHT) -> None:
        self._side = side
        self._template = load_template()
        self._kinematics = Kinematics()
        self._mean = HandModel(self._template)
        faces = self._template.faces
        self._normals = shapes.NormalTable(faces, len(self._template.vertices))

    def pose(self, pose: GuidedPose, size: int) -> Picture:
        """(size, size, 4) the pose as the camera would see it."""
        return self._paint(self._mean, posed_hand(pose, Build.mean()), SKIN_COLOR, size)

    def heat(self, build: Build, residual_mm: NDArray[np.floating], size: int) -> tuple[Picture, Picture]:
        """A hand of that build from its palm and from its back, coloured by residuals (V,) mm, NaN where unknown."""
        model = HandModel(personal_template(self._template, build.skin, self._kinematics))
        colors = np.where(np.isfinite(residual_mm)[:, None], residual_colors(np.nan_to_num(residual_mm)), _UNSEEN)
        palm, back = (
            self._paint(model, posed_hand(pose, build), colors.astype(np.float32), size) for pose in CATALOGUE[:2]
        )
        return palm, back

    def _paint(self, model: HandModel, hand: HandState, colors: F32, size: int) -> Picture:
        import torch

        euler = matrix_to_euler(torch.from_numpy(hand.rotation)).numpy()
        theta = np.concatenate((hand.translation, euler, hand.articulation)).astype(np.float32)
        shape = hand.beta.astype(np.float32), hand.thickness.astype(np.float32)
        vertices = model(HandParameters(theta, *shape, 1.0)).surface.vertices
        normals = self._normals.normals(vertices)
        eye = np.zeros(3, np.float32)
        lit = shapes.shade(colors, vertices, normals, np.eye(3, dtype=np.float32), eye)
        picture = self._raster(vertices, lit, _OVERSAMPLING * size)
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        # Colours were averaged with the empty ground's: give edges the hand's own.
        alpha = small[..., 3:]
        small[..., :3] = np.where(alpha > 0, small[..., :3] / np.maximum(alpha, 1e-6), 0)
        painted = np.rint(255 * np.clip(small, 0, 1)).astype(np.uint8)
        return np.ascontiguousarray(painted[:, ::-1]) if self._side is Side.LEFT else painted

    def _raster(self, vertices: F32, colors: F32, size: int) -> F32:
        """(size, size, 4): the nearest surface's colour, times 1, and 1 where there is any; the hand in the middle."""
        scale = size * _DISTANCE_MM / _FIELD_MM
        place = vertices[:, :2] / vertices[:, 2:] * scale
        place += (size - 1) / 2 - (place.min(0) + place.max(0)) / 2
        data = np.concatenate((place, vertices[:, 2:], colors), 1).astype(np.float32)[self._template.faces]
        longest = np.linalg.norm(data[:, :, :2] - np.roll(data[:, :, :2], 1, axis=1), axis=2).max(1)
        steps = np.clip(3 * np.ceil(longest / (3 * _STEP_PX)), 3, _MOST_STEPS).astype(int)
        points = np.concatenate([(_lattice(n) @ data[steps == n]).reshape(-1, 6) for n in np.unique(steps)])
        column, row = np.rint(points[:, :2]).astype(np.int64).T
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        points, cell = points[inside], (row * size + column)[inside]
        order = np.argsort(-points[:, 2])
        picture = np.zeros((size * size, 4), np.float32)
        # What is written last, the nearest, stays.
        picture[cell[order], :3] = points[order, 3:]
        picture[cell, 3] = 1.0
        return picture.reshape(size, size, 4)


@cache
def _lattice(steps: int) -> F32:
    """Barycentric coordinates (N, 3) of an even lattice over a triangle, corners included."""
    a, b = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    keep = a + b <= steps
    first, second = a[keep] / steps, b[keep] / steps
    return np.stack((first, second, 1 - first - second), 1).astype(np.float32)
