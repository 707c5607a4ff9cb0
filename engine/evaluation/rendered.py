"""How far the encoder's hand is from the truth on rendered crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.evaluation.uncertainty import calibration_report
from engine.fitting.fitter import FitConfig, HandFitter
from engine.geometry.camera import project
from engine.hand.hand import HandModel
from engine.localise.crop import CropWindow, cut, look_at
from engine.reading import Reading, settled
from engine.runners.protocol import Runner
from engine.training.config import TrainConfig
from engine.training.renders import PIXEL_MM, RenderedBatch
from engine.training.trainer import test_set as rendered_test
from engine.types import JOINT_NAMES, DepthFrame, FloatArray, Intrinsics

#: What the test sets show, in the words a report prints.
TEST_SETS = {
    "held": "views as people hold a hand to a camera, cluttered and noisy",
    "any": "the training's own mix, with some hands seen from anywhere",
}
#: Pixels of a test image's side: more than a crop's 128, so that the crop can move and turn in it.
_IMAGE_SIZE = 192
_UNIT_MM = 0.1
#: A joint lies no deeper in its own flesh, mm: wrist, then each finger's joints from its root. What was measured
#: further before it is another finger, the palm or a thing held.
_OWN_FLESH_MM = np.array([40.0] + [30.0, 30.0, 20.0, 20.0] + [30.0, 20.0, 20.0, 20.0] * 4)


@dataclass(frozen=True)
class ReadHands:
    """N rendered hands as they were read, and as they are.

    joints, truth: (N, 21, 3) mm, in the camera's frame. sigma_mm: (N, 21), expected errors of the joints. hidden:
    (N, 21) bool, that something measured stands between the camera and the true joint.
    """

    joints: FloatArray
    truth: FloatArray
    sigma_mm: FloatArray
    hidden: NDArray[np.bool_]

    @property
    def errors(self) -> FloatArray:
        """(N, 21) mm."""
        return metrics.joint_errors(self.joints, self.truth)


def test_configs(config: TrainConfig) -> dict[str, TrainConfig]:
    """The configurations of the test sets, by their names in TEST_SETS."""
    anywhere = dataclasses.replace(config.render.sampling, followed_fraction=0.0)
    held = dataclasses.replace(anywhere, uniform_view_fraction=0.0)
    return {
        name: dataclasses.replace(config, render=dataclasses.replace(config.render, sampling=sampling))
        for name, sampling in (("held", held), ("any", anywhere))
    }


def evaluate_rendered(
    runner: Runner, config: TrainConfig, on_frame: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Errors in mm on each rendered test set, and whether they are as large as expected (calibration_report).

    The configuration must be the one the weights were trained with: its seed keeps training's hands out of the test.
    """
    report: dict[str, Any] = {}
    for name, test in test_configs(config).items():
        hands = read_rendered(runner, test, on_frame=on_frame)
        errors = hands.errors
        report[name] = {
            "what": TEST_SETS[name],
            "frames": len(errors),
            "mean_joint_error_mm": metrics.mean_or_none(errors),
            "median_joint_error_mm": metrics.median_or_none(errors),
            "finger_joint_error_mm": metrics.finger_joint_error(errors),
            "per_joint_error_mm": dict(zip(JOINT_NAMES, metrics.per_joint_means(errors), strict=True)),
            "uncertainty": calibration_report(errors, hands.sigma_mm, hands.hidden),
        }
    return {"images": "rendered", "test_sets": report}


def read_rendered(
    runner: Runner,
    config: TrainConfig,
    fit: FitConfig | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> ReadHands:
    """Read the rendered test set of a configuration (engine.training.trainer.test_set, on the CPU).

    A hand is read as the tracker reads one that it has just found: first from a level crop whose centre is off as a
    detector's is, then from the crop that this tells it to take. Every frame counts, and the joints are those of the
    hand model as the tracker poses it, without smoothing.
    """
    model = HandModel()
    fitter = HandFitter(model.template, fit or FitConfig())
    joints, truth, sigma, hidden = [], [], [], []
    for batch in rendered_test(config, size=_IMAGE_SIZE):
        true = batch.joints.numpy() + batch.distance.numpy()[:, None, None] * (0, 0, 1)
        for index, frame in enumerate(frames_of(batch)):
            fitted = read_frame(runner, frame, float(batch.distance[index])).fit(fitter)
            joints.append(model(fitted.parameters).joints)
            sigma.append(fitted.joint_sigma_mm)
            hidden.append(hidden_joints(frame, true[index]))
            on_frame()
        truth.append(true)
    return ReadHands(np.stack(joints), np.concatenate(truth), np.stack(sigma), np.stack(hidden))


def hidden_joints(frame: DepthFrame, joints: FloatArray) -> NDArray[np.bool_]:
    """Whether something else than its own flesh was measured before each joint: (21,) for joints (21, 3) mm before the
    camera. A joint that no measured pixel lies before, as beside the hand's outline, is not hidden."""
    column, row = np.rint(project(joints, frame.intrinsics)).astype(np.int64).T
    inside = (column >= 0) & (column < frame.intrinsics.width) & (row >= 0) & (row < frame.intrinsics.height)
    depth = frame.depth_mm()[np.where(inside, row, 0), np.where(inside, column, 0)]
    return np.asarray(inside & (depth > 0) & (joints[:, 2] - depth > _OWN_FLESH_MM))


def frames_of(batch: RenderedBatch) -> Iterator[DepthFrame]:
    """The batch's images as a camera delivers them."""
    for index, depth in enumerate(batch.depth.numpy()):
        focal, middle = float(batch.distance[index]) / PIXEL_MM, (len(depth) - 1) / 2
        camera = Intrinsics(depth.shape[1], depth.shape[0], focal, focal, middle, middle)
        steps = np.where(np.isfinite(depth), np.clip(depth / _UNIT_MM, 0, 65535), 0)
        yield DepthFrame(np.rint(steps).astype(np.uint16), _UNIT_MM, camera, index, 0.0, 0.0)


def read_frame(runner: Runner, frame: DepthFrame, distance: float) -> Reading:
    """Read an image of `frames_of`, its cube's centre `distance` mm away, as the tracker reads a hand that it has just
    found."""

    def read(window: CropWindow) -> Reading:
        crop = cut(frame, window)
        return Reading(window, crop, runner.run(crop[None], np.array([window.distance], np.float32)), 0)

    return settled(read(look_at(np.array([0.0, 0.0, distance], np.float32))), read)
