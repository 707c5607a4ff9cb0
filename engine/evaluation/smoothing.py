"""How steady the tracked hand is while the true one is still, and how late while it moves, by amount of smoothing.

Rendered recordings (engine.evaluation.moving_hand) are tracked once, unsmoothed; the filter alone then runs over what
was tracked, once for each amount. That gives what the tracker would, as nothing it smooths goes back into where it
looks or what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.evaluation.moving_hand import (
    CAMERA_FAMILIES,
    FPS,
    NOISE_STRENGTH,
    Scene,
    frames,
    moving_scenes,
    still_scenes,
    true_joints,
)
from engine.filter import PoseFilter, SmoothingConfig, shape_certainty
from engine.hand.hand import HandModel
from engine.tracker import Tracker, TrackerConfig
from engine.types import HandParameters, LumbricalError, Side, TrackingState

Array = NDArray[np.float64]

AMOUNTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: A tracker so set gives each frame's own pose and shape: a half-life this short forgets every frame before.
UNSMOOTHED = TrackerConfig(side=Side.RIGHT, smoothing=SmoothingConfig(amount=0.0, shape_seconds=1e-6))
#: Left out at the beginning of a motion, seconds: the filter has seen nothing yet.
_SETTLING_S = 0.5
_LATEST_S, _EARLIEST_S, _STEP_S = 0.2, -0.05, 0.001
#: Under this share of the frames tracked, there is nothing to measure.
_ENOUGH = 0.5


@dataclass(frozen=True)
class Sighting:
    """What was tracked of one frame by itself. certainty: how much its shape counts (engine.filter.shape_certainty)."""

    time_s: float
    parameters: HandParameters
    certainty: float


@dataclass(frozen=True)
class Tracked:
    """One recording: what was tracked of each frame, None where nothing was."""

    scene: Scene
    sightings: list[Sighting | None]


def track(scene: Scene, tracker: Tracker, seconds: float, on_frame: Callable[[], None] = lambda: None) -> Tracked:
    """Render and track a recording. tracker: one configured as UNSMOOTHED says."""
    tracker.reset()
    sightings: list[Sighting | None] = []
    for frame in frames(scene, tracker.model, seconds):
        result = tracker.track(frame)
        if result.state is TrackingState.TRACKING and result.parameters is not None:
            assert result.joint_sigma_mm is not None
            certainty = shape_certainty(result.parameters, result.joint_sigma_mm)
            sightings.append(Sighting(frame.device_time_s, result.parameters, certainty))
        else:
            sightings.append(None)
        on_frame()
    return Tracked(scene, sightings)


def smoothed(tracked: Tracked, config: SmoothingConfig, model: HandModel) -> tuple[Array, Array]:
    """Times (N,) s of the frames that were tracked and the joints (N, 21, 3) mm that the filter leaves of them."""
    pose_filter = PoseFilter(config)
    times, hands = [], []
    for sighting in tracked.sightings:
        if sighting is None:
            pose_filter.forget_pose()
            continue
        times.append(sighting.time_s)
        hands.append(pose_filter.update(sighting.parameters, sighting.time_s, sighting.certainty))
    if len(hands) < _ENOUGH * len(tracked.sightings):
        raise LumbricalError(
            f"{tracked.scene.name}: only {len(hands)} of {len(tracked.sightings)} frames were tracked, nothing to"
            " measure: try other weights"
        )
    theta, beta = (torch.from_numpy(np.stack([getattr(hand, name) for hand in hands])) for name in ("theta", "beta"))
    with torch.inference_mode():
        return np.array(times), model.skeleton(theta, beta).joints.double().numpy()


def joint_deviations(joints: Array) -> Array:
    """Standard deviation of each joint's place around its mean, (21,) mm, over the frames of (N, 21, 3) mm."""
    return np.sqrt(joints.var(0).sum(-1))


def lag_s(times: Array, joints: Array, truth: Callable[[Array], Array]) -> float:
    """The shift in time that best aligns joints (N, 21, 3) mm at times (N,) with truth(times), in seconds.

    Least squares over all joints, in which those that move most weigh most; a constant offset of a joint is no lag.
    Between the steps tried, a parabola tells the minimum. Infinite where the best is at either end.
    """
    shifts = np.arange(_EARLIEST_S, _LATEST_S, _STEP_S)
    dense = np.arange(times[0] - _LATEST_S - _STEP_S, times[-1] - _EARLIEST_S + 0.01, 1 / 480)
    path = truth(dense).reshape(len(dense), -1)
    place = (times[None] - shifts[:, None] - dense[0]) * 480
    index = place.astype(int)
    costs = np.empty(len(shifts))
    for k, (before, part) in enumerate(zip(index, place - index, strict=True)):
        moved = path[before] + part[:, None] * (path[before + 1] - path[before])
        costs[k] = (joints.reshape(len(times), -1) - moved).var(0).sum()
    best = int(costs.argmin())
    if best in (0, len(shifts) - 1):
        return float("inf")
    left, middle, right = costs[best - 1 : best + 2]
    return float(shifts[best] + _STEP_S * 0.5 * (left - right) / (left - 2 * middle + right))


def measure_still(tracked: Iterable[Tracked], config: SmoothingConfig, model: HandModel) -> list[dict[str, Any]]:
    """Jitter of each hand held still."""
    rows = []
    for recording in tracked:
        times, joints = smoothed(recording, config, model)
        deviations = joint_deviations(joints)
        rows.append(_named(recording, len(times)) | {"mean_mm": deviations.mean(), "worst_joint_mm": deviations.max()})
    return rows


def measure_moving(tracked: Iterable[Tracked], config: SmoothingConfig, model: HandModel) -> list[dict[str, Any]]:
    """Lag of each moving hand, and how far its joints are from the truth of the same moment."""
    rows = []
    for recording in tracked:
        times, joints = smoothed(recording, config, model)
        late = times >= times[0] + _SETTLING_S
        times, joints = times[late], joints[late]

        def truth(at: Array, scene: Scene = recording.scene) -> Array:
            return true_joints(scene, model, at)

        error = np.linalg.norm(joints - truth(times), axis=-1).mean()
        rows.append(_named(recording, len(times)) | {"lag_ms": 1000 * lag_s(times, joints, truth), "error_mm": error})
    return rows


def _named(recording: Tracked, frame_count: int) -> dict[str, Any]:
    scene = recording.scene
    return {"name": scene.name, "camera": CAMERA_FAMILIES[scene.family], "frames": frame_count}
