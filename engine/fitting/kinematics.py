"""Forward kinematics of a hand as the fit moves it, with analytic derivatives."""

from __future__ import annotations

import numpy as np

from engine.compiled import compiled
from engine.fitting.state import ANGLES, BETA, PARAMETERS, PLACE, TURN, HandState
from engine.hand.bones import ANGLE_BONE, Bones, PosedBones
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray

_BONES = np.arange(BONE_COUNT)
_JOINTS = np.arange(JOINT_COUNT)
#: (20, 21) which joints a bone carries: its far end and all beyond it in the same finger.
_CARRIED = (_BONES[:, None] < _JOINTS) & (_BONES[:, None] // 4 == (_JOINTS - 1) // 4)
#: Compiled loops take numbers for the slices of a step.
_FIRST_PLACE, _FIRST_TURN, _FIRST_ANGLE = PLACE.start, TURN.start, ANGLES.start


class Kinematics(Bones):
    """Poses the states that the fit goes through."""

    def pose(self, hand: HandState) -> PosedBones:
        """The hand's bones."""
        return self.posed(hand.translation, hand.rotation, hand.articulation, hand.beta)

    def joint_jacobian(self, bones: PosedBones) -> FloatArray:
        """(63, 52) derivatives of the joints, mm, by the hand's parameters."""
        rates, stretch = _rates(bones.joints, bones.frames, bones.origins, bones.axes)
        rates[:, BETA] = stretch @ self.basis
        return rates


@compiled
def _rates(
    joints: FloatArray, frames: FloatArray, origins: FloatArray, axes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(63, 52) derivatives of the joints, 0 in the columns of BETA, and (63, 20) by the bones' lengths."""
    rates, stretch = np.zeros((JOINT_COUNT, 3, PARAMETERS)), np.zeros((JOINT_COUNT, 3, BONE_COUNT))
    for joint in range(JOINT_COUNT):
        for axis in range(3):
            rates[joint, axis, _FIRST_PLACE + axis] = 1.0
            # A turn about that axis of the camera, at the wrist.
            to, fro = (axis + 1) % 3, (axis + 2) % 3
            rates[joint, to, _FIRST_TURN + axis] = joints[0, fro] - joints[joint, fro]
            rates[joint, fro, _FIRST_TURN + axis] = joints[joint, to] - joints[0, to]
        for bone in range(BONE_COUNT):
            if _CARRIED[bone, joint]:
                stretch[joint, :, bone] = frames[bone, :, 1]
        for angle in range(ANGLE_BONE.size):
            bone = ANGLE_BONE[angle]
            if not _CARRIED[bone, joint]:
                continue
            for axis in range(3):
                to, fro = (axis + 1) % 3, (axis + 2) % 3
                rates[joint, axis, _FIRST_ANGLE + angle] = axes[angle, to] * (joints[joint, fro] - origins[bone, fro])
                rates[joint, axis, _FIRST_ANGLE + angle] -= axes[angle, fro] * (joints[joint, to] - origins[bone, to])
    return rates.reshape(-1, PARAMETERS), stretch.reshape(-1, BONE_COUNT)
