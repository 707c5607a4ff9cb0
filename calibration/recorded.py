"""What the solver makes of recordings of a real user, whose true bones nobody knows: how well its hand lies on the
depth, whether two halves of the frames tell the same, and the bones that a label set states beside it, if any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import bone_lengths
from calibration.frames import Build, CalibrationFrame
from calibration.relief import ReliefSolver
from calibration.session import frame_residuals
from calibration.solver import ShapeSolver, Solution
from engine.adaptation.observed import result_window
from engine.evaluation.takes import open_frames, read_labels
from engine.hand.conventions import ANATOMICAL, map_joints
from engine.takes.convert.frames import all_frames
from engine.tracker import Tracker
from engine.types import BONE_COUNT, JOINT_PARENTS, LumbricalError

Array = NDArray[np.float64]

_PLACING_STEPS = 12


@dataclass(frozen=True)
class RecordedUser:
    """before_mm, after_mm: (N,) each frame's depth residual with the mean hand and with the solved one, poses found
    anew with each. other_half_mm: (N,) the same of each frame with the hand that the other half of the frames tells;
    halves_apart_mm: bones of the two halves' hands, on average; None of one frame.
    stated_mm, solved_mm, mean_hand_mm: (20,) bones as the label set states them, and as its convention measures them
    on the solved and on the mean hand; None where none are stated.
    """

    before_mm: Array
    after_mm: Array
    other_half_mm: Array | None
    halves_apart_mm: float | None
    stated_mm: Array | None
    solved_mm: Array | None
    mean_hand_mm: Array | None


def read_each(folder: Path, tracker: Tracker) -> list[CalibrationFrame]:
    """The frames of a sequence folder or a take in which the tracker finds a hand, each searched anew: they may be no
    film."""
    frames = []
    with open_frames(folder) as sensor:
        tracker.side = sensor.side
        for frame in all_frames(sensor):
            tracker.reset()
            window = result_window(tracker.track(frame))
            if window is not None:
                frames.append(CalibrationFrame.read(tracker.runner, frame, window))
    if not frames:
        raise LumbricalError(f"{folder}: no hand is found in any of its frames")
    return frames


def measure_recorded(folder: Path, tracker: Tracker) -> RecordedUser:
    """Solve for the user of a sequence folder or a take. Raises LumbricalError for what cannot be read, or where no
    frame shows a hand."""
    labels = read_labels(folder)
    frames, solver = read_each(folder, tracker), ShapeSolver()
    build = _solved(frames, solver)
    mean_hand, solved = (_placed(frames, each, solver) for each in (Build.mean(), build))
    stated = as_solved = as_mean = None
    if labels.bone_lengths_mm is not None:
        stated = np.asarray(labels.bone_lengths_mm, np.float64).reshape(BONE_COUNT)
        convention = labels.joint_convention or ANATOMICAL
        as_mean, as_solved = (_measured_as(convention, each, solver) for each in (mean_hand[0], solved[0]))
    return RecordedUser(mean_hand[1], solved[1], *_halves(frames, solver), stated, as_solved, as_mean)


def _solved(frames: list[CalibrationFrame], solver: ShapeSolver) -> Build:
    return ReliefSolver(solver.template).solved(frames, solver.solve(frames).build)


def _placed(frames: list[CalibrationFrame], build: Build, solver: ShapeSolver) -> tuple[Solution, Array]:
    """A hand posed in each frame, and the frames' residuals (N,) mm."""
    solver = solver.on(build.relief)
    placed = solver.place(frames, build, _PLACING_STEPS)
    return placed, frame_residuals(solver, frames, placed)


def _halves(frames: list[CalibrationFrame], solver: ShapeSolver) -> tuple[Array | None, float | None]:
    """Of the hands that the odd and the even frames tell: residuals of the frames that each was not solved from (N,)
    mm, and how far their bones are apart; None of one frame."""
    if len(frames) < 2:
        return None, None
    builds = [_solved(frames[first::2], solver) for first in range(2)]
    other = [_placed(frames[1 - first :: 2], build, solver)[1] for first, build in enumerate(builds)]
    lengths = [bone_lengths(build, solver.kinematics) for build in builds]
    return np.concatenate(other), float(np.abs(lengths[0] - lengths[1]).mean())


def _measured_as(convention: str, solution: Solution, solver: ShapeSolver) -> Array:
    """(20,) mm between the joints where a label set places them, on average over the frames."""
    lengths = bone_lengths(solution.build, solver.kinematics)
    found = []
    for hand in solution.hands:
        bones = solver.kinematics.pose(hand)
        joints = map_joints(convention, bones.joints, bones.frames, lengths)
        found.append(np.linalg.norm(joints[1:] - joints[list(JOINT_PARENTS[1:])], axis=1))
    return np.asarray(np.mean(found, 0))
