"""Smoothing of hand parameters over time: the One Euro filter (Casiez, Roussel & Vogel, CHI 2012)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.geometry.rotations import euler_to_matrix, matrix_to_euler, matrix_to_six_d, six_d_to_matrix
from engine.types import FloatArray, HandParameters


@dataclass(frozen=True)
class SmoothingConfig:
    """amount: 0 (off) to 1 (calmest). speed_gain_*: how quickly the cut-off opens with speed, Hz per unit per second.
    shape_seconds: time over which shape is averaged."""

    amount: float = 0.4
    speed_gain_translation: float = 0.03
    speed_gain_angle: float = 3.0
    shape_seconds: float = 3.0


@dataclass(frozen=True)
class ShapeAverage:
    """values: (26,) beta and thickness; weight: of all that went into them; time_s: of the last."""

    values: FloatArray
    weight: float
    time_s: float


class OneEuro:
    """The filter on a vector; each component has its own speed and so its own cut-off."""

    def __init__(self) -> None:
        self._value: FloatArray | None = None
        self._speed: FloatArray | None = None
        self._time = 0.0

    def __call__(self, value: FloatArray, time_s: float, min_cutoff_hz: float, speed_gain: FloatArray) -> FloatArray:
        if self._value is None or self._speed is None:
            self._value, self._speed, self._time = value, np.zeros_like(value), time_s
        if time_s <= self._time:
            return self._value
        dt = time_s - self._time
        speed = (value - self._value) / dt
        self._speed = self._speed + _blend(1.0, dt) * (speed - self._speed)
        cutoff = min_cutoff_hz + speed_gain * np.abs(self._speed)
        self._value = self._value + _blend(cutoff, dt) * (value - self._value)
        self._time = time_s
        return self._value


def _blend(cutoff_hz: FloatArray | float, dt: float) -> FloatArray | float:
    """Weight of a new sample in a first-order low pass."""
    turn = 2 * math.pi * dt * cutoff_hz
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
        self._filter = OneEuro()

    def update(self, parameters: HandParameters, time_s: float, certainty: float = 1.0) -> HandParameters:
        """The smoothed parameters at time_s (seconds, any clock that goes forward).

        certainty: how much this frame's shape counts against other frames', in any unit; a closed fist says little
        of the lengths of its fingers.
        """
        values = np.concatenate((parameters.beta, parameters.thickness))
        self.shape = _averaged(self.shape, values, time_s, certainty, self.config.shape_seconds)
        theta = parameters.theta
        if self.config.amount > 0:
            theta = self._smooth_theta(theta, time_s)
        return replace(parameters, theta=theta, beta=self.shape.values[:20], thickness=self.shape.values[20:])

    def _smooth_theta(self, theta: FloatArray, time_s: float) -> FloatArray:
        six = matrix_to_six_d(euler_to_matrix(torch.from_numpy(theta[3:6]))).numpy()
        vector = np.concatenate((theta[:3], six, theta[6:]))
        gain = np.full(29, self.config.speed_gain_angle, np.float32)
        gain[:3] = self.config.speed_gain_translation
        # amount 0 -> 30 Hz (nothing to see), 1 -> 0.5 Hz.
        cutoff = 30.0 * (0.5 / 30.0) ** self.config.amount
        smooth = self._filter(vector, time_s, cutoff, gain)
        euler = matrix_to_euler(six_d_to_matrix(torch.from_numpy(smooth[3:9]))).numpy()
        return np.concatenate((smooth[:3], euler, smooth[9:])).astype(np.float32)


def _averaged(
    past: ShapeAverage | None, values: FloatArray, time_s: float, certainty: float, half_life_s: float
) -> ShapeAverage:
    if past is None:
        return ShapeAverage(values, certainty, time_s)
    weight = past.weight * 0.5 ** (max(0.0, time_s - past.time_s) / half_life_s) + certainty
    return ShapeAverage(past.values + (certainty / weight) * (values - past.values), weight, time_s)


def shape_certainty(parameters: HandParameters, sigma_mm: FloatArray) -> float:
    """How much one frame's shape should count: the surer its joints (21,) mm and the straighter its fingers, the more.

    A bent finger hides its own length, which the encoder's sureness of its joints does not show.
    """
    middle_joints = parameters.theta[6:].reshape(5, 4)[1:, 2]
    straight = np.clip(np.cos(middle_joints), 0.0, 1.0) ** 2
    return float((0.02 + straight.mean()) / np.mean(sigma_mm) ** 2)
