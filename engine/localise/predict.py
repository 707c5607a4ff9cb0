"""Where the crop's centre is next, from where the hand was: constant velocity, damped and bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatArray

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class PredictorConfig:
    """velocity_blend: how much of the velocity comes from the newest step (the rest is the past's).
    memory_s: a velocity fades by half in this time ahead, and a gap of four times as long forgets it.
    max_speed_mm_s: what a hand does not exceed. max_step_mm: the prediction stays this near to the last result, so that
    a wrong velocity never leaves the hand outside its cube.
    """

    velocity_blend: float = 0.6
    memory_s: float = 0.08
    max_speed_mm_s: float = 3000.0
    max_step_mm: float = 90.0


class CropPredictor:
    """Follows the crop's centre from results at known times; a new one knows nothing."""

    def __init__(self, config: PredictorConfig | None = None) -> None:
        self.config = config or PredictorConfig()
        self._place: Vector | None = None
        self._velocity = np.zeros(3, np.float32)
        self._time_s = 0.0

    def update(self, centre_mm: FloatArray, time_s: float) -> None:
        """A result: the mean of the joints (3,), camera frame, mm, at a time. Others than numbers are left out."""
        centre = np.asarray(centre_mm, np.float32).reshape(3)
        if not (np.isfinite(centre).all() and np.isfinite(time_s)):
            return
        elapsed = time_s - self._time_s
        if self._place is None or not 0 < elapsed < 4 * self.config.memory_s:
            # No earlier place, a clock that stands or jumps back, or too long ago to tell a speed.
            self._velocity = np.zeros(3, np.float32)
        else:
            step = (centre - self._place) / np.float32(elapsed)
            blend = np.float32(self.config.velocity_blend)
            self._velocity = _at_most((1 - blend) * self._velocity + blend * step, self.config.max_speed_mm_s)
        self._place, self._time_s = centre, time_s

    def predict(self, time_s: float) -> Vector | None:
        """The centre (3,) expected at a time, or None before the first result."""
        if self._place is None:
            return None
        ahead = time_s - self._time_s
        if not ahead > 0:
            return self._place.copy()
        # A velocity that halves every memory_s has covered this much of a second's way after `ahead`.
        rate = np.log(2) / self.config.memory_s
        covered = (1 - np.exp(-rate * ahead)) / rate
        way = _at_most(self._velocity * np.float32(covered), self.config.max_step_mm)
        return (self._place + way).astype(np.float32)


def _at_most(vector: Vector, length: float) -> Vector:
    """The vector, shortened to `length` where it is longer."""
    norm = float(np.linalg.norm(vector))
    return vector if norm <= length else (vector * (length / norm)).astype(np.float32)
