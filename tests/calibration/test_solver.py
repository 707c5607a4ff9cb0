"""Builds that are found again in frames of known hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.estimate import NINETY, ShapeEstimate, bone_lengths, bone_sd
from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE
from calibration.skin import SkinPrior
from calibration.solver import ShapeSolver, Solution, SolverConfig
from engine.fitting.observation import Observation
from engine.fitting.state import HandState
from engine.types import LumbricalError
from tests.calibration.shown import shown_frames


def a_build(seed: int) -> Build:
    random = np.random.default_rng(seed)
    return Build(random.normal(0, 1, 20), random.normal(0, 1, 6), np.zeros(100))


@pytest.fixture(scope="module")
def solver() -> ShapeSolver:
    return ShapeSolver()


@pytest.fixture(scope="module")
def solved(solver: ShapeSolver) -> list[tuple[Build, Solution]]:
    """Two hands, from two frames of each pose."""
    builds = [a_build(seed) for seed in (4, 5)]
    return [
        (build, solver.solve(shown_frames(solver, build) + shown_frames(solver, build, seed=1))) for build in builds
    ]


def errors(solver: ShapeSolver, build: Build, truth: Build) -> np.ndarray:
    return np.abs(bone_lengths(build, solver.kinematics) - bone_lengths(truth, solver.kinematics))


def test_bones_are_found_where_the_skin_is_known() -> None:
    """Nothing differs from the template but what is asked for."""
    tight = SkinPrior((0.05,) * 4, (0.05,) * 4, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05)
    solver = ShapeSolver(config=SolverConfig(skin=tight, steps=16))
    for seed in (3, 6):
        truth = a_build(seed)
        solution = solver.solve(shown_frames(solver, truth) + shown_frames(solver, truth, seed=1))
        found, mean_hand = (errors(solver, build, truth).mean() for build in (solution.build, Build.mean()))
        assert mean_hand > 3.5
        assert found < 2.0 and found < 0.5 * mean_hand
        assert np.abs(solution.build.thickness - truth.thickness).mean() < 1.0
        assert solution.distance_mm.mean() < 0.5


def test_intervals_hold_the_truth(solver: ShapeSolver, solved: list[tuple[Build, Solution]]) -> None:
    within = []
    for truth, solution in solved:
        found, mean_hand = (errors(solver, build, truth) for build in (solution.build, Build.mean()))
        assert found.mean() < 0.75 * mean_hand.mean()
        within.append(found <= NINETY * ShapeEstimate.of(solution, solver.kinematics).sd_mm)
    assert np.mean(within) > 0.75


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
    build = a_build(3)
    exact = shown_frames(solver, build, CATALOGUE[:6], off=0.0)
    frames = shown_frames(solver, build, CATALOGUE[:6])
    right, wrong = (solver.place(frames, one) for one in (build, Build.mean()))
    assert np.array_equal(right.build.vector, build.vector)
    assert all(np.array_equal(hand.beta, build.beta) for hand in right.hands)
    assert right.distance_mm.mean() < 0.8 * wrong.distance_mm.mean()
    found, free = (
        np.mean(
            [
                np.linalg.norm(joints(one.hands, solver)[k] - frame.points, axis=1).mean()
                for k, frame in enumerate(exact)
            ]
        )
        for one in (right, wrong)
    )
    assert found < 0.6 * free


def joints(hands: list[HandState], solver: ShapeSolver) -> list[np.ndarray]:
    return [solver.kinematics.pose(hand).joints for hand in hands]


def test_a_frame_that_shows_nothing_changes_nothing(solver: ShapeSolver) -> None:
    frames = shown_frames(solver, a_build(3), CATALOGUE[:6])
    crop = np.ones_like(frames[0].crop)
    empty = replace(frames[0], crop=crop, observation=Observation(crop, frames[0].distance, frames[0].points))
    with_empty, without = solver.solve([*frames, empty]), solver.solve(frames)
    assert np.allclose(with_empty.build.vector, without.build.vector, atol=1e-6)


def test_no_frame_is_refused(solver: ShapeSolver) -> None:
    none: list[CalibrationFrame] = []
    with pytest.raises(LumbricalError, match="no frame"):
        solver.solve(none)


def test_no_number_of_frames_tells_where_the_thumb_begins_within_its_ball() -> None:
    solver = ShapeSolver()
    much = 1e6 * np.eye(len(solver.prior_precision))
    sd = bone_sd(solver.covariance(much), solver.kinematics)
    assert sd[0] == pytest.approx(solver.config.thumb_root_mm, abs=0.05)
    assert sd[1:].max() < 0.05
