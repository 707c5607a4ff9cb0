"""How steady the tracked hand is while the true one is still, and how late while it moves, by amount of smoothing.

Rendered recordings (engine.evaluation.moving_hand) are tracked once, unsmoothed; the filter alone then runs over what
was tracked, once for each amount. That gives what the tracker would, as nothing it smooths goes back into where it
looks or what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
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
    true_joints,
)
from engine.filter import PoseFilter, SmoothingConfig, shape_certainty
from engine.hand.hand import HandModel
from engine.tracker import Tracker, TrackerConfig
from engine.types import HandParameters, LumbricalError, Side, TrackingState

Array = NDArray[np.float64]

AMOUNTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: A tracker so set gives each frame's own pose, of the averaged shape.
UNSMOOTHED = TrackerConfig(side=Side.RIGHT, smoothing=SmoothingConfig(amount=0.0))
#: A half-life so short that every frame before is forgotten: shape is averaged by then.
_AVERAGED_ALREADY_S = 1e-6
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
    pose_filter = PoseFilter(replace(config, shape_seconds=_AVERAGED_ALREADY_S))
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
    Between the steps tried, a parabola tells the minimum. Raises LumbricalError where the best is at either end.
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
        raise LumbricalError(
            f"the tracked motion is not the true one at any lag from {1000 * _EARLIEST_S:g} to {1000 * _LATEST_S:g} ms:"
            " the tracker follows something else, try other weights"
        )
    left, middle, right = costs[best - 1 : best + 2]
    return float(shifts[best] + _STEP_S * 0.5 * (left - right) / (left - 2 * middle + right))


@dataclass(frozen=True)
class Recordings:
    """What was tracked of hands held still and of moving ones; weights_version: by which encoder."""

    still: list[Tracked]
    moving: list[Tracked]
    weights_version: str


def jitter_rows(recordings: Recordings, config: SmoothingConfig, model: HandModel) -> list[dict[str, Any]]:
    """Standard deviation of the joints of each hand held still, mm: mean over the joints, and of the worst."""
    rows = []
    for recording in recordings.still:
        deviations = joint_deviations(smoothed(recording, config, model)[1])
        rows.append({"mean_mm": float(deviations.mean()), "worst_joint_mm": float(deviations.max())})
    return rows


def lag_rows(recordings: Recordings, config: SmoothingConfig, model: HandModel) -> list[dict[str, Any]]:
    """How late each moving hand is, ms, and how far its joints are from the truth of the same moment, mm."""
    rows = []
    for recording in recordings.moving:
        times, joints = smoothed(recording, config, model)
        settled = times >= times[0] + _SETTLING_S
        times, joints = times[settled], joints[settled]

        def truth(at: Array, scene: Scene = recording.scene) -> Array:
            return true_joints(scene, model, at)

        error = np.linalg.norm(joints - truth(times), axis=-1).mean()
        rows.append({"lag_ms": 1000 * lag_s(times, joints, truth), "error_mm": float(error)})
    return rows


def smoothing_report(recordings: Recordings, model: HandModel) -> dict[str, Any]:
    """Jitter and lag, all lengths in mm and times in ms.

    "still" and "moving" have a row for each recording: as read from each frame by itself, and smoothed by default.
    "amounts" has one for each of AMOUNTS, and for the default where it is none of them: jitter of the pose that has
    most of it, the lag of the first motion and the longest of all that are FAST.
    """
    default = SmoothingConfig()
    amounts = []
    for amount in sorted({*AMOUNTS, default.amount}):
        still, moving = (rows(recordings, SmoothingConfig(amount), model) for rows in (jitter_rows, lag_rows))
        fast = [row["lag_ms"] for row, of in zip(moving, recordings.moving, strict=True) if of.scene.fast]
        amounts.append(
            {
                "amount": amount,
                "jitter_mm": max(row["mean_mm"] for row in still),
                "worst_joint_mm": max(row["worst_joint_mm"] for row in still),
                "lag_ms": moving[0]["lag_ms"],
                "longest_lag_ms": max(fast),
            }
        )
    return {
        "images": "rendered",
        "weights": recordings.weights_version,
        "frames_per_s": FPS,
        "noise_strength": NOISE_STRENGTH,
        "default_amount": default.amount,
        "still": _beside(recordings.still, jitter_rows, recordings, model),
        "moving": _beside(recordings.moving, lag_rows, recordings, model),
        "amounts": amounts,
    }


def _beside(
    tracked: list[Tracked],
    rows: Callable[[Recordings, SmoothingConfig, HandModel], list[dict[str, Any]]],
    recordings: Recordings,
    model: HandModel,
) -> list[dict[str, Any]]:
    raw, default = (rows(recordings, config, model) for config in (UNSMOOTHED.smoothing, SmoothingConfig()))
    return [
        {
            "name": recording.scene.name,
            "camera": CAMERA_FAMILIES[recording.scene.family],
            "frames": len(recording.sightings),
            "frames_tracked": sum(sighting is not None for sighting in recording.sightings),
            "as_read": one,
            "smoothed": other,
        }
        for recording, one, other in zip(tracked, raw, default, strict=True)
    ]
