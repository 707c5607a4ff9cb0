"""The tracker on rendered frames, with the shipped weights; where the hand is comes from a stand-in detector."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from engine.filter import SmoothingConfig
from engine.hand.hand import HandModel
from engine.localise.crop import CropWindow, cut
from engine.localise.detector import HandCandidate
from engine.methods.gaussian.weights import load_weights
from engine.rendering.mesh_depth import render_depth
from engine.runners.protocol import Runner
from engine.runners.tensorrt_plan import MAX_BATCH
from engine.runners.torch_runner import TorchRunner
from engine.tracker import Tracker, TrackerConfig, surface_residual
from engine.types import DepthFrame, FloatArray, HandParameters, Intrinsics, Side, TrackingState

CAMERA = Intrinsics(640, 480, 475.0, 475.0, 319.5, 239.5)
BLANK = np.zeros((480, 640), np.uint16)


class KnownPlace:
    """Always proposes one place."""

    def __init__(self, centre_mm: tuple[float, float, float]) -> None:
        self.centre = np.array(centre_mm, np.float32)

    def detect(self, frame: DepthFrame, limit: int = 4) -> list[HandCandidate]:
        return [HandCandidate(self.centre, self.centre, 0.9)] if frame.depth.any() else []


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


@pytest.fixture(scope="module")
def runner() -> Runner:
    return TorchRunner(load_weights())


def parameters(x: float = 0.0, roll: float = 0.1) -> HandParameters:
    theta = np.zeros(26, np.float32)
    theta[:6] = (x, 60, 500, 0.1, 0.15, roll)
    theta[6:].reshape(5, 4)[1:, 0] = 0.2
    return HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 1.0)


def frame(model: HandModel, hand: HandParameters | None, number: int = 0, mirrored: bool = False) -> DepthFrame:
    depth = BLANK
    if hand is not None:
        depth = np.rint(render_depth(model(hand).surface.vertices, model.faces, CAMERA)).astype(np.uint16)
    if mirrored:
        depth = np.ascontiguousarray(depth[:, ::-1])
    return DepthFrame(depth, 1.0, CAMERA, number, number / 60, number / 60)


def make(model: HandModel, runner: Runner, x: float = 0.0, side: Side | None = None) -> Tracker:
    config = TrackerConfig(side=side, smoothing=SmoothingConfig(amount=0.0))
    return Tracker(config, runner, KnownPlace((x, -10.0, 500.0)), model)  # type: ignore[arg-type]


def test_a_rendered_hand_is_found_and_its_model_agrees_with_itself(model: HandModel, runner: Runner) -> None:
    truth = model(parameters()).joints
    result = make(model, runner).track(frame(model, parameters()))
    assert result.state is TrackingState.TRACKING
    assert result.side is Side.RIGHT
    assert result.geometry is not None and result.parameters is not None and result.joint_sigma_mm is not None
    assert np.linalg.norm(result.geometry.joints - truth, axis=1).mean() < 15
    assert result.residual_mm < 6
    assert np.allclose(model(result.parameters).joints, result.geometry.joints)
    assert {"localise", "crop", "encode", "fit", "filter", "model"} <= set(result.stage_ms)


def test_a_left_hand_is_found_on_its_own_side(model: HandModel, runner: Runner) -> None:
    hand = parameters(x=80)
    truth = model(hand).joints * (-1, 1, 1)
    result = make(model, runner, x=-80).track(frame(model, hand, mirrored=True))
    assert result.side is Side.LEFT
    assert result.geometry is not None
    assert np.linalg.norm(result.geometry.joints - truth, axis=1).mean() < 15


def test_a_side_that_is_set_is_kept(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner, side=Side.LEFT)
    assert tracker.track(frame(model, parameters())).side is Side.LEFT


def test_a_moving_hand_is_followed_without_the_detector(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    for number in range(12):
        hand = parameters(x=8.0 * number)
        result = tracker.track(frame(model, hand, number))
        assert result.state is TrackingState.TRACKING
        if number:
            assert "localise" not in result.stage_ms
    assert result.geometry is not None
    assert np.linalg.norm(result.geometry.joints - model(hand).joints, axis=1).mean() < 15


@pytest.mark.parametrize("side", [Side.RIGHT, Side.LEFT])
def test_the_crop_turns_with_the_hand_until_the_forearm_points_down(
    model: HandModel, runner: Runner, side: Side
) -> None:
    left = side is Side.LEFT
    tracker = make(model, runner, side=side)
    for number, roll in enumerate(np.linspace(0.0, 1.2, 7)):
        result = tracker.track(frame(model, parameters(roll=float(roll)), number, mirrored=left))
        assert result.state is TrackingState.TRACKING
    assert result.geometry is not None and result.crop_corners_uv is not None
    # The crop's lower edge lies on the forearm's side, so down in the crop is the way from a knuckle to the wrist.
    corners, joints = result.crop_corners_uv, result.geometry.joints
    down = corners[2:].mean(0) - corners[:2].mean(0)
    forearm = joints[0, :2] - joints[9, :2]
    angle = np.degrees(np.arccos(down @ forearm / np.linalg.norm(down) / np.linalg.norm(forearm)))
    assert angle < 25  # the window is the last frame's, 11 degrees behind, and the forearm's axis is not the knuckle's


def test_a_hand_that_leaves_is_lost_then_searched_then_found_again_at_once(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    shown = frame(model, parameters())
    states: list[TrackingState] = []

    def play() -> Iterator[DepthFrame]:
        for number in range(3):
            yield frame(model, parameters(), number)
        for number in range(3, 9):
            yield frame(model, None, number)
        yield DepthFrame(shown.depth, 1.0, CAMERA, 9, 9 / 60, 9 / 60)

    for image in play():
        result = tracker.track(image)
        states.append(result.state)
        assert (result.geometry is None) == (result.state is not TrackingState.TRACKING)
    assert states[:3] == [TrackingState.TRACKING] * 3
    assert states[3] is TrackingState.LOST
    assert states[8] is TrackingState.SEARCHING
    assert states[9] is TrackingState.TRACKING


def test_the_same_weights_elsewhere_go_on_with_the_shape_and_others_do_not(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    for number in range(3):
        tracker.track(frame(model, parameters(), number))
    known = tracker._filter.shape
    tracker.go_on_with(make(model, TorchRunner(load_weights())))
    assert known is not None and tracker._filter.shape is known
    assert tracker.track(frame(model, parameters(), 3)).state is TrackingState.TRACKING
    other = dataclasses.replace(load_weights(), version="another")
    tracker.go_on_with(make(model, TorchRunner(other)))
    assert tracker._filter.shape is None


def test_a_frame_without_the_hand_does_not_cost_its_shape(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    for number in range(3):
        tracker.track(frame(model, parameters(), number))
    known = tracker._filter.shape
    assert known is not None
    tracker.track(frame(model, None, 3))
    assert tracker._filter.shape is known
    for number in range(4, 9):
        tracker.track(frame(model, None, number))
    assert tracker._filter.shape is None


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_a_fast_hand_is_not_lost_for_being_smoothed(model: HandModel, runner: Runner, smoothing: float) -> None:
    tracker = make(model, runner)
    tracker.set_smoothing(smoothing)
    for number in range(30):
        hand = parameters()
        # To and fro along the camera's axis, at up to 2 m/s: what is smoothed trails by centimetres.
        hand.theta[2] += 130 * np.sin(2 * np.pi * 2.5 * number / 60)
        result = tracker.track(frame(model, hand, number))
        assert result.state is TrackingState.TRACKING
        assert result.residual_mm < 6


def test_a_refused_reading_of_the_other_side_leaves_no_trace(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    for number in range(3):
        tracker.track(frame(model, parameters(), number))
    known = tracker._filter.shape
    assert known is not None
    strict = dataclasses.replace(tracker.config, max_residual_mm=0.0)
    tracker.config = strict
    tracker._state = TrackingState.LOST
    tracker._detector = KnownPlace((0.0, -10.0, 500.0))  # type: ignore[assignment]
    result = tracker.track(frame(model, parameters(), 3, mirrored=True))
    assert result.state is TrackingState.LOST and np.isfinite(result.residual_mm)
    assert tracker._filter.shape is known and tracker._current_side is Side.RIGHT


def test_tracking_is_deterministic(model: HandModel, runner: Runner) -> None:
    frames = [frame(model, parameters(x=4.0 * n), n) for n in range(4)]
    first, second = ([tracker.track(f) for f in frames] for tracker in (make(model, runner), make(model, runner)))
    for a, b in zip(first, second, strict=True):
        assert a.parameters is not None and b.parameters is not None
        assert np.array_equal(a.parameters.theta, b.parameters.theta)


def test_a_hand_taken_for_the_other_one_is_set_right(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner, side=Side.LEFT)
    assert tracker.track(frame(model, parameters(), 0)).side is Side.LEFT
    tracker.side = None
    sides = [tracker.track(frame(model, parameters(), number)).side for number in range(1, 12)]
    assert sides[-1] is Side.RIGHT


def test_a_clock_that_goes_back_starts_the_search_anew(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner)
    shown = frame(model, parameters(), 30)
    tracker.track(shown)
    earlier = tracker.track(frame(model, parameters(), 3))
    assert "localise" in earlier.stage_ms
    assert earlier.state is TrackingState.TRACKING


def test_the_centre_can_be_given(model: HandModel, runner: Runner) -> None:
    tracker = make(model, runner, x=5000)
    result = tracker.track(frame(model, parameters()), crop_centre_mm=np.array([0.0, -10.0, 500.0]))
    assert result.state is TrackingState.TRACKING
    assert "localise" not in result.stage_ms


def test_residual_is_the_distance_between_surfaces(model: HandModel) -> None:
    from engine.localise.crop import cut, look_at

    vertices = model(parameters()).surface.vertices
    window = look_at(vertices.mean(0))
    crop = cut(frame(model, parameters()), window)
    surface, distance = vertices @ window.rotation.T, window.distance
    assert surface_residual(surface, distance, crop) < 1.5
    assert surface_residual(surface + np.array([0, 0, 12], np.float32), distance, crop) == pytest.approx(12, abs=2)
    held = crop.copy()
    held[:, :64] = np.where(held[:, :64] < 1, held[:, :64] - 60 / 150, 1)
    assert surface_residual(surface, distance, held) < 1.5
    assert surface_residual(surface, distance, np.ones_like(crop)) == np.inf
    assert np.isnan(surface_residual(surface + np.array([900, 0, 0], np.float32), distance, crop))


def test_a_runner_that_cuts_crops_itself_is_asked_for_them(model: HandModel) -> None:
    asked: list[int] = []

    class Cutting(TorchRunner):
        def cut(self, frame: DepthFrame, windows: Sequence[CropWindow]) -> FloatArray:
            asked.append(len(windows))
            return np.stack([cut(frame, window) for window in windows])

    tracker = make(model, Cutting(load_weights()))
    assert tracker.track(frame(model, parameters())).state is TrackingState.TRACKING
    assert asked and max(asked) <= MAX_BATCH
