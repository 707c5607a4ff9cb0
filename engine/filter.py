"""Smoothing of hand parameters over time: the One Euro filter (Casiez, Roussel & Vogel, CHI 2012), told motion from
noise.

One Euro is a low pass whose cut-off opens with speed. Taken as it is, noise looks like speed and keeps it open. Here
the cut-off opens only with what is more than noise could be. How strong that is, each component's second differences
tell: even motion has none, white noise has six times its own variance in them. All is measured in mm at the finger
tips, so that one gain holds for place, rotation and angles. `python main.py bench smoothing` shows what it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.geometry.turns import euler_of, matrix_of, nearest_rotation
from engine.types import DEFAULT_SMOOTHING, FloatArray, HandParameters

_Number = TypeVar("_Number", float, NDArray[np.float64])

#: (29,) how far a component's unit moves what it carries, mm: place, rotation (6D) at the middle of the hand, then per
#: finger the two angles of its first joint, of its second, of its third at the tip.
_LEVERS_MM = np.concatenate((np.ones(3), np.full(6, 100.0), np.tile([90.0, 90.0, 55.0, 25.0], 5)))
#: (29,) what shares a cut-off: place; rotation; each finger's angles.
_GROUPS = np.repeat(np.arange(7), [3, 6, 4, 4, 4, 4, 4])
#: The low pass on how far the smoothed hand trails.
_TRAIL_CUTOFF_HZ = 3.0
#: How much of the noise's standard deviation in it is no motion, and what is motion for certain, mm.
_NOISE_GATE = 2.5
_WIDEST_GATE_MM = 4.0
_NOISE_MEMORY_S = 0.5


@dataclass(frozen=True)
class SmoothingConfig:
    """amount: 0 (off) to 1 (calmest). shape_seconds: half-life of a frame's say in the average of shape."""

    amount: float = DEFAULT_SMOOTHING
    shape_seconds: float = 3.0

    @property
    def min_cutoff_hz(self) -> float:
        """The cut-off for a hand held still."""
        return 12.0 * 0.0035**self.amount

    @property
    def gain_hz_per_mm(self) -> float:
        """How quickly the cut-off opens with how far the smoothed hand trails. A hand at speed v then trails by
        sqrt(v / (2 pi gain)): at 1 m/s 10 mm, which is 10 ms, by default."""
        return 6.0 * 0.07**self.amount


@dataclass(frozen=True)
class ShapeAverage:
    """values: (26,) beta and thickness; weight: of all that went into them; time_s: of the last."""

    values: FloatArray
    weight: float
    time_s: float

    @property
    def beta(self) -> FloatArray:
        return self.values[:20]

    @property
    def thickness(self) -> FloatArray:
        return self.values[20:]


class OneEuro:
    """The filter on a vector in mm, whose components share cut-offs by group.

    groups: (N,) whole numbers from 0. The speed that opens a group's cut-off is taken against the last smoothed value,
    as in the code that the filter's authors give out today, but not divided by the time between frames, which would
    make it another filter at each frame rate: it is how far the smoothed value trails.
    """

    def __init__(self, groups: NDArray[np.integer]) -> None:
        self._groups = groups
        self._count = 0
        self._time, self._step_s = 0.0, 0.0
        self._value = self._trail = self._raw = self._speed = self._variance = np.zeros(len(groups))

    def __call__(
        self, value: FloatArray, time_s: float, min_cutoff_hz: float, gain_hz_per_mm: float
    ) -> NDArray[np.float64]:
        """The smoothed vector (N,) mm at time_s; the last one again where time does not go on."""
        if self._count and time_s <= self._time:
            return self._value
        step_s, self._time = time_s - self._time, time_s
        self._count += 1
        if self._count == 1:
            self._value = self._raw = np.asarray(value, np.float64)
            return self._value
        self._learn_noise(value, step_s)
        blend = _blend(_TRAIL_CUTOFF_HZ, step_s)
        self._trail = self._trail + blend * (value - self._value - self._trail)
        noise = np.sqrt(self._grouped(self._variance) * blend / (2 - blend))
        motion = np.sqrt(self._grouped(self._trail**2)) - np.minimum(_NOISE_GATE * noise, _WIDEST_GATE_MM)
        weight = _blend(min_cutoff_hz + gain_hz_per_mm * np.maximum(motion, 0.0), step_s)
        # At first the mean of what was seen: a low cut-off would hold on to the first value, noise and all.
        weight = np.maximum(weight, 1.0 / self._count)
        self._value = self._value + weight[self._groups] * (value - self._value)
        return self._value

    def _learn_noise(self, value: FloatArray, step_s: float) -> None:
        """Running variance (N,) of each component's noise, from how far the value is from where it was heading."""
        speed = (value - self._raw) / step_s
        if self._count > 2:
            ratio = step_s / self._step_s
            found = (value - self._raw - self._speed * step_s) ** 2 / (1 + (1 + ratio) ** 2 + ratio**2)
            weight = max(step_s / (step_s + _NOISE_MEMORY_S), 1.0 / (self._count - 2))
            self._variance = self._variance + weight * (found - self._variance)
        self._raw, self._speed, self._step_s = np.asarray(value, np.float64), speed, step_s

    def _grouped(self, squares: FloatArray) -> NDArray[np.float64]:
        return np.asarray(np.bincount(self._groups, squares), np.float64)


def _blend(cutoff_hz: _Number, step_s: float) -> _Number:
    """Weight of a new sample in a first-order low pass."""
    turn = 2 * math.pi * step_s * cutoff_hz
    return turn / (turn + 1.0)


class PoseFilter:
    """Smooths pose by One Euro and averages shape over seconds. Rotations are filtered in 6D, where nothing wraps."""

    def __init__(self, config: SmoothingConfig = SmoothingConfig()) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next update passes through."""
        self.forget_pose()
        self.shape: ShapeAverage | None = None

    def forget_pose(self) -> None:
        """Forget how the hand was held, not whose it is."""
        self._filter = OneEuro(_GROUPS)

    def shape_with(self, parameters: HandParameters, time_s: float, certainty: float = 1.0) -> ShapeAverage:
        """The averaged shape if this frame's counts; it does once it is given to `take`.

        certainty: how much this frame's shape counts against other frames', in any unit; a closed fist says little
        of the lengths of its fingers.
        """
        values = np.concatenate((parameters.beta, parameters.thickness))
        return _averaged(self.shape, values, time_s, certainty, self.config.shape_seconds)

    def take(self, parameters: HandParameters, shape: ShapeAverage, time_s: float) -> HandParameters:
        """The smoothed parameters at time_s (seconds, any clock that goes forward), with an averaged shape."""
        self.shape = shape
        theta = parameters.theta if self.config.amount == 0 else self._smooth_theta(parameters.theta, time_s)
        return replace(parameters, theta=theta, beta=shape.beta, thickness=shape.thickness)

    def update(self, parameters: HandParameters, time_s: float, certainty: float = 1.0) -> HandParameters:
        """Both at once, for a pose that is not fitted again to the averaged shape."""
        return self.take(parameters, self.shape_with(parameters, time_s, certainty), time_s)

    def _smooth_theta(self, theta: FloatArray, time_s: float) -> FloatArray:
        six = matrix_of(theta[3:6])[:, :2].T.reshape(-1)
        vector = np.concatenate((theta[:3], six, theta[6:])) * _LEVERS_MM
        smooth = self._filter(vector, time_s, self.config.min_cutoff_hz, self.config.gain_hz_per_mm) / _LEVERS_MM
        euler = euler_of(nearest_rotation(smooth[3:9].reshape(2, 3).T))
        return np.concatenate((smooth[:3], euler, smooth[9:])).astype(np.float32)


def _averaged(
    past: ShapeAverage | None, values: FloatArray, time_s: float, certainty: float, half_life_s: float
) -> ShapeAverage:
    if past is None:
        return ShapeAverage(values, certainty, time_s)
    weight = past.weight * 0.5 ** (max(0.0, time_s - past.time_s) / half_life_s) + certainty
    return ShapeAverage(past.values + np.float32(certainty / weight) * (values - past.values), weight, time_s)


def shape_certainty(parameters: HandParameters, sigma_mm: FloatArray) -> float:
    """How much one frame's shape should count: the surer its joints (21,) mm and the straighter its fingers, the more.

    A bent finger hides its own length, which the encoder's sureness of its joints does not show.
    """
    middle_joints = parameters.theta[6:].reshape(5, 4)[1:, 2]
    straight = np.clip(np.cos(middle_joints), 0.0, 1.0) ** 2
    return float((0.02 + straight.mean()) / np.mean(sigma_mm) ** 2)
