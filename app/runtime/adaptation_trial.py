"""What the run-time fit makes of samples with given weights and a given hand, outside the tracker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.frames import Build, CalibrationFrame
from calibration.tracking import personal_hand
from engine.adaptation.samples import Sample
from engine.adaptation.versions import AdaptedHand
from engine.filter import shape_certainty
from engine.fitting.fitter import HandFitter
from engine.fitting.state import KnownShape
from engine.hand.template import HandTemplate, load_template
from engine.localise.crop import CropWindow
from engine.methods.gaussian.encoder import Encoder
from engine.methods.gaussian.weights import LoadedEncoder
from engine.reading import FittedHand, Reading
from engine.runners.torch_runner import TorchRunner
from engine.tracker import surface_residual
from engine.types import FloatArray

Array = NDArray[np.float64]
_AT_ONCE = 8


class Contender:
    """Weights and a hand, as the tracker would use them. build: None for a hand whose shape each frame finds anew."""

    def __init__(self, encoder: Encoder, build: Build | None, template: HandTemplate | None = None) -> None:
        self.encoder, self.build = encoder, build
        self._runner = TorchRunner(LoadedEncoder(encoder.eval(), "trial", 0))
        surface, self._shape = template or load_template(), None
        if build is not None:
            model, self._shape = personal_hand(build, surface)
            surface = model.template
        self.template = surface
        self._fitter = HandFitter(surface)
        self._held = self._fitter.holding_shape().stepping(1)
        self._knowing = self._fitter.knowing_shape()

    def readings(self, samples: Sequence[Sample]) -> list[Reading]:
        """What the encoder says of each. It takes a third of the time that a hand takes to judge: of weights and hands,
        those that share the weights can share these."""
        found: list[Reading] = []
        for first in range(0, len(samples), _AT_ONCE):
            part = samples[first : first + _AT_ONCE]
            crops = np.stack([sample.depth() for sample in part])
            distances = np.array([sample.distance for sample in part], np.float32)
            estimate = self._runner.run(crops, distances)
            windows = (CropWindow(np.eye(3, dtype=np.float32), sample.distance, False) for sample in part)
            found.extend(Reading(window, crops[i], estimate, i) for i, window in enumerate(windows))
        return found

    def residuals(self, readings: Sequence[Reading]) -> Array:
        """(N,) mm: surface_residual of each reading's fit, as the tracker fits a hand that it follows."""
        if not readings:
            return np.empty(0)
        if self._shape is None:
            own, shape = self._averaged(readings)
            posed = [reading.refit(self._held, hand, shape) for reading, hand in zip(readings, own, strict=True)]
        else:
            posed = [reading.fit(self._knowing, shape=self._shape) for reading in readings]
        return np.array(
            [surface_residual(hand.surface, r.window.distance, r.crop) for hand, r in zip(posed, readings, strict=True)]
        )

    def joints(self, readings: Sequence[Reading]) -> list[FloatArray]:
        """(21, 3) mm of each reading's fitted hand, whose shape must be known, in its crop's camera."""
        fitted = [reading.fit(self._knowing, shape=self._shape) for reading in readings]
        return [self._knowing.kinematics.pose(hand.state).joints for hand in fitted]

    def averaged(self, readings: Sequence[Reading]) -> Build:
        """What single frames' fits say of the hand, averaged as the tracker does; the held one where one is."""
        if self.build is not None:
            return self.build
        _, shape = self._averaged(readings)
        return Build.of(np.concatenate((shape.beta, shape.thickness, Build.mean().skin)))

    def _averaged(self, readings: Sequence[Reading]) -> tuple[list[FittedHand], KnownShape]:
        """Each frame's own hand, and the shape that is averaged over them."""
        own = [reading.fit(self._fitter) for reading in readings]
        certain = np.array([shape_certainty(one.parameters, one.joint_sigma_mm) for one in own])
        beta, thickness = (
            np.average([getattr(one.parameters, name) for one in own], axis=0, weights=certain)
            for name in ("beta", "thickness")
        )
        return own, KnownShape(beta, thickness)


def frames_of(readings: Sequence[Reading]) -> list[CalibrationFrame]:
    """The readings as a shape solver takes them."""
    return [CalibrationFrame.of(reading, number) for number, reading in enumerate(readings)]


def misread(readings: Sequence[Reading], joints: Sequence[FloatArray]) -> Array:
    """(N,) mm: how far the encoder's points, before any fit, are from each frame's joints, on average."""
    said = (r.estimate.points[r.index] + (0.0, 0.0, r.window.distance) for r in readings)
    apart = [np.linalg.norm(points - there, axis=1).mean() for points, there in zip(said, joints, strict=True)]
    return np.array(apart)


def build_of(hand: AdaptedHand | None) -> Build | None:
    """The hand of a version as calibration has it."""
    return None if hand is None else Build(hand.beta, hand.thickness, hand.skin, hand.relief)


def hand_of(build: Build) -> AdaptedHand:
    """The reverse of build_of."""
    return AdaptedHand(build.beta, build.thickness, build.skin, build.relief)


def one_thread() -> None:
    """Work that nobody waits for takes no more than one core."""
    torch.set_num_threads(1)
