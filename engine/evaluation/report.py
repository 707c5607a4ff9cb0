"""What an evaluation says: plain numbers that can be printed as JSON, None for what could not be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine import metrics
from engine.evaluation.measure import Evaluator, FrameTracker, Measured, Recording
from engine.types import JOINT_NAMES, FloatArray

WORST_JOINT_LIMIT_MM = 20.0
PALM_LIMIT_MM = 45.0
#: The labels that something is measured by; the files, .npy, are named alike.
LABEL_FILES = ("joints_mm", "palm_uv", "joints_uv_2d")
#: How frames without a result count, in words, printed with every report.
UNTRACKED_NOTE = (
    "means and medians run over tracked frames; within_20mm and palm_within_45mm count untracked frames as misses"
)


def summarise(measured: Measured) -> dict[str, Any]:
    """The figures of a set of frames; every length in mm unless its name says otherwise, None where nothing is known.

    mean_, median_joint_error_mm, finger_joint_error_mm (without the wrist), procrustes_error_mm (after rotation,
    translation and scale of each frame) and per_joint_error_mm are of joints mapped into the labels' convention,
    unmapped_joint_error_mm of the project's own. within_20mm: fraction of labelled frames whose worst joint is inside.
    """
    errors = metrics.joint_errors(measured.mapped, measured.truth)
    worst = metrics.worst_joint_errors(measured.mapped, measured.truth)
    palm = measured.palm_error[~np.isnan(measured.palm_error)]
    return {
        "frames": len(measured.tracked),
        "frames_tracked": int(measured.tracked.sum()),
        "mean_joint_error_mm": metrics.mean_or_none(errors),
        "median_joint_error_mm": metrics.median_or_none(errors),
        "finger_joint_error_mm": metrics.finger_joint_error(errors),
        "procrustes_error_mm": metrics.mean_or_none(metrics.procrustes_errors(measured.mapped, measured.truth)),
        "unmapped_joint_error_mm": metrics.mean_or_none(metrics.joint_errors(measured.anatomical, measured.truth)),
        "within_20mm": _number(metrics.fraction_within(worst, WORST_JOINT_LIMIT_MM)),
        "mdpc_median_mm": metrics.median_or_none(measured.cloud_distance),
        "depth_residual_median_mm": metrics.median_or_none(measured.residual),
        "unoccluded_residual_median_mm": metrics.median_or_none(measured.unoccluded_residual),
        "palm_error_median_mm": metrics.median_or_none(palm[np.isfinite(palm)]),
        "palm_within_45mm": float((palm <= PALM_LIMIT_MM).mean()) if palm.size else None,
        "uv_error_median_px": metrics.median_or_none(measured.uv_error),
        "per_joint_error_mm": dict(zip(JOINT_NAMES, metrics.per_joint_means(errors), strict=True)),
    }


def evaluate(
    recordings: Sequence[Recording],
    tracker: FrameTracker,
    gt_crop: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], Measured]:
    """Track and measure recordings (at least one): the report, and the frames behind it.

    The report holds `summarise` of all frames of all recordings, and of each under sequences[name].
    """
    evaluator = Evaluator(tracker, gt_crop)
    parts = [evaluator.measure(recording, on_frame) for recording in recordings]
    together = Measured.concatenate(parts)
    sequences = {
        recording.name: summarise(part) | _about(recording) for recording, part in zip(recordings, parts, strict=True)
    }
    report = summarise(together)
    report["joint_convention"] = _shared([s["joint_convention"] for s in sequences.values()])
    report["images"] = _shared([s["images"] for s in sequences.values()]) or "rendered and real"
    report |= {"gt_crop": gt_crop, "untracked_frames": UNTRACKED_NOTE, "sequences": sequences}
    return report, together


def _about(recording: Recording) -> dict[str, Any]:
    labels = recording.labels
    note = labels.info.extra.get("labels")
    return {
        "joint_convention": recording.convention if labels.joints_mm is not None else None,
        "images": "rendered" if recording.rendered else "real",
        "labels": note if isinstance(note, str) else None,
        "label_files": [name for name in LABEL_FILES if _knows(getattr(labels, name))],
        "side_given": None if labels.info.side is None else labels.info.side.value,
    }


def _knows(values: FloatArray | None) -> bool:
    """Whether there is a label at all."""
    return values is not None and bool(np.isfinite(values).any())


def _shared(values: Sequence[str | None]) -> str | None:
    """The one value that all share, None when they differ."""
    return values[0] if len(set(values)) == 1 else None


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
