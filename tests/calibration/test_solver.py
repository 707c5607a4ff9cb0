"""Builds that are found again in frames of known hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.estimate import NINETY, ShapeEstimate, bone_lengths
from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE
from calibration.solver import ShapeSolver, Solution
from engine.types import LumbricalError
from tests.calibration.shown import shown_frames

PHALANGES = np.arange(20) % 4 != 0


def a_build(seed: int) -> Build:
    random = np.random.default_rng(seed)
    return Build(random.normal(0, 1, 20), random.normal(0, 1, 6), np.zeros(100))


@pytest.fixture(scope="module")
def solver() -> ShapeSolver:
    return ShapeSolver()


@pytest.fixture(scope="module")
def solved(solver: ShapeSolver) -> list[tuple[Build, Solution]]:
    """Three hands, from two frames of each pose."""
    builds = [a_build(seed) for seed in (3, 4, 5)]
    return [
        (build, solver.solve(shown_frames(solver, build) + shown_frames(solver, build, seed=1))) for build in builds
    ]


def test_bones_are_found(solver: ShapeSolver, solved: list[tuple[Build, Solution]]) -> None:
    errors, mean_hand = [], []
    for truth, solution in solved:
        lengths = bone_lengths(truth, solver.kinematics)
        errors.append(np.abs(bone_lengths(solution.build, solver.kinematics) - lengths))
        mean_hand.append(np.abs(solver.kinematics.mean - lengths))
    assert np.mean(mean_hand) > 2.5
    assert np.mean(errors) < 1.2
    assert np.mean([e[PHALANGES] for e in errors]) < 0.35 * np.mean([e[PHALANGES] for e in mean_hand])


def test_intervals_hold_the_truth(solver: ShapeSolver, solved: list[tuple[Build, Solution]]) -> None:
    within = []
    for truth, solution in solved:
        estimate = ShapeEstimate.of(solution, solver.kinematics)
        error = np.abs(estimate.lengths_mm - bone_lengths(truth, solver.kinematics))
        within.append(error <= NINETY * estimate.sd_mm)
    assert np.mean(within) > 0.8


def test_more_frames_leave_less_doubt(solver: ShapeSolver, solved: list[tuple[Build, Solution]]) -> None:
    build, many = solved[0]
    few = solver.solve(shown_frames(solver, build, CATALOGUE[:4]))
    sure, unsure = (ShapeEstimate.of(one, solver.kinematics) for one in (many, few))
    assert (sure.sd_mm < unsure.sd_mm).all()
    assert len(sure.undetermined()) < len(unsure.undetermined())
    assert "index metacarpal" in unsure.undetermined()


def test_fists_alone_do_not_tell_what_they_hide(solver: ShapeSolver) -> None:
    named = {pose.name: pose for pose in CATALOGUE}
    pointing, little = (
        ShapeEstimate.of(solver.solve(shown_frames(solver, Build.mean(), [named[name]] * 4)), solver.kinematics)
        for name in ("pointing", "little finger")
    )
    index, last = slice(5, 8), slice(17, 20)
    assert pointing.sd_mm[index].sum() < little.sd_mm[index].sum()
    assert little.sd_mm[last].sum() < pointing.sd_mm[last].sum()


def test_a_frame_of_something_else_loses_its_say(solver: ShapeSolver) -> None:
    build = a_build(3)
    frames = shown_frames(solver, build, CATALOGUE[:8])
    other = shown_frames(solver, Build(np.full(20, -1.5), np.full(6, 4.0), np.zeros(100)), CATALOGUE[13:14])[0]
    wrong = replace(other, start=frames[0].start, points=frames[0].points)
    solution = solver.solve([*frames, wrong])
    assert solution.weights[-1] < 0.3
    assert solution.weights[:-1].min() > 0.5


def test_a_held_build_stays_and_its_poses_come(solver: ShapeSolver) -> None:
    build = a_build(6)
    frames = shown_frames(solver, build, CATALOGUE[:6])
    right, wrong = (solver.place(frames, one) for one in (build, Build.mean()))
    assert np.array_equal(right.build.vector, build.vector)
    assert all(np.array_equal(hand.beta, build.beta) for hand in right.hands)
    assert right.distance_mm.mean() < 0.6 < wrong.distance_mm.mean()


def test_a_frame_that_shows_nothing_changes_nothing(solver: ShapeSolver) -> None:
    frames = shown_frames(solver, a_build(3), CATALOGUE[:6])
    from engine.fitting.observation import Observation

    crop = np.ones_like(frames[0].crop)
    empty = replace(frames[0], crop=crop, observation=Observation(crop, frames[0].distance, frames[0].points))
    with_empty, without = solver.solve([*frames, empty]), solver.solve(frames)
    assert np.allclose(with_empty.build.vector, without.build.vector, atol=1e-6)


def test_no_frame_is_refused(solver: ShapeSolver) -> None:
    none: list[CalibrationFrame] = []
    with pytest.raises(LumbricalError, match="no frame"):
        solver.solve(none)
