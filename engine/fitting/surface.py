"""The model's surface as a depth crop sees it: a few hundred skinned points, their pixels, and their derivatives.

What a point does when a parameter moves is blended over its bones as the skin itself is; that bending skin also turns
about more than one joint at once is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.fitting.kinematics import Kinematics
from engine.fitting.observation import Observation
from engine.fitting.state import ANGLES, BETA, PARAMETERS, PLACE, THICKNESS, TURN, HandState
from engine.hand.bones import ANGLE_BONE, PosedBones
from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton
from engine.hand.skin import Skin
from engine.hand.template import HandTemplate
from engine.types import BONE_COUNT, THICKNESS_SIZE, FloatArray

_BONES = np.arange(BONE_COUNT)
_SAME_FINGER = _BONES[:, None] // 4 == _BONES // 4
#: (20, 20) whose flesh each bone carries, beyond it in the same finger, without and with its own.
_BEYOND = (_BONES[:, None] < _BONES) & _SAME_FINGER
_CARRIED = (_BONES[:, None] <= _BONES) & _SAME_FINGER
#: Compiled loops take numbers for the slices of a step.
_FIRST_PLACE, _FIRST_TURN, _FIRST_ANGLE, _MOVED = PLACE.start, TURN.start, ANGLES.start, ANGLES.stop
_FIRST_THICKNESS = THICKNESS.start
#: Surface points further towards the elbow than this, mm in the rest pose, close the wrist's stub: no skin is there.
_STUB_MM = 12.0
#: Points are hidden where another lies nearer, by more than the margin, within the same square of pixels.
_CELL_PX, _CELLS = 5, 32
_HIDDEN_MM = np.float32(12.0)
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


@compiled
def robust_weight(distance: float, soft_mm: float, sigma_mm: float) -> float:
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
        # How much of each angle's turn and each bone's length a point takes part in, and of the flesh.
        self._table = np.hstack((turned, stretched, self._skin.thickness_weights)).astype(np.float32)
        self._basis = kinematics.basis.astype(np.float32)

    def posed(self, bones: PosedBones, thickness: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (P, 3) mm and unit normals (P, 3) of a posed hand."""
        return self._skin.posed(bones, thickness)

    def seen(self, bones: PosedBones, thickness: FloatArray, observation: Observation) -> SeenSurface:
        """The surface of a hand posed in the crop's camera."""
        points, normals = self.posed(bones, thickness)
        column, row, inside = observation.pixels(points)
        return SeenSurface(points, normals, column, row, *_shown(points, normals, column, row, inside))

    def jacobian(self, seen: SeenSurface, pulls: Pulls, bones: PosedBones, hand: HandState) -> FloatArray:
        """(K, 52) derivatives of the pulled points along their directions."""
        wrist = hand.translation.astype(np.float32)
        lines = bones.frames[:, :, 1].T.astype(np.float32, order="C")
        rates, lengths = _rates(
            seen.points,
            seen.normals,
            pulls.index,
            pulls.direction,
            wrist,
            _moves(bones.joints, bones.origins, bones.axes),
            lines,
            self._table,
        )
        rates[:, BETA] = lengths @ self._basis
        return rates


@compiled
def _shown(
    points: FloatArray,
    normals: FloatArray,
    column: NDArray[np.int64],
    row: NDArray[np.int64],
    inside: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points face the camera, and which of them are not hidden: see SeenSurface."""
    facing, visible = np.zeros(len(points), np.bool_), np.zeros(len(points), np.bool_)
    nearest = np.full((_CELLS, _CELLS), np.inf, np.float32)
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        if inside[p] and x * normals[p, 0] + y * normals[p, 1] + z * normals[p, 2] < 0:
            facing[p] = True
            i, j = row[p] // _CELL_PX, column[p] // _CELL_PX
            nearest[i, j] = min(nearest[i, j], z)
    for p in range(len(points)):
        if facing[p]:
            visible[p] = points[p, 2] < nearest[row[p] // _CELL_PX, column[p] // _CELL_PX] + _HIDDEN_MM
    return facing, visible


@compiled
def _rates(
    points: FloatArray,
    normals: FloatArray,
    index: NDArray[np.int64],
    directions: FloatArray,
    wrist: FloatArray,
    moves: FloatArray,
    lines: FloatArray,
    table: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """(K, 52) how fast the pulled points go along their directions, all but the columns of BETA, and (K, 20) how fast
    by each bone's length. lines (3, 20): along the bones."""
    rates, lengths = np.empty((len(index), PARAMETERS), np.float32), np.empty((len(index), BONE_COUNT), np.float32)
    for k in range(len(index)):
        p, row = index[k], table[index[k]]
        x, y, z = points[p, 0] - wrist[0], points[p, 1] - wrist[1], points[p, 2] - wrist[2]
        ax, ay, az = directions[k, 0], directions[k, 1], directions[k, 2]
        mx, my, mz = y * az - z * ay, z * ax - x * az, x * ay - y * ax
        for c in range(_MOVED):
            rates[k, c] = ax * moves[0, c] + ay * moves[1, c] + az * moves[2, c]
            rates[k, c] += mx * moves[3, c] + my * moves[4, c] + mz * moves[5, c]
        for c in range(ANGLE_BONE.size):
            rates[k, _FIRST_ANGLE + c] *= row[c]
        for c in range(BONE_COUNT):
            lengths[k, c] = (ax * lines[0, c] + ay * lines[1, c] + az * lines[2, c]) * row[BONE_COUNT + c]
        outwards = ax * normals[p, 0] + ay * normals[p, 1] + az * normals[p, 2]
        for c in range(THICKNESS_SIZE):
            rates[k, _FIRST_THICKNESS + c] = row[2 * BONE_COUNT + c] * outwards
    return rates, lengths


@compiled
def _moves(joints: FloatArray, origins: FloatArray, axes: FloatArray) -> FloatArray:
    """(6, 26) how fast a point goes along a line by its place, its turn about the wrist and the angles, for the line's
    direction (3,) and its moment about the wrist (3,): with all of them taken from the wrist,
    along . (axis x (point - origin)) = axis . (point x along) - along . (axis x origin)."""
    moves = np.zeros((6, _MOVED), np.float32)
    for axis in range(3):
        moves[axis, _FIRST_PLACE + axis] = moves[3 + axis, _FIRST_TURN + axis] = 1.0
        to, fro = (axis + 1) % 3, (axis + 2) % 3
        for angle in range(ANGLE_BONE.size):
            origin = origins[ANGLE_BONE[angle]] - joints[0]
            moves[3 + axis, _FIRST_ANGLE + angle] = axes[angle, axis]
            moves[axis, _FIRST_ANGLE + angle] = axes[angle, fro] * origin[to] - axes[angle, to] * origin[fro]
    return moves
