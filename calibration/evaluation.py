"""How right calibrations are: rendered people of another surface and camera than training's, whose bones are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import NINETY, bone_lengths
from calibration.frames import Build, CalibrationFrame
from calibration.session import CalibrationSession
from calibration.solver import ShapeSolver
from calibration.tracking import personal_hand
from engine import metrics
from engine.evaluation.rendered import frames_of, read_frame
from engine.evaluation.second_hand import person, render_person
from engine.fitting.fitter import HandFitter
from engine.fitting.state import KnownShape
from engine.hand.hand import HandModel
from engine.reading import Reading
from engine.runners.protocol import Runner
from engine.tracker import surface_residual
from engine.types import FloatArray

Array = NDArray[np.float64]

#: People of these seeds are looked at while constants are set; those of a report are others.
DEVELOPMENT_SEEDS = range(100, 112)
REPORT_SEED = 200
_POSE_FRAMES = 100
_SEED = 7000


@dataclass(frozen=True)
class Person:
    """Figures of one rendered person. Errors (20,) mm of bones: of the mean hand, of the mean of single frames' fits
    and of a session; sd_mm (20,) is the session's. pose_free_mm, pose_held_mm: mean joint error on further frames,
    without and with the session's profile. before_mm, after_mm: see Outcome. seconds: of the session."""

    mean_hand: Array
    per_frame: Array
    session: Array
    sd_mm: Array
    pose_free_mm: float
    pose_held_mm: float
    before_mm: float
    after_mm: float
    seconds: float


def measure_person(
    seed: int,
    frames: int,
    runner: Runner,
    on_frame: Callable[[], None] = lambda: None,
) -> Person:
    """Render `frames` frames of one person, hold a session on them and compare it with the truth."""
    solver, fitter = ShapeSolver(), HandFitter(HandModel().template)
    truth = Build.mean().vector
    truth[:20] = person(seed).beta.numpy()
    true_lengths = bone_lengths(Build.of(truth), solver.kinematics)
    readings, _ = _rendered(seed, frames, runner, _SEED + seed, on_frame)
    fits = [reading.fit(fitter) for reading in readings]
    session, start_s = CalibrationSession(solver), time.perf_counter()
    for number, (reading, fit) in enumerate(zip(readings, fits, strict=True)):
        residual = surface_residual(fit.surface, reading.window.distance, reading.crop)
        session.offer(CalibrationFrame.of(reading, number), residual)
    outcome = session.solve()
    seconds = time.perf_counter() - start_s
    others, joints = _rendered(seed, _POSE_FRAMES, runner, 2 * _SEED + seed, on_frame)
    model, shape = personal_hand(outcome.estimate.build)
    held = HandFitter(model.template).knowing_shape()
    average = solver.kinematics.mean + solver.kinematics.basis @ np.mean([f.parameters.beta for f in fits], 0)
    return Person(
        solver.kinematics.mean - true_lengths,
        average - true_lengths,
        outcome.estimate.lengths_mm - true_lengths,
        outcome.estimate.sd_mm,
        _joint_error(others, joints, fitter, None),
        _joint_error(others, joints, held, shape),
        outcome.before_mm,
        outcome.after_mm,
        seconds,
    )


def summary(people: list[Person]) -> dict[str, Any]:
    """The figures of all people together, plain numbers in mm."""
    errors, sd = (np.stack([getattr(p, name) for p in people]) for name in ("session", "sd_mm"))
    within = np.abs(errors) <= NINETY * sd
    free, held = (float(np.mean([getattr(p, name) for p in people])) for name in ("pose_free_mm", "pose_held_mm"))
    return {
        "people": len(people),
        "mean_hand_bone_error_mm": float(np.abs([p.mean_hand for p in people]).mean()),
        "per_frame_fits_bone_error_mm": float(np.abs([p.per_frame for p in people]).mean()),
        "session_bone_error_mm": float(np.abs(errors).mean()),
        "worst_person_mm": float(np.abs(errors).mean(1).max()),
        "in_90_percent_interval": float(within.mean()),
        "per_bone": {
            "error_mm": np.abs(errors).mean(0).tolist(),
            "bias_mm": errors.mean(0).tolist(),
            "sd_mm": sd.mean(0).tolist(),
            "in_90_percent_interval": within.mean(0).tolist(),
        },
        "joint_error_free_mm": free,
        "joint_error_with_profile_mm": held,
        "residual_before_mm": float(np.mean([p.before_mm for p in people])),
        "residual_after_mm": float(np.mean([p.after_mm for p in people])),
        "longest_session_s": max(p.seconds for p in people),
    }


def _rendered(
    seed: int, count: int, runner: Runner, render_seed: int, on_frame: Callable[[], None]
) -> tuple[list[Reading], Array]:
    """Readings of `count` frames of one person, and their true joints (count, 21, 3) mm in the camera's frame."""
    batch = render_person(person(seed), count, render_seed)
    readings = []
    for frame, distance in zip(frames_of(batch), batch.distance.tolist(), strict=True):
        readings.append(read_frame(runner, frame, distance))
        on_frame()
    ahead = batch.distance.numpy()[:, None, None] * np.array([0.0, 0.0, 1.0])
    return readings, batch.joints.numpy() + ahead


def _joint_error(readings: list[Reading], joints: FloatArray, fitter: HandFitter, shape: KnownShape | None) -> float:
    """Mean over frames and joints, mm, of single frames' fits."""
    model = HandModel()
    found = [model(reading.fit(fitter, shape=shape).parameters).joints for reading in readings]
    return float(metrics.joint_errors(np.stack(found), joints).mean())
