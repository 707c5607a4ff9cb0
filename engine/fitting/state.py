"""A hand's 52 parameters as the fit moves them, and how a step moves them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.types import BETA_SIZE, THICKNESS_SIZE, FloatArray

#: Where each kind of parameter lies in a step: place of the wrist (mm), turn about the camera's axes at the wrist
#: (radians), articulation (radians), bone-length coordinates, thickness (mm).
PLACE = slice(0, 3)
TURN = slice(3, 6)
ANGLES = slice(6, 26)
BETA = slice(26, 26 + BETA_SIZE)
THICKNESS = slice(BETA.stop, BETA.stop + THICKNESS_SIZE)
PARAMETERS = THICKNESS.stop


@dataclass(frozen=True)
class KnownShape:
    """The shape of a hand that is known beforehand: beta (20,), thickness (6,) mm."""

    beta: FloatArray
    thickness: FloatArray


@dataclass(frozen=True)
class HandState:
    """translation (3,) mm of the wrist and rotation (3, 3) in any camera's frame; articulation (20,) radians; beta
    (20,); thickness (6,) mm. As engine.types.HandParameters, but for the rotation."""

    translation: FloatArray
    rotation: FloatArray
    articulation: FloatArray
    beta: FloatArray
    thickness: FloatArray

    def moved(self, step: FloatArray) -> HandState:
        """The hand after a step (52,)."""
        turn = cv2.Rodrigues(step[TURN])[0]
        return HandState(
            self.translation + step[PLACE],
            turn @ self.rotation,
            self.articulation + step[ANGLES],
            self.beta + step[BETA],
            self.thickness + step[THICKNESS],
        )

    def away_from(self, start: HandState) -> FloatArray:
        """(52,) the step that leads from `start` to here; the turn as a rotation vector."""
        turn = cv2.Rodrigues(self.rotation @ start.rotation.T)[0][:, 0]
        parts = (
            self.translation - start.translation,
            turn,
            self.articulation - start.articulation,
            self.beta - start.beta,
            self.thickness - start.thickness,
        )
        return np.concatenate(parts)
