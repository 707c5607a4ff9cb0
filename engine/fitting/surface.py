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
#: The columns of a surface's table: how much of each bone's turn and length a point takes part in, and of the flesh.
_TURNED, _STRETCHED, _FLESH = slice(0, 20), slice(20, 40), slice(40, 46)
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
        turned = (weights @ _CARRIED.T)[:, ANGLE_BONE]
        local = np.einsum("bi,pbi->pb", kinematics.rest_frames[:, :, 1], rest[:, None] - kinematics.rest_origins)
        stretched = weights @ _BEYOND.T + weights * local / kinematics.mean
        self._table = np.hstack((turned, stretched, self._skin.thickness_weights)).astype(np.float32)
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
        front = np.flatnonzero(facing)
        np.minimum.at(nearest, cell.take(front), points[:, 2].take(front))
        visible = facing & (points[:, 2] < nearest.take(cell) + _HIDDEN_MM)
        return SeenSurface(points, normals, column, row, facing, visible)

    def jacobian(self, seen: SeenSurface, pulls: Pulls, bones: PosedBones, hand: HandState) -> FloatArray:
        """(K, 52) derivatives of the pulled points along their directions."""
        index, along = pulls.index, pulls.direction
        table = self._table.take(index, 0)
        lines = np.empty((len(index), 6), np.float32)
        levers = seen.points.take(index, 0) - hand.translation.astype(np.float32)
        lines[:, :3], lines[:, 3:] = along, cross(levers, along)
        jacobian = np.empty((len(index), PARAMETERS), np.float32)
        jacobian[:, : ANGLES.stop] = lines @ _moves(bones)
        jacobian[:, ANGLES] *= table[:, _TURNED]
        lengths = (along @ bones.frames[:, :, 1].T.astype(np.float32)) * table[:, _STRETCHED]
        jacobian[:, BETA] = lengths @ self._basis
        outwards = dot(along, seen.normals.take(index, 0))[:, None]
        jacobian[:, THICKNESS] = table[:, _FLESH] * outwards
        return jacobian


def _moves(bones: PosedBones) -> FloatArray:
    """(6, 26) how fast a point goes along a line by its place, its turn about the wrist and the angles, for the line's
    direction (3,) and its moment about the wrist (3,): with all of them taken from the wrist,
    along . (axis x (point - origin)) = axis . (point x along) - along . (axis x origin)."""
    moves = np.zeros((6, ANGLES.stop), np.float32)
    moves[:3, PLACE] = moves[3:, TURN] = np.eye(3)
    moves[3:, ANGLES] = bones.axes.T
    origins = bones.origins.take(ANGLE_BONE, 0) - bones.joints[0]
    moves[:3, ANGLES] = -cross(bones.axes, origins).T
    return moves
