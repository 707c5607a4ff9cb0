"""When the tracker must not believe its encoder. The encoder is a stand-in that says what the test wants."""

import dataclasses

import numpy as np
import torch

from engine.filter import SmoothingConfig
from engine.fitting.fitter import FitConfig, HandFitter
from engine.fitting.nearest import NearestConfig
from engine.fitting.priors import PriorConfig
from engine.geometry.rotations import euler_to_matrix
from engine.hand.hand import HandModel
from engine.rendering.mesh_depth import render_depth
from engine.runners.protocol import Estimate
from engine.tracker import Tracker, TrackerConfig
from engine.types import DepthFrame, FloatArray, HandParameters, Intrinsics, Side, TrackingState

CAMERA = Intrinsics(320, 240, 240.0, 240.0, 159.5, 119.5)
#: On the camera's axis, where the crop's frame is the camera's.
CENTRE = np.array([0.0, 0.0, 500.0], np.float32)


class Says:
    """A runner that claims one hand, whatever the crops show."""

    name, version = "stand-in", "0"

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self.hand = hand()

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        p, joints = self.hand, self.model(self.hand).joints
        rotation = euler_to_matrix(torch.from_numpy(p.theta[3:6])).numpy()
        place, sigma = p.theta[:3] - CENTRE, np.full(21, 5.0)
        rows = (joints - CENTRE, sigma, place, rotation, p.theta[6:], p.beta, p.thickness, 1, 1)
        return Estimate(*(np.stack([np.asarray(row, np.float32)] * len(crops)) for row in rows))


def hand(x: float = 0.0, roll: float = 0.0, beta: float = 0.0) -> HandParameters:
    theta = np.zeros(26, np.float32)
    theta[:6] = (x, 60, 500, 0, 0, roll)
    return HandParameters(theta, np.full(20, beta, np.float32), np.zeros(6, np.float32), 1.0)


def frame(model: HandModel, shown: HandParameters | None, number: int) -> DepthFrame:
    depth = np.full((240, 320), 3000, np.uint16)
    if shown is not None:
        seen = render_depth(model(shown).surface.vertices, model.faces, CAMERA)
        depth = np.where(seen > 0, np.rint(seen), depth).astype(np.uint16)
    return DepthFrame(depth, 1.0, CAMERA, number, number / 60, number / 60)


def make(smoothing: float) -> tuple[Tracker, Says, HandModel]:
    model = HandModel()
    runner = Says(model)
    config = TrackerConfig(side=Side.RIGHT, smoothing=SmoothingConfig(amount=smoothing))
    # A fit that stays near to what the runner says, so that any trace of another hand would show.
    near = FitConfig(steps=2, prior=PriorConfig(beta=0.5), nearest=NearestConfig(sideways=0.15, slack_mm=4.0))
    fitter = HandFitter(model.template, near)
    return Tracker(config, runner, object(), model, fitter), runner, model  # type: ignore[arg-type]


def test_a_hand_where_nothing_was_measured_is_not_believed() -> None:
    tracker, _, model = make(0.0)
    result = tracker.track(frame(model, None, 0), CENTRE)
    assert result.state is TrackingState.SEARCHING
    assert result.geometry is None and not np.isfinite(result.residual_mm)
    assert tracker.track(frame(model, hand(), 1), CENTRE).state is TrackingState.TRACKING


def test_a_refused_hand_leaves_no_trace_in_the_next_one() -> None:
    tracker, runner, model = make(0.9)
    # 60 mm behind what the camera sees, turned, and of another shape.
    wrong = hand(roll=0.8, beta=1.0)
    runner.hand = dataclasses.replace(wrong, theta=wrong.theta + np.eye(26, dtype=np.float32)[2] * 60)
    assert tracker.track(frame(model, hand(), 0), CENTRE).state is TrackingState.SEARCHING
    runner.hand = hand()
    result = tracker.track(frame(model, hand(), 1), CENTRE)
    assert result.state is TrackingState.TRACKING and result.parameters is not None
    fresh, _, _ = make(0.9)
    expected = fresh.track(frame(model, hand(), 1), CENTRE).parameters
    assert expected is not None
    assert np.allclose(result.parameters.theta, expected.theta, atol=1e-5)
    assert np.allclose(result.parameters.beta, expected.beta, atol=1e-5)
    # Whole millimetres of depth leave the fit a little way from what the runner says.
    assert np.allclose(result.parameters.theta[:3], hand().theta[:3], atol=0.5)
    assert np.allclose(result.parameters.theta[3:], 0, atol=0.03)
    assert np.allclose(result.parameters.beta, 0, atol=0.03)
