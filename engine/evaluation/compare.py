"""Predicted joints beside true ones, from files: the figures and the curve that papers print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.evaluation.joint_files import (
    NYU_SECOND_SUBJECT,
    NYU_TEST_FRAMES,
    TRACKED_KEY,
    DataSet,
    JointFile,
    find_predictions,
    find_truth,
    load_joints,
)
from engine.types import JOINT_COUNT, JOINT_NAMES, FloatArray, Intrinsics, LumbricalError

#: Where the curve of frames whose worst joint is within a distance is sampled, mm.
THRESHOLDS_MM = np.arange(81.0)
#: How missing predictions and labels count, in words, printed with every report.
MISSING_NOTE = (
    "means and medians run over predicted frames and labelled joints; fractions of frames count frames that were not "
    "predicted as misses"
)


def compare(
    predictions: Sequence[str],
    ground_truth: str,
    intrinsics: Intrinsics | None = None,
    second_subject: int | None = None,
) -> dict[str, Any]:
    """Measure the arrays that FILE[:KEY] texts name against one ground truth: plain numbers, None for the unknown.

    predictions, ground_truth: see `find_predictions` and `find_truth`. intrinsics: the camera of arrays in u, v, d.
    second_subject: first frame of another person, for F1 of bone lengths clustered by k-means; the NYU test set's is
    known. Returns ground_truth (file, read_as, frames, frames_labelled, joints, bone_length_f1), thresholds_mm,
    second_subject, missing, and per name under predictions: file, read_as, frames, frames_predicted,
    mean_ and median_joint_error_mm, per_joint_error_mm, fraction_within (one value a threshold), bone_length_f1.
    Raises LumbricalError for files that cannot be read or compared.
    """
    true_file = find_truth(ground_truth)
    files = [file for text in predictions for file in find_predictions(text, true_file)]
    data_set = DataSet.of(true_file, intrinsics)
    _check_files(files, true_file, data_set, intrinsics)
    truth = load_joints(true_file, data_set)
    subjects = _subjects(true_file, truth, data_set, second_subject)
    report: dict[str, Any] = {
        "ground_truth": _about(true_file, data_set)
        | {
            "frames": len(truth),
            "frames_labelled": int(np.logical_not(np.isnan(truth).any(-1)).any(1).sum()),
            "joints": truth.shape[1],
            "bone_length_f1": _bone_length_f1(truth, subjects),
        },
        "thresholds_mm": THRESHOLDS_MM.tolist(),
        "second_subject": None if subjects is None else int(subjects.argmax()),
        "missing": MISSING_NOTE,
        "predictions": {},
    }
    for name, file in zip(_names(files), files, strict=True):
        predicted = load_joints(file, data_set)
        _check_fit(file, predicted, true_file, truth)
        figures = summarise(predicted, truth) | {"bone_length_f1": _bone_length_f1(predicted, subjects)}
        report["predictions"][name] = _about(file, data_set) | figures
    return report


def summarise(predicted: FloatArray, truth: FloatArray) -> dict[str, Any]:
    """The figures of one method's joints (N, J, 3) mm, NaN where it gave none, against labels of the same shape."""
    errors = metrics.joint_errors(predicted, truth)
    fractions = metrics.fraction_within(metrics.worst_joint_errors(predicted, truth), THRESHOLDS_MM)
    count = truth.shape[1]
    names = JOINT_NAMES if count == JOINT_COUNT else tuple(map(str, range(count)))
    return {
        "frames": len(truth),
        "frames_predicted": int((~np.isnan(predicted).any((1, 2))).sum()),
        "mean_joint_error_mm": metrics.mean_or_none(errors),
        "median_joint_error_mm": metrics.median_or_none(errors),
        "per_joint_error_mm": dict(zip(names, metrics.per_joint_means(errors), strict=True)),
        "fraction_within": fractions.tolist(),
    }


def _check_files(
    files: Sequence[JointFile], truth: JointFile, data_set: DataSet, intrinsics: Intrinsics | None
) -> None:
    """What can be told from names alone, before anything is loaded."""
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise LumbricalError(f"{twice} is given twice")
    cameras = [data_set.camera_of(file) for file in (truth, *files)]
    if intrinsics is not None and not any(cameras):
        raise LumbricalError(
            "--intrinsics is for joints in u, v, d, and these are in mm by their names: see docs/results.md"
        )


def _check_fit(file: JointFile, predicted: FloatArray, true_file: JointFile, truth: FloatArray) -> None:
    for axis, what in enumerate(("frames", "joints")):
        if predicted.shape[axis] != truth.shape[axis]:
            raise LumbricalError(
                f"{file} has {predicted.shape[axis]} {what}, the ground truth {true_file} has {truth.shape[axis]}: "
                f"both must hold the same {what} in the same order"
            )
    unknown = np.isnan(predicted).any(-1)
    torn = np.logical_and(np.any(unknown, axis=1), ~np.all(unknown, axis=1))
    if torn.any():
        raise LumbricalError(
            f"{file} has NaN in some joints of frame {int(torn.argmax())}: a predicted frame is whole, or all NaN "
            "where nothing was predicted"
        )


def _subjects(
    file: JointFile, truth: FloatArray, data_set: DataSet, second_subject: int | None
) -> NDArray[np.intp] | None:
    """(N,) 0 or 1, the person of each frame, or None where that or the bones are not known."""
    has_bones = truth.shape[1] == JOINT_COUNT
    if second_subject is None:
        if not (has_bones and data_set.is_nyu and len(truth) == NYU_TEST_FRAMES):
            return None
        second_subject = NYU_SECOND_SUBJECT
    if not has_bones:
        raise LumbricalError(
            f"{file} has {truth.shape[1]} joints: --second-subject needs the {JOINT_COUNT} whose bones are known"
        )
    if not 0 < second_subject < len(truth):
        raise LumbricalError(f"--second-subject {second_subject} must lie within frames 1 to {len(truth) - 1}")
    return (np.arange(len(truth)) >= second_subject).astype(np.intp)


def _bone_length_f1(joints: FloatArray, subjects: NDArray[np.intp] | None) -> list[float] | None:
    """F1 of each subject; None where a subject has no frame with all of its joints."""
    if subjects is None:
        return None
    whole = ~np.isnan(joints).any((1, 2))
    if len(np.unique(subjects[whole])) < 2:
        return None
    return [float(score) for score in metrics.subject_f1(metrics.bone_lengths(joints[whole]), subjects[whole])]


def _names(files: Sequence[JointFile]) -> list[str]:
    """What each is called in a table: its array, with its file's name or path before it where that is not enough."""
    for names in (
        [file.path.stem if file.key in (None, TRACKED_KEY) else file.key for file in files],
        [f"{file.path.stem}:{file.name}" for file in files],
    ):
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]


def _about(file: JointFile, data_set: DataSet) -> dict[str, Any]:
    camera = data_set.camera_of(file)
    if camera is None:
        return {"file": str(file), "read_as": "mm"}
    numbers = f"fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g}"
    return {"file": str(file), "read_as": f"u, v, d of a camera with {numbers}"}
