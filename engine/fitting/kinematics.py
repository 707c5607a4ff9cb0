"""Forward kinematics of a hand as the fit moves it, with analytic derivatives."""

from __future__ import annotations

import numpy as np

from engine.fitting.state import ANGLES, BETA, PARAMETERS, PLACE, TURN, HandState
from engine.geometry.vectors import cross
from engine.hand.bones import ANGLE_BONE, Bones, PosedBones
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray

_BONES = np.arange(BONE_COUNT)
_JOINTS = np.arange(JOINT_COUNT)
#: (20, 21) which joints a bone carries: its far end and all beyond it in the same finger.
_CARRIED = (_BONES[:, None] < _JOINTS) & (_BONES[:, None] // 4 == (_JOINTS - 1) // 4)
#: (21, 20, 1) and (21, 1, 20): which joints an angle turns, and which a bone's length moves.
_TURNED = _CARRIED[ANGLE_BONE].T[..., None].astype(np.float64)
_STRETCHED = _CARRIED.T[:, None].astype(np.float64)


class Kinematics(Bones):
    """Poses the states that the fit goes through."""

    def pose(self, hand: HandState) -> PosedBones:
        """The hand's bones."""
        return self.posed(hand.translation, hand.rotation, hand.articulation, hand.beta)

    def joint_jacobian(self, bones: PosedBones) -> FloatArray:
        """(63, 52) derivatives of the joints, mm, by the hand's parameters."""
        jacobian = np.zeros((JOINT_COUNT, 3, PARAMETERS))
        jacobian[:, :, PLACE] = np.eye(3)
        x, y, z = (bones.joints - bones.joints[0]).T
        turn = jacobian[:, :, TURN]
        turn[:, 1, 0], turn[:, 2, 0] = -z, y
        turn[:, 0, 1], turn[:, 2, 1] = z, -x
        turn[:, 0, 2], turn[:, 1, 2] = -y, x
        levers = (bones.joints[:, None] - bones.origins.take(ANGLE_BONE, 0)) * _TURNED
        jacobian[:, :, ANGLES] = cross(bones.axes, levers).transpose(0, 2, 1)
        stretch = (bones.frames[:, :, 1].T * _STRETCHED).reshape(-1, BONE_COUNT)
        jacobian[:, :, BETA] = (stretch @ self.basis).reshape(JOINT_COUNT, 3, -1)
        return jacobian.reshape(3 * JOINT_COUNT, PARAMETERS)
