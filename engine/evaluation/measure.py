"""Track labelled sequence folders as a user would and put every frame beside its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine import metrics
from engine.evaluation.takes import open_frames, read_labels
from engine.geometry.camera import depth_to_points, project
from engine.hand.conventions import ANATOMICAL, check_convention, map_joints
from engine.hand.skeleton import Skeleton
from engine.rendering.mesh_depth import render_depth
from engine.sensors.labels import SequenceLabels
from engine.sensors.protocol import BadRecording
from engine.tracker import HIDDEN_MM
from engine.types import (
    JOINT_COUNT,
    DepthFrame,
    FloatArray,
    Intrinsics,
    LumbricalError,
    Side,
    TrackingResult,
    TrackingState,
)

Array = NDArray[np.float64]

#: The joints whose mean is the palm's centre: wrist and the four fingers' knuckles.
PALM_JOINTS = (0, 5, 9, 13, 17)


class FrameTracker(Protocol):
    """What is measured: engine.tracker.Tracker, or a test's own. side: the hand to look for, None for either; faces:
    (F, 3) triangles of the mesh in its results."""

    side: Side | None
    faces: NDArray[np.int32]

    def track(self, frame: DepthFrame, crop_centre_mm: FloatArray | None = None) -> TrackingResult: ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Measured:
    """N frames beside their labels; NaN where there is no label or, in the first four of the arrays, no prediction.

    tracked: (N,) bool. mapped, anatomical: (N, 21, 3) mm, predicted joints in the labels' convention and in ours.
    cloud_distance: (N, 21) mm (MDPC). residual: (N,) mm, |depth - rendered mesh|; unoccluded_residual: (N,) mm, where
    nothing was measured well before the mesh. truth: (N, 21, 3) mm.
    palm_error: (N,) mm, infinite where a labelled frame was not tracked. uv_error:
    (N, 21) pixels, of 2D labels that stand alone.
    """

    tracked: NDArray[np.bool_]
    mapped: Array
    anatomical: Array
    cloud_distance: Array
    residual: Array
    unoccluded_residual: Array
    truth: Array
    palm_error: Array
    uv_error: Array

    @staticmethod
    def empty(frames: int) -> Measured:
        """That many frames of which nothing is known."""

        def unknown(*shape: int) -> Array:
            return np.full((frames, *shape), np.nan)

        tracked = np.zeros(frames, bool)
        joints = (JOINT_COUNT, 3)
        return Measured(
            tracked, unknown(*joints), unknown(*joints), unknown(JOINT_COUNT), unknown(), unknown(), unknown(*joints),
            unknown(), unknown(JOINT_COUNT),
        )  # fmt: skip

    @staticmethod
    def concatenate(parts: Sequence[Measured]) -> Measured:
        """All frames of all parts, in their order."""
        return Measured(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Measured)))

    def select(self, frames: NDArray[np.bool_]) -> Measured:
        """The frames (N,) that are True."""
        return Measured(*(getattr(self, f.name)[frames] for f in fields(Measured)))


@dataclass(frozen=True)
class Recording:
    """A sequence folder that was looked over and can be evaluated."""

    name: str
    labels: SequenceLabels
    rendered: bool

    @property
    def convention(self) -> str:
        """The convention its 3D labels are in; the project's own where none is named."""
        return self.labels.joint_convention or ANATOMICAL

    @property
    def frame_count(self) -> int:
        return self.labels.info.frame_count


def open_recordings(folders: Sequence[Path], gt_crop: bool = False) -> list[Recording]:
    """Check all folders before any is tracked, so that a bad one is told in the first second.

    Raises LumbricalError (BadRecording) for a missing path, a folder that is no sequence, damaged labels, an unknown
    joint convention, or gt_crop without 3D labels.
    """
    recordings: list[Recording] = []
    for folder in folders:
        if not folder.exists():
            raise BadRecording(f"{folder} does not exist: give sequence folders, each with a sequence.json")
        labels = read_labels(folder)
        if labels.joints_mm is not None:
            check_convention(labels.joint_convention or ANATOMICAL)
            if gt_crop and (_crop_centres(labels.joints_mm)[:, 2] <= 0).any():
                raise BadRecording(f"{folder}: joints_mm.npy has hands behind the camera, z must be forward in mm")
        elif gt_crop:
            raise LumbricalError(f"{folder} has no joints_mm.npy, so that --gt-crop has no centre: leave it out")
        if any(recording.labels.folder.samefile(folder) for recording in recordings):
            raise LumbricalError(f"{folder} is given twice: its frames would count twice")
        name = folder.resolve().name
        if any(recording.name == name for recording in recordings):
            name = str(folder)
        recordings.append(Recording(name, labels, _is_rendered(labels)))
    return recordings


def _is_rendered(labels: SequenceLabels) -> bool:
    """Rendered data says so in sequence.json, by "rendered": true or in the sensor's name."""
    words = str(labels.info.extra.get("sensor", "")).lower()
    return labels.info.extra.get("rendered") is True or "rendered" in words or "synthetic" in words


class Evaluator:
    """Runs one tracker over recordings. Deterministic as far as the tracker is."""

    def __init__(self, tracker: FrameTracker, gt_crop: bool = False) -> None:
        """gt_crop: centre the crop on the mean of the frame's 3D labels instead of looking for the hand."""
        self._tracker = tracker
        self._gt_crop = gt_crop
        self._skeleton = Skeleton()

    def measure(self, recording: Recording, on_frame: Callable[[], None] = lambda: None) -> Measured:
        """Track every frame of a recording; on_frame is called after each.

        The tracker starts anew with each recording and, where frames are independent of each other (fps 0), with each
        frame. With gt_crop, frames without 3D labels are left out of what is returned.
        """
        info, truth = recording.labels.info, recording.labels.joints_mm
        measured = Measured.empty(info.frame_count)
        if truth is not None:
            measured.truth[:] = truth
        centres = _crop_centres(measured.truth) if self._gt_crop else None
        self._tracker.side = info.side
        self._tracker.reset()
        with open_frames(recording.labels.folder) as sensor:
            for index in range(info.frame_count):
                if info.fps == 0:
                    self._tracker.reset()
                frame = sensor.read()
                if frame is None:
                    raise BadRecording(f"{recording.name}: frame {index} could not be read")
                self._measure_frame(recording, measured, index, frame, centres)
                on_frame()
        return measured if centres is None else measured.select(np.isfinite(centres[:, 0]))

    def _measure_frame(
        self, recording: Recording, measured: Measured, index: int, frame: DepthFrame, centres: Array | None
    ) -> None:
        if centres is None:
            result = self._tracker.track(frame)
        elif np.isnan(centres[index]).any():
            return
        else:
            result = self._tracker.track(frame, crop_centre_mm=centres[index].astype(np.float32))
        joints: Array | None = None
        if result.state is TrackingState.TRACKING and result.geometry is not None:
            joints = np.asarray(result.geometry.joints, np.float64)
            measured.tracked[index] = True
            measured.anatomical[index] = joints
            measured.mapped[index] = joints + self._shift(recording.convention, result)
            measured.residual[index], measured.unoccluded_residual[index] = self._surface_residuals(result)
            cloud = depth_to_points(frame.depth_mm(), frame.intrinsics)[frame.depth > 0]
            measured.cloud_distance[index] = metrics.point_cloud_distances(joints, cloud)
        self._measure_2d(recording.labels, measured, index, joints, frame.intrinsics)

    def _surface_residuals(self, result: TrackingResult) -> tuple[float, float]:
        """Median |observed - rendered mesh| in mm over the pixels that the mesh covers and the camera measured, and
        over those of them where nothing, as an object held, was measured more than HIDDEN_MM before the mesh."""
        assert result.geometry is not None
        rendered = render_depth(result.geometry.surface.vertices, self._tracker.faces, result.frame.intrinsics)
        observed = result.frame.depth_mm()
        behind = (rendered - observed)[(rendered > 0) & (observed > 0)]
        unoccluded = behind[behind < HIDDEN_MM]
        return _median_size(behind), _median_size(unoccluded)

    def _shift(self, convention: str, result: TrackingResult) -> Array:
        """(21, 3) mm from our joints to the convention's, camera frame, on the hand's own side."""
        parameters = result.parameters
        if convention == ANATOMICAL or parameters is None:
            return np.zeros((JOINT_COUNT, 3))
        with torch.inference_mode():
            pose = self._skeleton(torch.from_numpy(parameters.theta)[None], torch.from_numpy(parameters.beta)[None])
        joints, rotations, lengths = (t[0].numpy() for t in (pose.joints, pose.rotations, pose.bone_lengths))
        shift = map_joints(convention, joints, rotations, lengths) - joints
        return shift * (-1.0, 1.0, 1.0) if result.side is Side.LEFT else shift

    def _measure_2d(
        self, labels: SequenceLabels, measured: Measured, index: int, joints: Array | None, camera: Intrinsics
    ) -> None:
        if labels.palm_uv is not None and not np.isnan(labels.palm_uv[index]).any():
            measured.palm_error[index] = _palm_error_mm(joints, labels.palm_uv[index], camera)
        if labels.joints_uv_2d is not None and labels.joints_mm is None and joints is not None:
            pixels = project(joints, camera)
            measured.uv_error[index] = np.linalg.norm(pixels - labels.joints_uv_2d[index], axis=-1)


def _median_size(values: FloatArray) -> float:
    """Median absolute value, NaN of nothing."""
    return float(np.median(np.abs(values))) if len(values) else float("nan")


def _crop_centres(truth: FloatArray) -> Array:
    """(N, 3) mean of each frame's labelled joints, NaN where a frame has none."""
    known = ~np.isnan(truth).any(-1, keepdims=True)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, truth, 0).sum(1) / np.maximum(count, 1), np.nan)


def _palm_error_mm(joints: Array | None, label_uv: FloatArray, camera: Intrinsics) -> float:
    """Pixels from the projected palm centre to its label, times the predicted centre's depth over fx: mm."""
    if joints is None:
        return np.inf
    centre = joints[list(PALM_JOINTS)].mean(0)
    pixels = float(np.linalg.norm(project(centre, camera) - label_uv))
    return pixels * float(centre[2]) / camera.fx
