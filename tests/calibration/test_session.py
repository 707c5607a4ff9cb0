"""Frames judged, chosen and held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE, GuidedPose, expected_sd, most_telling, pose_information, ranking
from calibration.selection import choose_frames
from calibration.session import VIEWS, CalibrationSession, SessionConfig, Verdict, coverage, split, view_of
from calibration.solver import ShapeSolver
from engine.hand.limits import ARTICULATION_LIMITS
from engine.types import LumbricalError
from tests.calibration.shown import shown_frames
from tests.calibration.test_solver import a_build


@pytest.fixture(scope="module")
def solver() -> ShapeSolver:
    return ShapeSolver()


@pytest.fixture(scope="module")
def frames(solver: ShapeSolver) -> list[CalibrationFrame]:
    return shown_frames(solver, a_build(3))


@pytest.fixture(scope="module")
def information(solver: ShapeSolver) -> list[np.ndarray]:
    return [pose_information(pose, solver, Build.mean()) for pose in CATALOGUE]


def test_poses_are_judged(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    session = CalibrationSession(solver)
    verdicts = [
        session.offer(frames[0], 2.0),
        session.offer(frames[0], 2.0),
        session.offer(replace(frames[1], confidence=0.2), 2.0),
        session.offer(frames[1], 30.0),
        session.offer(frames[1], float("nan")),
        session.offer(replace(frames[1], whole=False), 2.0),
        session.offer(frames[1], 2.0),
    ]
    passed, again, retake = Verdict.PASS, Verdict.NOT_ENOUGH, Verdict.RETAKE
    assert [one.verdict for one in verdicts] == [passed, again, retake, retake, retake, retake, passed]
    assert all(one.reason for one in verdicts if one.verdict is not passed)
    assert len(session) == 2 and session.offered == 7


def test_a_hand_that_holds_something_is_not_learnt(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    session = CalibrationSession(solver)
    for frame in frames[:6]:
        assert session.offer(frame, 2.0).verdict is Verdict.PASS
    for frame in frames[6:13]:
        judged = session.offer(replace(frame, hidden=0.4), 2.0)
        assert judged.verdict is Verdict.RETAKE and "held" in judged.reason
    with pytest.raises(LumbricalError, match="taken for flesh"):
        session.solve()


def test_no_more_frames_are_held_than_allowed(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    session = CalibrationSession(solver, SessionConfig(candidates=5, fewest=3))
    for frame in frames:
        session.offer(frame, 2.0)
        assert len(session) <= 5
    held = [next(index for index, one in enumerate(frames) if one is frame) for frame in session.frames]
    assert held == sorted(held) and held[-1] > len(frames) // 2


def test_a_session_finds_a_hand_that_fits_better(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    session = CalibrationSession(solver, SessionConfig(frames=10, first_frames=6))
    for frame in frames:
        session.offer(frame, 2.0)
    outcome = session.solve()
    assert outcome.better and outcome.after_mm < 0.8 * outcome.before_mm
    assert outcome.held_out == 4 and outcome.estimate.frames == 10
    assert outcome.coverage.shape == (20, len(VIEWS)) and (outcome.coverage.sum(1) > 0).all()
    session.old = outcome.estimate.build
    assert not session.solve().better


def test_too_few_frames_are_refused(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    session = CalibrationSession(solver)
    session.offer(frames[0], 2.0)
    told = r"only 1 frame shows a hand well enough, 6 are needed.*these tell most: \"[a-z ]+\", \""
    with pytest.raises(LumbricalError, match=told):
        session.solve()


def test_frames_held_out_are_stretches_of_time(frames: list[CalibrationFrame]) -> None:
    many = [replace(frames[0], number=number) for number in range(100)]
    learn, check = split(many)
    assert len(learn) == 80 and len(check) == 20
    assert [frame.number for frame in check] == [*range(20, 30), *range(70, 80)]


def test_telling_frames_are_chosen_first(solver: ShapeSolver, information: list[np.ndarray]) -> None:
    same, other = information[0], information[6]
    chosen = choose_frames(np.stack([same] * 12 + [other] * 3), 6, solver)
    assert len(set(chosen)) == 6
    assert sum(index >= 12 for index in chosen) == 3
    known = 50 * np.stack(information)
    assert len(choose_frames(known, 18, solver, within_mm=2.5)) < len(known)


def test_the_next_pose_is_the_one_that_is_missing(solver: ShapeSolver, information: list[np.ndarray]) -> None:
    names = [pose.name for pose in CATALOGUE]
    shown = [index for index, name in enumerate(names) if "thumb" not in name]
    covariance = solver.covariance(20 * np.sum([information[index] for index in shown], axis=0))
    asked = most_telling(covariance, information, solver, 1.0, set())
    assert asked is not None
    before = expected_sd(covariance, 0 * information[0], solver)
    gains = [(before - expected_sd(covariance, one, solver)).sum() for one in information]
    assert gains[asked] > np.median(gains)
    assert most_telling(covariance, information, solver, 1.0, set(range(len(names)))) is None


def test_the_poses_named_next_tell_what_a_session_left_open(
    solver: ShapeSolver, frames: list[CalibrationFrame], information: list[np.ndarray]
) -> None:
    session = CalibrationSession(solver)

    def ranked(covariance: np.ndarray) -> list[GuidedPose]:
        return [CATALOGUE[index] for index in ranking(covariance, information, solver, session.config.within_mm)]

    unseen = session.next_poses()
    assert unseen == ranked(solver.covariance(0 * information[0]))
    for frame in frames:
        session.offer(frame, 2.0)
    session.solve()
    learnt = solver.solve(split(frames)[0])
    assert session.next_poses() == ranked(learnt.covariance) != unseen


def test_the_catalogue_can_be_shown() -> None:
    low, high = ARTICULATION_LIMITS.T
    assert len({pose.name for pose in CATALOGUE}) == len(CATALOGUE)
    for pose in CATALOGUE:
        angles = np.array(pose.articulation)
        assert angles.shape == (20,) and (angles >= low - 0.1).all() and (angles <= high + 0.1).all(), pose.name
        assert pose.instruction.endswith(".")


def test_views_are_named_by_what_faces_the_camera(solver: ShapeSolver, frames: list[CalibrationFrame]) -> None:
    assert VIEWS[view_of(np.eye(3))] == "palm"
    assert VIEWS[view_of(np.diag([-1.0, 1.0, -1.0]))] == "back"
    assert VIEWS[view_of(frames[4].start.rotation)] == "palm"
    placed = solver.place(frames[:2], Build.mean(), steps=2)
    seen = coverage(placed.hands, placed.information, solver)
    assert seen[5, VIEWS.index("palm")] > 0 and seen[5, VIEWS.index("back")] > 0
    assert seen[5, VIEWS.index("wrist")] == 0
