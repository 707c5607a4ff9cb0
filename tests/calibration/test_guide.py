"""The guided session, step by step, with hands that do as they are told, and others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from calibration.collecting import NO_HAND, Collection, learnt_profile
from calibration.frames import Build, CalibrationFrame
from calibration.guide import Guide, GuideConfig, GuideView, Stage, unlike
from calibration.poses import CATALOGUE, posed_hand, shown_frame
from calibration.progress import Progress, ProgressSolver
from calibration.session import VIEWS, SessionConfig, Verdict
from calibration.solver import ShapeSolver
from engine.types import HandGeometry, HandSurface, LumbricalError, Side, TrackingResult, TrackingState
from tests.app.fakes import make_frame

_STEP_S = 0.1


@pytest.fixture(scope="module")
def solver() -> ShapeSolver:
    return ShapeSolver()


@pytest.fixture(scope="module")
def shown(solver: ShapeSolver) -> dict[str, CalibrationFrame]:
    """A frame of each pose that tests ask for."""
    return {pose.name: shown_frame(posed_hand(pose, Build.mean()), solver, Build.mean()) for pose in CATALOGUE[:5]}


def result(time_s: float = 0.0, moved_mm: float = 0.0, residual_mm: float = 2.0) -> TrackingResult:
    joints = np.full((21, 3), moved_mm, np.float32)
    geometry = HandGeometry.of(joints, HandSurface(joints, joints, np.ones(21, np.float32)))
    return TrackingResult(
        make_frame(round(30 * time_s)),
        TrackingState.TRACKING,
        Side.RIGHT,
        geometry=geometry,
        residual_mm=residual_mm,
        confidence=1.0,
    )


class User:
    """Shows frames to a guide, ten a second, each a little different from the one before."""

    def __init__(self, guide: Guide, shown: dict[str, CalibrationFrame]) -> None:
        self.guide, self.shown, self.now_s = guide, shown, 0.0
        self._random = np.random.default_rng(0)

    def show(self, name: str | None, seconds: float, speed: float = 0.0, residual_mm: float = 2.0) -> GuideView:
        for _ in range(round(seconds / _STEP_S)):
            self.now_s += _STEP_S
            frame = None
            if name is not None:
                one = self.shown[name]
                turned = one.start.articulation + 0.06 * self._random.normal(size=20)
                frame = replace(one, start=replace(one.start, articulation=turned))
            self.guide.see(result(self.now_s, speed * self.now_s, residual_mm), frame, self.now_s)
            self.guide.tick(self.now_s)
        return self.guide.view(self.now_s)

    def until(self, stage: Stage, name: str | None, **how: float) -> GuideView:
        for _ in range(300):
            if self.guide.view(self.now_s).stage is stage:
                return self.guide.view(self.now_s)
            self.show(name, _STEP_S, **how)
        raise AssertionError(f"it never came to {stage}, but is at {self.guide.view(self.now_s).stage}")


@pytest.fixture
def user(shown: dict[str, CalibrationFrame]) -> User:
    return User(Guide(Collection(SessionConfig(fewest=3)), asks=True), shown)


def progress(sd_mm: float, frames: int = 9, order: tuple[int, ...] = tuple(range(len(CATALOGUE)))) -> Progress:
    return Progress(
        frames, Build.mean(), np.zeros(20), np.full(20, sd_mm), np.zeros((20, len(VIEWS))), np.zeros(3), order
    )


def test_a_pose_is_counted_down_held_and_passed(user: User) -> None:
    assert user.show(None, 1.0).stage is Stage.LOOKING
    view = user.until(Stage.COUNTDOWN, "open hand")
    assert view.pose is CATALOGUE[0] and 0 < view.countdown_s <= GuideConfig().countdown_s
    view = user.until(Stage.HOLD, "open hand")
    assert user.show("open hand", 0.5).held > 0.1
    view = user.until(Stage.JUDGED, "open hand")
    assert view.judgement is not None and view.judgement.verdict is Verdict.PASS
    assert view.passed == ("open hand",) and view.frames >= GuideConfig().enough
    view = user.until(Stage.COUNTDOWN, "open hand")
    assert view.pose is CATALOGUE[1] and view.asked == 2


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("back of the hand", {}, "turned another way"),
        ("open hand", {"speed": 300.0}, "come to rest"),
        ("open hand", {"residual_mm": 30.0}, "not followed well"),
    ],
)
def test_a_pose_is_to_be_taken_again(user: User, name: str, how: dict[str, float], words: str) -> None:
    user.until(Stage.HOLD, name, **how)
    view = user.until(Stage.JUDGED, name, **how)
    assert view.judgement is not None and view.judgement.verdict is Verdict.RETAKE
    assert words in view.judgement.reason and not view.passed
    again = user.until(Stage.COUNTDOWN, name, **how)
    assert again.pose is CATALOGUE[0]
    user.until(Stage.JUDGED, name, **how)
    # Twice is enough: another pose is asked for.
    assert user.until(Stage.COUNTDOWN, name, **how).pose is CATALOGUE[1]


def test_a_pose_that_tells_nothing_new_is_not_enough(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "_random", _Still())
    user.until(Stage.HOLD, "open hand")
    view = user.until(Stage.JUDGED, "open hand")
    assert view.judgement is not None and view.judgement.verdict is Verdict.NOT_ENOUGH
    assert "little that is new" in view.judgement.reason


class _Still:
    def normal(self, size: int) -> np.ndarray:
        return np.zeros(size)


def test_a_hand_that_leaves_is_waited_for(user: User) -> None:
    user.until(Stage.COUNTDOWN, "open hand")
    assert user.show(None, 2.0).stage is Stage.LOOKING
    view = user.until(Stage.COUNTDOWN, "open hand")
    assert view.pose is CATALOGUE[0] and view.asked == 1


def test_the_most_telling_pose_is_asked_for_next(user: User) -> None:
    user.guide.learn(progress(3.0, order=(3, 1, 0, 2, *range(4, len(CATALOGUE)))))
    assert user.until(Stage.COUNTDOWN, "open hand").pose is CATALOGUE[3]
    user.guide.skip(user.now_s)
    assert user.guide.view(user.now_s).pose is CATALOGUE[1]


def test_it_ends_when_every_bone_is_known(user: User) -> None:
    user.guide.learn(progress(1.5))
    assert not user.guide.ended
    for pose in CATALOGUE[:4]:
        user.until(Stage.COUNTDOWN, pose.name)
        user.until(Stage.JUDGED, pose.name)
    user.guide.learn(progress(2.5))
    assert user.guide.view(user.now_s).stage is not Stage.ENDED
    user.guide.learn(progress(1.5))
    view = user.guide.view(user.now_s)
    assert view.stage is Stage.ENDED and view.pose is None


def test_it_ends_after_the_last_pose(user: User) -> None:
    user.until(Stage.COUNTDOWN, "open hand")
    for _ in range(GuideConfig().rounds * len(CATALOGUE)):
        assert not user.guide.ended
        user.guide.skip(user.now_s)
    assert user.guide.ended


def test_a_recording_is_taken_as_it_comes(shown: dict[str, CalibrationFrame]) -> None:
    user = User(Guide(Collection(), asks=False), shown)
    view = user.show("open hand", 1.0)
    assert view.stage is Stage.WATCHING and view.pose is None and view.frames > 5
    assert view.judgement is not None and view.judgement.verdict is Verdict.PASS


def test_what_is_unlike_is_named(shown: dict[str, CalibrationFrame]) -> None:
    hand = shown["open hand"]
    assert unlike(CATALOGUE[0], [hand]) == ""
    assert "fingers" in unlike(next(p for p in CATALOGUE if p.name == "pointing"), [hand])
    assert "turned" in unlike(CATALOGUE[1], [hand])
    about = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rolled = replace(hand, start=replace(hand.start, rotation=about @ hand.start.rotation))
    assert unlike(CATALOGUE[0], [rolled]) == ""


def test_progress_narrows_and_names_the_next_poses(solver: ShapeSolver, shown: dict[str, CalibrationFrame]) -> None:
    looking = ProgressSolver(solver)
    before = looking.look([])
    assert before.frames == 0 and np.isnan(before.residual_map).all()
    assert sorted(before.next_poses) == list(range(len(CATALOGUE)))
    after = looking.look([shown["open hand"], shown["turned to one side"]])
    assert (after.sd_mm < before.sd_mm + 1e-9).all() and after.sd_mm.mean() < 0.9 * before.sd_mm.mean()
    assert after.coverage.sum() > 0 and np.isfinite(after.residual_map).mean() > 0.5
    assert np.nanmedian(after.residual_map) < 4
    assert after.next_poses != before.next_poses


def test_no_hand_at_all_is_told(shown: dict[str, CalibrationFrame]) -> None:
    collection = Collection()
    lost = TrackingResult(make_frame(), TrackingState.SEARCHING)
    unused: Callable[..., None] = lambda *_: None  # noqa: E731
    assert collection.read(lost, unused) is None  # type: ignore[arg-type]
    assert collection.verdicts[NO_HAND] == 1
    with pytest.raises(LumbricalError, match="in 1 frame no hand is seen"):
        collection.chosen()


def test_a_profile_says_where_it_comes_from(solver: ShapeSolver, shown: dict[str, CalibrationFrame]) -> None:
    from calibration.session import CalibrationSession

    session = CalibrationSession(solver, SessionConfig(fewest=3))
    session.resume(list(shown.values()), 40, 30)
    outcome = session.solve()
    assert outcome.frames_offered == 40 and outcome.frames_passed == 30
    assert np.isfinite(outcome.before_map).any() and outcome.before_map.shape == outcome.after_map.shape
    profile = learnt_profile("Ann", Side.LEFT, outcome, "a camera")
    assert profile.file_name == "Ann.left.json" and profile.sensor == "a camera"
    assert profile.residual_after_mm == outcome.after_mm
