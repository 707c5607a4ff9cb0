"""Points that follow the bones of one hand, in numpy: engine.hand.model.SkinnedPoints' twin for tracking."""

from __future__ import annotations

import numpy as np

from engine.geometry.vectors import dot
from engine.hand.bones import Bones, PosedBones
from engine.hand.model import SkinnedPoints
from engine.types import BONE_COUNT, FloatArray


class Skin:
    """Poses P points. position_weights (P, 80), thickness_weights (P, 6): as in SkinnedPoints."""

    def __init__(self, points: SkinnedPoints, bones: Bones) -> None:
        self._bones = bones
        self._rest_turn = bones.rest_frames.transpose(0, 2, 1)
        self.position_weights = points.position_weights.numpy()
        self._normal_weights = points.normal_weights.numpy()
        self.thickness_weights = points.thickness_weights.numpy()

    def posed(self, bones: PosedBones, thickness: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (P, 3) mm and unit normals (P, 3) of a posed hand; thickness (6,) mm."""
        scaled = bones.frames.copy()
        scaled[:, :, 1] *= (bones.lengths / self._bones.mean)[:, None]
        linear, turn = scaled @ self._rest_turn, bones.frames @ self._rest_turn
        shift = bones.origins - (linear @ self._bones.rest_origins[..., None])[..., 0]
        # Points are many: in single precision they take half the time, good to a ten-thousandth of a millimetre.
        moves = np.concatenate((linear.transpose(0, 2, 1), shift[:, None]), 1).astype(np.float32)
        turns = turn.transpose(0, 2, 1).astype(np.float32)
        normals = self._normal_weights @ turns.reshape(3 * BONE_COUNT, 3)
        # What has no normal, such as a Gaussian, keeps none.
        normals /= np.sqrt(np.maximum(dot(normals, normals), 1e-12))[:, None]
        flesh = self.thickness_weights @ thickness.astype(np.float32)
        return self.position_weights @ moves.reshape(4 * BONE_COUNT, 3) + flesh[:, None] * normals, normals
