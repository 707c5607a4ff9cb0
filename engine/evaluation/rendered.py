"""How far the encoder's hand is from the truth on rendered crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import metrics
from engine.fitting.fitter import HandFitter
from engine.hand.hand import HandModel
from engine.localise.crop import CropWindow
from engine.reading import Reading
from engine.runners.protocol import Runner
from engine.training.config import TrainConfig
from engine.training.renders import RenderedBatch
from engine.training.trainer import test_set
from engine.types import JOINT_NAMES, FloatArray

#: What the test sets show, in the words a report prints.
TEST_SETS = {
    "held": "views as people hold a hand to a camera, cluttered and noisy",
    "any": "the training's own mix, with some hands seen from anywhere",
}


def test_configs(config: TrainConfig) -> dict[str, TrainConfig]:
    """The configurations of the test sets, by their names in TEST_SETS."""
    held = dataclasses.replace(config.render.sampling, uniform_view_fraction=0.0)
    return {
        "held": dataclasses.replace(config, render=dataclasses.replace(config.render, sampling=held)),
        "any": config,
    }


def evaluate_rendered(
    runner: Runner, config: TrainConfig, on_frame: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Errors in mm on each rendered test set (engine.training.trainer.test_set, on the CPU).

    The configuration must be the one the weights were trained with: its seed keeps training's hands out of the test.

    Crops are centred as in training (on the joints, give or take), every frame counts, and the joints are those of
    the hand model as the tracker poses it, without smoothing.
    """
    model = HandModel()
    fitter = HandFitter(model.template)
    report: dict[str, Any] = {}
    for name, test in test_configs(config).items():
        joints, truth = [], []
        for batch in test_set(test):
            joints.append(_joints(runner, batch, model, fitter, on_frame))
            truth.append(batch.joints.numpy())
        errors = metrics.joint_errors(np.concatenate(joints), np.concatenate(truth))
        report[name] = {
            "what": TEST_SETS[name],
            "frames": len(errors),
            "mean_joint_error_mm": metrics.mean_or_none(errors),
            "median_joint_error_mm": metrics.median_or_none(errors),
            "finger_joint_error_mm": metrics.finger_joint_error(errors),
            "per_joint_error_mm": dict(zip(JOINT_NAMES, metrics.per_joint_means(errors), strict=True)),
        }
    return {"images": "rendered", "test_sets": report}


def _joints(
    runner: Runner,
    batch: RenderedBatch,
    model: HandModel,
    fitter: HandFitter,
    on_frame: Callable[[], None],
) -> FloatArray:
    """(B, 21, 3) joints in mm from the crops' centres."""
    crops, distances = batch.crop[:, 0].numpy(), batch.distance.numpy()
    estimate = runner.run(crops, distances)
    joints = []
    for index, distance in enumerate(distances):
        window = CropWindow(np.eye(3, dtype=np.float32), float(distance), mirrored=False)
        parameters = Reading(window, crops[index], estimate, index).fit(fitter).parameters
        joints.append(model.pose(parameters).joints[0].numpy() - (0, 0, distance))
        on_frame()
    return np.stack(joints)
