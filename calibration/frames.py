"""Frames of one user, prepared for a calibration: what the encoder says of each, and its depth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.fitting.observation import Observation
from engine.fitting.state import HandState
from engine.geometry.camera import project
from engine.hand.relief import RELIEF_SIZE
from engine.localise.crop import CropWindow, cut
from engine.reading import Reading
from engine.runners.protocol import Estimate, Runner
from engine.types import BETA_SIZE, THICKNESS_SIZE, DepthFrame, FloatArray


@dataclass(frozen=True)
class Build:
    """What a hand is like whatever its pose: beta (20,), thickness (6,) mm, skin (100,) mm (calibration.skin), and
    relief (RELIEF_SIZE,) mm (engine.hand.relief), which calibration.relief learns and the shape solver holds.
    """

    beta: NDArray[np.float64]
    thickness: NDArray[np.float64]
    skin: NDArray[np.float64]
    relief: NDArray[np.float64] = field(default_factory=lambda: np.zeros(RELIEF_SIZE))

    @staticmethod
    def mean() -> Build:
        """The mean hand."""
        return Build(np.zeros(BETA_SIZE), np.zeros(THICKNESS_SIZE), np.zeros(5 * BETA_SIZE))

    @property
    def vector(self) -> NDArray[np.float64]:
        """(126,) all of it but the relief, in this order."""
        return np.concatenate((self.beta, self.thickness, self.skin))

    @staticmethod
    def of(vector: FloatArray) -> Build:
        """From `vector`."""
        parts = np.split(np.asarray(vector, np.float64), [BETA_SIZE, BETA_SIZE + THICKNESS_SIZE])
        return Build(*parts)


@dataclass(frozen=True)
class CalibrationFrame:
    """One frame, in its crop's virtual camera (engine.localise.crop).

    start: the pose that the encoder sees, of the mean hand. points (21, 3) mm and sigma (21,) mm: of its dense head.
    observation: the depth around the hand. crop (128, 128) in [-1, 1], its centre `distance` mm away. confidence: that
    there is a hand. number: the frame's own. whole: no joint lies outside the camera's picture. hidden: the share of
    the hand before which something else lies (engine.adaptation.samples.seen_share).
    """

    start: HandState
    points: FloatArray
    sigma: FloatArray
    observation: Observation
    crop: FloatArray
    distance: float
    confidence: float
    number: int = 0
    whole: bool = True
    hidden: float = 0.0

    @staticmethod
    def of(reading: Reading, number: int = 0, whole: bool = True) -> CalibrationFrame:
        """From what the tracker reads of a frame."""
        estimate, i = reading.estimate, reading.index
        distance = reading.window.distance
        ahead = np.array([0.0, 0.0, distance])
        points = estimate.points[i] + ahead
        mean = Build.mean()
        start = HandState(
            estimate.translation[i] + ahead,
            estimate.rotation[i].astype(np.float64),
            estimate.articulation[i].astype(np.float64),
            mean.beta,
            mean.thickness,
        )
        seen = Observation(reading.crop, distance, points)
        return CalibrationFrame(
            start, points, estimate.sigma[i], seen, reading.crop, distance, reading.confidence, number, whole
        )

    @staticmethod
    def read(runner: Runner, frame: DepthFrame, window: CropWindow) -> CalibrationFrame:
        """Look at `window` of a frame."""
        crop = cut(frame, window)
        estimate = runner.run(crop[None], np.array([window.distance], np.float32))
        return CalibrationFrame.of(Reading(window, crop, estimate, 0), frame.number, _whole(estimate, window, frame))


def _whole(estimate: Estimate, window: CropWindow, frame: DepthFrame) -> bool:
    """Whether all joints lie in the picture."""
    joints = window.to_camera(estimate.points[0]) * (-1.0 if window.mirrored else 1.0, 1.0, 1.0)
    camera = frame.intrinsics
    column, row = project(joints, camera).T
    inside = (column > 0) & (column < camera.width - 1) & (row > 0) & (row < camera.height - 1)
    return bool(inside.all())
