"""Points that follow the bones of one hand, compiled: engine.hand.model.SkinnedPoints' twin for tracking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.hand.bones import Bones, PosedBones
from engine.hand.model import SkinnedPoints
from engine.types import BONE_COUNT, FloatArray


class Skin:
    """Poses P points. position_weights (P, 80), thickness_weights (P, 6): as in SkinnedPoints."""

    def __init__(self, points: SkinnedPoints, bones: Bones) -> None:
        self._rest = bones.rest_frames, bones.rest_origins, bones.mean
        self.position_weights = points.position_weights.numpy()
        self.thickness_weights = points.thickness_weights.numpy()
        # A point hangs on a few bones of the twenty: what each does to it, one after the other.
        position = self.position_weights.reshape(-1, BONE_COUNT, 4)
        normal = points.normal_weights.numpy().reshape(-1, BONE_COUNT, 3)
        hung = position.any(2) | normal.any(2)
        self._first = np.concatenate(([0], hung.sum(1).cumsum()))
        self._bone = np.nonzero(hung)[1]
        self._position, self._normal = np.ascontiguousarray(position[hung]), np.ascontiguousarray(normal[hung])

    def posed(self, bones: PosedBones, thickness: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (P, 3) mm and unit normals (P, 3) of a posed hand; thickness (6,) mm."""
        moves, turns = _moves(bones.frames, bones.origins, bones.lengths, *self._rest)
        flesh = self.thickness_weights @ thickness.astype(np.float32)
        return _skinned(self._first, self._bone, self._position, self._normal, moves, turns, flesh)


@compiled
def _moves(
    frames: FloatArray,
    origins: FloatArray,
    lengths: FloatArray,
    rest_frames: FloatArray,
    rest_origins: FloatArray,
    mean: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """What bones do to points (20, 4, 3) and normals (20, 3, 3) at rest: row i is added as often as coordinate i says,
    and once the last one of points. In single precision, as points are many: good to a ten-thousandth of a millimetre.
    """
    moves, turns = np.empty((BONE_COUNT, 4, 3), np.float32), np.empty((BONE_COUNT, 3, 3), np.float32)
    for b in range(BONE_COUNT):
        stretched = lengths[b] / mean[b]
        for axis in range(3):
            shift = origins[b, axis]
            for i in range(3):
                x, z = frames[b, axis, 0] * rest_frames[b, i, 0], frames[b, axis, 2] * rest_frames[b, i, 2]
                y = frames[b, axis, 1] * rest_frames[b, i, 1]
                turns[b, i, axis] = x + y + z
                linear = x + stretched * y + z
                moves[b, i, axis] = linear
                shift -= linear * rest_origins[b, i]
            moves[b, 3, axis] = shift
    return moves, turns


@compiled
def _skinned(
    first: NDArray[np.int64],
    bone: NDArray[np.int64],
    position: FloatArray,
    normal: FloatArray,
    moves: FloatArray,
    turns: FloatArray,
    flesh: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Points and normals. Point p hangs on bone[first[p] : first[p + 1]], with weights position (E, 4) and normal
    (E, 3); moves (20, 4, 3), turns (20, 3, 3): what the bones do; flesh (P,) mm: how far a point is moved outwards."""
    points, normals = np.empty((len(flesh), 3), np.float32), np.empty((len(flesh), 3), np.float32)
    for p in range(len(flesh)):
        for axis in range(3):
            place = along = np.float32(0)
            for e in range(first[p], first[p + 1]):
                move, turn = moves[bone[e]], turns[bone[e]]
                place += position[e, 0] * move[0, axis] + position[e, 1] * move[1, axis]
                place += position[e, 2] * move[2, axis] + position[e, 3] * move[3, axis]
                along += normal[e, 0] * turn[0, axis] + normal[e, 1] * turn[1, axis] + normal[e, 2] * turn[2, axis]
            points[p, axis], normals[p, axis] = place, along
        # What has no normal, such as a Gaussian, keeps none.
        squared = normals[p, 0] ** 2 + normals[p, 1] ** 2 + normals[p, 2] ** 2
        length = np.sqrt(max(squared, np.float32(1e-12)))
        for axis in range(3):
            normals[p, axis] /= length
            points[p, axis] += flesh[p] * normals[p, axis]
    return points, normals
