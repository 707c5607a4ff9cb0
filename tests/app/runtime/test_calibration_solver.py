"""The solver's own process, with what it is really asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from app.runtime.calibration_solver import Finished, Looked, PosePicture, Refused, Reply, SolverProcess, SolverSettings
from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE, posed_hand, shown_frame
from calibration.session import CalibrationSession, SessionConfig
from calibration.solver import ShapeSolver

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def solver() -> ShapeSolver:
    return ShapeSolver()


@pytest.fixture
def process() -> Iterator[SolverProcess]:
    process = SolverProcess(SolverSettings(pose_size=360, heat_size=60))
    yield process
    process.stop()


def until(process: SolverProcess, *kinds: type) -> Reply:
    """The next answer of these kinds."""
    end_s = time.monotonic() + 240
    while time.monotonic() < end_s:
        reply = process.poll()
        if reply is not None and isinstance(reply, kinds):
            return reply
        assert not process.failure
        time.sleep(0.01)
    raise AssertionError(f"no {kinds} came")


def test_it_looks_and_finishes_while_it_paints(process: SolverProcess, solver: ShapeSolver) -> None:
    assert isinstance(until(process, PosePicture), PosePicture)
    first = until(process, Looked)
    assert isinstance(first, Looked) and first.progress.frames == 0 and first.heat[0].shape == (60, 60, 4)
    build = replace(Build.mean(), beta=np.full(20, 0.7))
    frames: list[CalibrationFrame] = []
    for number in range(8):
        frames.append(shown_frame(posed_hand(CATALOGUE[number], build), solver, build))
    time.sleep(3)  # pictures that nobody fetches fill the pipe: asking must not wait for them
    assert process.look(tuple(frames)) and not process.look(tuple(frames))
    looked = until(process, Looked)
    assert isinstance(looked, Looked) and looked.progress.frames == 8
    session = CalibrationSession(solver, SessionConfig(fewest=3))
    session.resume(frames, 20, 10)
    assert process.finish(session)
    finished = until(process, Finished, Refused)
    assert isinstance(finished, Finished) and finished.outcome.frames_offered == 20
    assert finished.outcome.estimate.frames + finished.outcome.held_out == 8


def test_a_process_that_dies_is_told(process: SolverProcess) -> None:
    process._process.kill()
    process._process.join()
    end_s = time.monotonic() + 20
    while not process.failure and time.monotonic() < end_s:
        process.poll()
    assert "begin the calibration again" in process.failure
