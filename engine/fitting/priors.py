"""What is known of a hand before its depth is looked at: the encoder's own estimate, joint limits, the frame before.

Each adds to the normal equations of the fit. The prior of a pose is the encoder's estimate of it, as wide as the
encoder was found to err; a distribution of poses in general (mean and covariance of the shipped pose bank) was tried
beside it and made rendered hands worse: the encoder has learnt that already, and better, from the same bank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.fitting.state import ANGLES, HandState
from engine.hand.limits import ARTICULATION_LIMITS
from engine.types import FloatArray

#: By how much the encoder's parameters are off (standard deviations, rendered hands): angles of the thumb and of a
#: finger, as in the articulation; radians.
_THUMB_SD = (0.16, 0.16, 0.20, 0.30)
_FINGER_SD = (0.28, 0.13, 0.41, 0.29)
#: The standard deviation of what is held: none that shows, and none that a solver minds.
_HELD = 1e-4


@dataclass(frozen=True)
class PriorConfig:
    """How far the fit may leave its start. angles: in units of what the encoder errs by, above 1 because its points say
    the same once more. place_mm, turn, beta, palm_mm, flesh_mm: standard deviations of wrist, rotation (radians), bone
    lengths, the palm's thickness and the fingers'. beta's is wider than people vary (1): of one frame the encoder knows
    little more than the mean hand, and its points lean to that hand's bones already. limit_sd: of angles past their
    limits. frame_sd: of angles around the last frame's, radians.
    """

    angles: float = 2.0
    place_mm: float = 40.0
    turn: float = 0.35
    beta: float = 2.0
    palm_mm: float = 3.0
    flesh_mm: float = 1.5
    limit_sd: float = 0.05
    frame_sd: float = 0.6

    def holding_shape(self) -> PriorConfig:
        """The same with shape as good as fixed."""
        return replace(self, beta=_HELD, palm_mm=_HELD, flesh_mm=_HELD)


class Priors:
    """Gaussian pulls on the parameters themselves."""

    def __init__(self, config: PriorConfig) -> None:
        self._config = config
        angles = config.angles * np.array(_THUMB_SD + 4 * _FINGER_SD)
        place = (config.place_mm,) * 3 + (config.turn,) * 3
        flesh = (config.palm_mm,) + (config.flesh_mm,) * 5
        sd = np.concatenate((place, angles, np.full(20, config.beta), flesh))
        self._precision = sd**-2.0

    def add(
        self,
        hessian: FloatArray,
        gradient: FloatArray,
        hand: HandState,
        start: HandState,
        last_angles: FloatArray | None,
    ) -> None:
        """Add to J'WJ (52, 52) and J'Wr (52,) at `hand`. last_angles: (20,) of the frame before."""
        diagonal = np.einsum("ii->i", hessian)
        diagonal += self._precision
        gradient += self._precision * hand.away_from(start)
        low, high = ARTICULATION_LIMITS.T
        excess = np.minimum(hand.articulation - low, 0) + np.maximum(hand.articulation - high, 0)
        diagonal[ANGLES] += (excess != 0) * self._config.limit_sd**-2
        gradient[ANGLES] += excess * self._config.limit_sd**-2
        if last_angles is not None:
            diagonal[ANGLES] += self._config.frame_sd**-2
            gradient[ANGLES] += (hand.articulation - last_angles) * self._config.frame_sd**-2
