"""A real user's eight poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.estimate import bone_lengths
from calibration.frames import Build, CalibrationFrame
from calibration.session import frame_residuals
from calibration.solver import ShapeSolver
from engine.adaptation.observed import result_window
from engine.sensors.sequence_folder import SequenceFolder
from engine.tracker import Tracker


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> list[CalibrationFrame]:
    tracker, frames = Tracker(), []
    with SequenceFolder(shared_data / "real" / "calibration-poses", color=False) as sensor:
        tracker.side = sensor.side
        for _ in range(sensor.frame_count or 0):
            tracker.reset()
            frame = sensor.read()
            assert frame is not None
            window = result_window(tracker.track(frame))
            if window is not None:
                frames.append(CalibrationFrame.read(tracker.runner, frame, window))
    assert len(frames) == 8
    return frames


def test_the_residual_falls(frames: list[CalibrationFrame]) -> None:
    solver = ShapeSolver()
    solution = solver.solve(frames)
    after = frame_residuals(solver, frames, solver.place(frames, solution.build, steps=12))
    before = frame_residuals(solver, frames, solver.place(frames, Build.mean(), steps=12))
    # 30 % with the weights of the day (docs/calibration.md); others may place the crops a little otherwise.
    assert np.mean(after) <= 0.75 * np.mean(before)


def test_halves_agree(frames: list[CalibrationFrame]) -> None:
    solver = ShapeSolver()
    halves = [bone_lengths(solver.solve(frames[k::2]).build, solver.kinematics) for k in range(2)]
    assert np.abs(halves[0] - halves[1]).mean() <= 4.0
