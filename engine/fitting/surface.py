"""The model's surface as a depth crop sees it: a few hundred skinned points, their pixels, and their derivatives.

What a point does when a parameter moves is blended over its bones as the skin itself is; that bending skin also turns
about more than one joint at once is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.fitting.kinematics import Kinematics
from engine.fitting.observation import Observation
from engine.fitting.state import ANGLES, BETA, PARAMETERS, PLACE, THICKNESS, TURN, HandState
from engine.geometry.vectors import cross, dot
from engine.hand.bones import ANGLE_BONE, PosedBones
from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton
from engine.hand.skin import Skin
from engine.hand.template import HandTemplate
from engine.types import BONE_COUNT, FloatArray

_BONES = np.arange(BONE_COUNT)
_SAME_FINGER = _BONES[:, None] // 4 == _BONES // 4
#: (20, 20) whose flesh each bone carries, beyond it in the same finger, without and with its own.
_BEYOND = (_BONES[:, None] < _BONES) & _SAME_FINGER
_CARRIED = (_BONES[:, None] <= _BONES) & _SAME_FINGER
#: Surface points further towards the elbow than this, mm in the rest pose, close the wrist's stub: no skin is there.
_STUB_MM = 12.0
#: Points are hidden where another lies nearer, by more than the margin, within the same square of pixels.
_CELL_PX, _CELLS = 5, 32
_HIDDEN_MM = 12.0
#: The seed by which a surface's points are spread.
SAMPLED_AS = 1


@dataclass(frozen=True)
class SeenSurface:
    """Posed surface points (P, 3) mm in the crop's camera, unit normals (P, 3), and where the crop shows them.

    column, row: (P,) pixels, 0 for points outside the image. facing: (P,) in the image and turned towards the camera;
    visible: those of them that nothing of the hand hides.
    """

    points: FloatArray
    normals: FloatArray
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    facing: NDArray[np.bool_]
    visible: NDArray[np.bool_]


@dataclass(frozen=True)
class Pulls:
    """K measurements: surface point index[k] lies residual[k] mm too far along the unit vector direction[k]; weight[k]
    is one over the variance that its error is taken to have."""

    index: NDArray[np.int64]
    direction: FloatArray
    residual: FloatArray
    weight: FloatArray


def robust_weight(distance: FloatArray, soft_mm: float, sigma_mm: float) -> FloatArray:
    """Geman-McClure: what is further off than soft_mm loses its say; sigma_mm is that of what is near."""
    return (1 + (distance / soft_mm) ** 2) ** -2 / sigma_mm**2


class FittedSurface:
    """`count` points of a template's surface. skin: (P,) bool, those that are not the cut through the forearm."""

    def __init__(self, template: HandTemplate, kinematics: Kinematics, count: int) -> None:
        self._skin = Skin(sample_surface(template, count, Skeleton(), SAMPLED_AS), kinematics)
        blocks = self._skin.position_weights.reshape(-1, BONE_COUNT, 4)
        weights, rest = blocks[..., 3], blocks[..., :3].sum(1)
        self.skin = rest[:, 1] <= _STUB_MM
        self._turned = (weights @ _CARRIED.T)[:, ANGLE_BONE].astype(np.float32)
        local = np.einsum("bi,pbi->pb", kinematics.rest_frames[:, :, 1], rest[:, None] - kinematics.rest_origins)
        self._stretched = (weights @ _BEYOND.T + weights * local / kinematics.mean).astype(np.float32)
        self._basis = kinematics.basis.astype(np.float32)

    def posed(self, bones: PosedBones, thickness: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (P, 3) mm and unit normals (P, 3) of a posed hand."""
        return self._skin.posed(bones, thickness)

    def seen(self, bones: PosedBones, thickness: FloatArray, observation: Observation) -> SeenSurface:
        """The surface of a hand posed in the crop's camera."""
        points, normals = self.posed(bones, thickness)
        column, row, inside = observation.pixels(points)
        facing = inside & (dot(points, normals) < 0)
        cell = (row // _CELL_PX) * _CELLS + column // _CELL_PX
        nearest = np.full(_CELLS * _CELLS, np.inf, np.float32)
        np.minimum.at(nearest, cell[facing], points[facing, 2])
        visible = facing & (points[:, 2] < nearest[cell] + _HIDDEN_MM)
        return SeenSurface(points, normals, column, row, facing, visible)

    def jacobian(self, seen: SeenSurface, pulls: Pulls, bones: PosedBones, hand: HandState) -> FloatArray:
        """(K, 52) derivatives of the pulled points along their directions."""
        index, along = pulls.index, pulls.direction
        points = seen.points[index]
        axes, origins = bones.axes.astype(np.float32), bones.origins[ANGLE_BONE]
        moments = cross(bones.axes, origins).astype(np.float32)
        jacobian = np.empty((len(index), PARAMETERS), np.float32)
        jacobian[:, PLACE] = along
        jacobian[:, TURN] = cross(points - hand.translation.astype(np.float32), along)
        # along . (axis x (point - origin)) = axis . (point x along) - along . (axis x origin)
        turns = cross(points, along) @ axes.T - along @ moments.T
        jacobian[:, ANGLES] = turns * self._turned[index]
        lengths = (along @ bones.frames[:, :, 1].T.astype(np.float32)) * self._stretched[index]
        jacobian[:, BETA] = lengths @ self._basis
        outwards = dot(along, seen.normals[index])[:, None]
        jacobian[:, THICKNESS] = self._skin.thickness_weights[index] * outwards
        return jacobian
