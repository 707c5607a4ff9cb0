"""What the encoder says of one crop, and the hand that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.fitting.fitter import HandFitter
from engine.fitting.observation import Observation
from engine.fitting.state import HandState, KnownShape
from engine.geometry.turns import euler_of
from engine.localise.crop import CropWindow, look_at
from engine.runners.protocol import Estimate
from engine.types import FloatArray, HandParameters, Side

#: How often a hand that was just found is read again at most, each time from the window that the last reading asks for.
_SETTLE_ROUNDS = 2
#: A window that would move by no more than this, mm and radians, stays. Where it was first put is evidence of its own,
#: which windows that follow nothing but their own readings lose: rendered hands are read worse in each further round.
_SETTLED_MM, _SETTLED_ROLL = 12.0, 0.25
#: The forearm's length in the image, of its whole, under which its direction there says nothing.
_POINTS_AT_CAMERA = 0.25


@dataclass(frozen=True)
class FittedHand:
    """parameters: in the canonical camera frame; state: in the crop's, as the fitter left it. joint_sigma_mm (21,): see
    FitResult."""

    parameters: HandParameters
    state: HandState
    joint_sigma_mm: NDArray[np.float32]
    fitter: HandFitter

    @cached_property
    def surface(self) -> FloatArray:
        """(P, 3) mm, points of its surface, in the crop's camera."""
        return self.fitter.surface(self.state)


@dataclass(frozen=True)
class Reading:
    """Crop number `index` of a batch that was run: its window, its pixels, and the batch's estimate."""

    window: CropWindow
    crop: FloatArray
    estimate: Estimate
    index: int

    @property
    def confidence(self) -> float:
        return float(self.estimate.hand[self.index])

    @property
    def side(self) -> Side:
        """The hand that the crop was read as."""
        return Side.LEFT if self.window.mirrored else Side.RIGHT

    @property
    def right(self) -> float:
        return float(self.estimate.right[self.index])

    def centre_mm(self) -> FloatArray:
        """The mean of the estimated joints in the frame's own camera, mm."""
        centre = self.window.to_camera(self.estimate.points[self.index].mean(0, keepdims=True))[0]
        return centre * (-1.0 if self.window.mirrored else 1.0, 1.0, 1.0)

    def next_window(self) -> CropWindow:
        """A window with this hand in its middle, its forearm pointing down."""
        return look_at(self.centre_mm(), self.window.mirrored, self._roll())

    def _roll(self) -> float:
        across, down, _ = self.estimate.rotation[self.index][:, 1]
        if np.hypot(across, down) < _POINTS_AT_CAMERA:
            return self.window.roll
        return self.window.roll + float(np.arctan2(-across, down))

    def fit(
        self, fitter: HandFitter, last_angles: FloatArray | None = None, shape: KnownShape | None = None
    ) -> FittedHand:
        """The hand in the canonical camera frame: the regressor's, moved towards the dense head's points and towards
        the depth that the crop shows. last_angles: (20,) radians of the frame before, that the pose stays near to.
        shape: where it is known, instead of the regressor's; a fitter that holds it leaves it so."""
        e, i = self.estimate, self.index
        beta, thickness = (e.beta[i], e.thickness[i]) if shape is None else (shape.beta, shape.thickness)
        parts = (e.translation[i] + self._ahead, e.rotation[i], e.articulation[i], beta, thickness)
        start = HandState(*(part.astype(np.float64) for part in parts))
        fitted = fitter.fit(start, *self._seen(), last_angles)
        sigma_mm = fitted.joint_sigma_mm.astype(np.float32)
        return FittedHand(self._parameters(fitted.hand), fitted.hand, sigma_mm, fitter)

    def refit(
        self, fitter: HandFitter, hand: FittedHand, shape: KnownShape, last_angles: FloatArray | None = None
    ) -> FittedHand:
        """The pose that suits another shape, from a fitted hand on; what joints are expected to be off stays."""
        start = replace(hand.state, beta=shape.beta.astype(np.float64), thickness=shape.thickness.astype(np.float64))
        state = fitter.refit(start, *self._seen(), last_angles)
        return FittedHand(self._parameters(state), state, hand.joint_sigma_mm, fitter)

    def _seen(self) -> tuple[FloatArray, FloatArray, Observation]:
        """The encoder's points in the crop's camera, their expected errors, and the depth."""
        points = self.estimate.points[self.index] + self._ahead
        return points, self.estimate.sigma[self.index], self._observation

    def _parameters(self, hand: HandState) -> HandParameters:
        back = self.window.rotation.T.astype(np.float64)
        place = back @ hand.translation, euler_of(back @ hand.rotation)
        theta = np.concatenate((*place, hand.articulation)).astype(np.float32)
        return HandParameters(theta, hand.beta.astype(np.float32), hand.thickness.astype(np.float32), self.confidence)

    @property
    def _ahead(self) -> FloatArray:
        """From the cube's centre to the crop's camera."""
        return np.array([0.0, 0.0, self.window.distance])

    @cached_property
    def _observation(self) -> Observation:
        return Observation(self.crop, self.window.distance, self.estimate.points[self.index] + self._ahead)


def settled(first: Reading, read: Callable[[CropWindow], Reading]) -> Reading:
    """The reading of a hand that was just found: read again from where the last reading says it is, while that is
    elsewhere."""
    reading = first
    for _ in range(_SETTLE_ROUNDS):
        window = reading.next_window()
        if window.is_near(reading.window, _SETTLED_MM, _SETTLED_ROLL):
            break
        reading = read(window)
    return reading
