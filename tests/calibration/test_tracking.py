"""Tracking with a profile: the shape is held, and the pose comes out better."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.evaluation import measure_person, summary
from calibration.frames import Build
from calibration.tracking import personal_hand
from engine.evaluation.moving_hand import Scene, frames
from engine.fitting.fitter import HandFitter, WithoutFit
from engine.fitting.state import KnownShape
from engine.hand.hand import HandModel
from engine.hand.template import load_template
from engine.methods.gaussian.weights import load_weights
from engine.runners.onnx_runner import OnnxRunner
from engine.tracker import Tracker
from tests.fitting.hands import half_open_hand

SHAPE = KnownShape(np.linspace(-1, 1, 20), np.linspace(1, -1, 6))


def still(time_s: np.ndarray) -> np.ndarray:
    theta = np.zeros((len(time_s), 26))
    theta[:, :3] = 0, 60, 450
    theta[:, 3] = 0.2
    return theta


def test_a_known_shape_is_held() -> None:
    scene, model = Scene("still", still, family=1), HandModel()
    free, held = Tracker(model=model), Tracker(model=model, shape=SHAPE)
    centre = np.array([0.0, -20.0, 450.0], np.float32)
    for frame in frames(scene, model, 0.05):
        own, other = held.track(frame, centre).parameters, free.track(frame, centre).parameters
        assert own is not None and other is not None
        assert np.abs(own.beta - SHAPE.beta).max() < 1e-3
        assert np.abs(own.thickness - SHAPE.thickness).max() < 1e-3
        assert np.abs(other.beta - SHAPE.beta).max() > 0.1


def test_another_hand_is_held_while_tracking_goes_on() -> None:
    scene, model = Scene("still", still, family=1), HandModel()
    own = HandModel()
    tracker, centre = Tracker(model=model), np.array([0.0, -20.0, 450.0], np.float32)
    shown = list(frames(scene, model, 0.1))
    tracker.hold(own, SHAPE)
    held = tracker.track(shown[0], centre).parameters
    assert tracker.model is own and held is not None and np.abs(held.beta - SHAPE.beta).max() < 1e-3
    tracker.hold(None)
    free = tracker.track(shown[1], centre).parameters
    assert tracker.model is model and free is not None and np.abs(free.beta - SHAPE.beta).max() > 0.1


def test_a_fitter_that_holds_the_shape_moves_the_pose_only() -> None:
    hand = half_open_hand()
    fitter = HandFitter(load_template())
    points = fitter.kinematics.pose(hand).joints * 1.05
    free, held = (one.fit(hand, points, np.full(21, 3.0)).hand for one in (fitter, fitter.holding_shape()))
    assert np.abs(free.beta).max() > 0.05
    assert np.abs(held.beta).max() < 1e-4
    assert np.linalg.norm(held.translation - hand.translation) > 1
    assert isinstance(WithoutFit(load_template()).holding_shape(), WithoutFit)


def test_the_users_skin_is_what_is_drawn() -> None:
    build = Build(np.linspace(-1, 1, 20), np.linspace(1, -1, 6), np.full(100, 1.0))
    model, shape = personal_hand(build)
    assert np.array_equal(shape.beta, build.beta)
    assert model.faces.shape == HandModel().faces.shape
    assert np.abs(model.template.vertices - load_template().vertices).max() > 1


@pytest.mark.timeout(300)
def test_a_session_with_a_rendered_person_beats_the_mean_hand_and_helps_tracking() -> None:
    report = summary([measure_person(1, 60, OnnxRunner(load_weights()))])
    assert report["mean_hand_bone_error_mm"] > 3.5
    assert report["session_bone_error_mm"] < 2.2
    assert report["in_90_percent_interval"] > 0.7
    assert report["residual_after_mm"] < 0.9 * report["residual_before_mm"]
    assert report["joint_error_with_profile_mm"] < report["joint_error_free_mm"]
