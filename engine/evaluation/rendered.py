"""How far the encoder's hand is from the truth on rendered crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine import metrics
from engine.fitting.fitter import HandFitter
from engine.hand.hand import HandModel
from engine.localise.crop import cut, look_at
from engine.reading import SETTLE_ROUNDS, Reading
from engine.runners.protocol import Runner
from engine.training.config import TrainConfig
from engine.training.renders import PIXEL_MM, RenderedBatch
from engine.training.trainer import test_set as rendered_test
from engine.types import JOINT_NAMES, DepthFrame, Intrinsics

#: What the test sets show, in the words a report prints.
TEST_SETS = {
    "held": "views as people hold a hand to a camera, cluttered and noisy",
    "any": "the training's own mix, with some hands seen from anywhere",
}
#: Pixels of a test image's side: more than a crop's 128, so that the crop can move and turn in it.
_IMAGE_SIZE = 192
_UNIT_MM = 0.1


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
    """Errors in mm on each rendered test set (engine.training.trainer.test_set, on the CPU).

    The configuration must be the one the weights were trained with: its seed keeps training's hands out of the test.

    A hand is read as the tracker reads one that it has just found: first from a level crop whose centre is off as a
    detector's is, then from the crop that this tells it to take. Every frame counts, and the joints are those of the
    hand model as the tracker poses it, without smoothing.
    """
    model = HandModel()
    fitter = HandFitter(model.template)
    report: dict[str, Any] = {}
    for name, test in test_configs(config).items():
        joints, truth = [], []
        for batch in rendered_test(test, size=_IMAGE_SIZE):
            for index, frame in enumerate(_frames(batch)):
                reading = _read(runner, frame, float(batch.distance[index]))
                joints.append(model.pose(reading.fit(fitter).parameters).joints[0].numpy())
                on_frame()
            truth.append(batch.joints.numpy() + batch.distance.numpy()[:, None, None] * (0, 0, 1))
        errors = metrics.joint_errors(np.stack(joints), np.concatenate(truth))
        report[name] = {
            "what": TEST_SETS[name],
            "frames": len(errors),
            "mean_joint_error_mm": metrics.mean_or_none(errors),
            "median_joint_error_mm": metrics.median_or_none(errors),
            "finger_joint_error_mm": metrics.finger_joint_error(errors),
            "per_joint_error_mm": dict(zip(JOINT_NAMES, metrics.per_joint_means(errors), strict=True)),
        }
    return {"images": "rendered", "test_sets": report}


def _frames(batch: RenderedBatch) -> Iterator[DepthFrame]:
    """The batch's images as a camera delivers them."""
    for index, depth in enumerate(batch.depth.numpy()):
        focal, middle = float(batch.distance[index]) / PIXEL_MM, (len(depth) - 1) / 2
        camera = Intrinsics(depth.shape[1], depth.shape[0], focal, focal, middle, middle)
        steps = np.where(np.isfinite(depth), np.clip(depth / _UNIT_MM, 0, 65535), 0)
        yield DepthFrame(np.rint(steps).astype(np.uint16), _UNIT_MM, camera, index, 0.0, 0.0)


def _read(runner: Runner, frame: DepthFrame, distance: float) -> Reading:
    window = look_at(np.array([0.0, 0.0, distance], np.float32))
    for _ in range(1 + SETTLE_ROUNDS):
        crop = cut(frame, window)
        estimate = runner.run(crop[None], np.array([window.distance], np.float32))
        reading = Reading(window, crop, estimate, 0)
        window = reading.next_window()
    return reading
