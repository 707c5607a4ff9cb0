"""A calibration session, without a window: frames come in, are judged, the telling ones are kept, and a new build of
the hand is held against the old one on frames that it was not learnt from."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import WITHIN_MM, ShapeEstimate
from calibration.frames import Build, CalibrationFrame
from calibration.heat import residual_map
from calibration.poses import GuidedPose, telling_poses
from calibration.relief import ReliefSolver
from calibration.selection import choose_frames
from calibration.solver import ShapeSolver, Solution
from engine.fitting.state import HandState
from engine.takes.words import counted
from engine.tracker import surface_residual
from engine.types import BONE_COUNT, FloatArray, LumbricalError

Array = NDArray[np.float64]

#: Where a hand is seen from; see `view_of`.
VIEWS = ("palm", "back", "thumb's side", "little finger's side", "finger tips", "wrist")
_AXES = np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, -1, 0], [0, 1, 0]], np.float64)


#: Poses that are named where frames are too few.
_NAMED = 3
#: A residual that falls by less than this is the same.
_CLEARLY = 0.99


class Verdict(enum.Enum):
    """What a pose is worth."""

    PASS = "pass"
    RETAKE = "retake"
    NOT_ENOUGH = "not enough"


@dataclass(frozen=True)
class SessionConfig:
    """frames: to learn from, at most. candidates: that are held at once; of more, every second is let go, and so on.
    within_mm: how well each bone should be known. min_confidence, max_residual_mm, max_hidden: of a frame that counts,
    and new_pose: how much a joint must have turned since the last one, radians, for a frame to say anything new.
    first_frames: of the first solution, that tells the others' worth. fewest: frames to start from.
    """

    frames: int = 150
    candidates: int = 300
    within_mm: float = WITHIN_MM
    min_confidence: float = 0.6
    max_residual_mm: float = 9.0
    max_hidden: float = 0.2
    new_pose: float = 0.03
    first_frames: int = 48
    fewest: int = 6


@dataclass(frozen=True)
class Judgement:
    """verdict, and why in words for the user."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """estimate: of the hand. before_mm, after_mm: median surface residual of the old and the new build on held_out
    frames that neither was learnt from. coverage: (20, 6) how much each view said of each bone (see `coverage`).
    before_map, after_map: (V,) mm, the same by the place on the template's surface (see calibration.heat).
    frames_offered, frames_passed: by the session.
    """

    estimate: ShapeEstimate
    before_mm: float
    after_mm: float
    held_out: int
    coverage: Array
    before_map: Array
    after_map: Array
    frames_offered: int
    frames_passed: int

    @property
    def better(self) -> bool:
        """Whether the new build lies clearly nearer to what was measured than the old one."""
        return self.after_mm < _CLEARLY * self.before_mm


@dataclass
class _Held:
    frames: list[CalibrationFrame] = field(default_factory=list)
    every: int = 1
    passed: int = 0


class CalibrationSession:
    """Collects frames of one user's hand and solves for its build. old: what a new build is compared with."""

    def __init__(
        self, solver: ShapeSolver | None = None, config: SessionConfig = SessionConfig(), old: Build | None = None
    ) -> None:
        self.solver, self.config = solver or ShapeSolver(), config
        self.old = old or Build.mean()
        self._held = _Held()
        self._last: CalibrationFrame | None = None
        self._covariance: Array | None = None
        self.offered = 0
        #: Frames refused because something lies before the hand.
        self.hidden = 0

    def __len__(self) -> int:
        return len(self._held.frames)

    @property
    def frames(self) -> tuple[CalibrationFrame, ...]:
        """Those that passed and are held, oldest first."""
        return tuple(self._held.frames)

    def offer(self, frame: CalibrationFrame, residual_mm: float) -> Judgement:
        """Judge a frame and keep it where it passes. residual_mm: the tracker's, of its own fit."""
        self.offered += 1
        judgement = self._judge(frame, residual_mm)
        if judgement.verdict is Verdict.PASS:
            self._last = frame
            self._keep(frame)
        return judgement

    def resume(self, frames: list[CalibrationFrame], offered: int, passed: int) -> None:
        """Go on with the frames that a session elsewhere held."""
        self._held = _Held(list(frames), 1, passed)
        self.offered = offered

    @property
    def passed(self) -> int:
        """How many frames passed, held or not."""
        return self._held.passed

    def _judge(self, frame: CalibrationFrame, residual_mm: float) -> Judgement:
        config = self.config
        if frame.confidence < config.min_confidence:
            return Judgement(Verdict.RETAKE, "no hand is seen clearly: hold it before the camera, nothing in it")
        if not residual_mm <= config.max_residual_mm:
            return Judgement(Verdict.RETAKE, "the hand is not followed well: hold it still, or come nearer")
        if frame.hidden > config.max_hidden:
            self.hidden += 1
            return Judgement(Verdict.RETAKE, "something is held or lies before the hand: show it empty")
        if not frame.whole:
            return Judgement(Verdict.RETAKE, "the hand is not whole in the picture: move it to the middle")
        if self._last is not None and _turned(frame, self._last) < config.new_pose:
            return Judgement(Verdict.NOT_ENOUGH, "this says little that is new: move on to another pose")
        return Judgement(Verdict.PASS)

    def _keep(self, frame: CalibrationFrame) -> None:
        held = self._held
        held.passed += 1
        if (held.passed - 1) % held.every:
            return
        held.frames.append(frame)
        if len(held.frames) > self.config.candidates:
            held.frames, held.every = held.frames[::2], 2 * held.every

    def solve(self) -> Outcome:
        """The build that the session's frames tell. LumbricalError where they are too few."""
        frames, fewest = self._held.frames, self.config.fewest
        if len(frames) < fewest:
            raise LumbricalError(self._too_few(len(frames)))
        if self.hidden > self.passed:
            raise LumbricalError(
                f"in {self.hidden} of {self.offered} frames something is held or lies before the hand, and would be "
                "taken for flesh: record it again, empty"
            )
        learn, check = split(frames)
        telling = self._telling(learn)
        solution = self.solver.solve(telling)
        self._covariance = solution.covariance
        build = ReliefSolver(self.solver.template).solved(telling, solution.build)
        estimate = replace(ShapeEstimate.of(solution, self.solver.kinematics), build=build)
        (before, before_map), (after, after_map) = (_checked(self.solver, check, each) for each in (self.old, build))
        seen = coverage(solution.hands, solution.information, self.solver)
        maps = before_map, after_map
        return Outcome(estimate, before, after, len(check), seen, *maps, self.offered, self._held.passed)

    def _too_few(self, frames: int) -> str:
        """That there are too few frames, in words, with what to show."""
        names = ", ".join(f'"{pose.name}"' for pose in self.next_poses()[:_NAMED])
        return (
            f"only {counted(frames, 'frame')} {'shows' if frames == 1 else 'show'} a hand well enough, "
            f"{self.config.fewest} are needed: record it again, nearer, with nothing in it, in different poses; these "
            f"tell most: {names} (docs/calibration.md shows them)"
        )

    def next_poses(self) -> list[GuidedPose]:
        """All poses of the catalogue, those first that tell most of what the last solution left open, or, before the
        first, of what is not known of hands in general. Takes seconds."""
        covariance = self._covariance
        if covariance is None:
            covariance = self.solver.covariance(0 * self.solver.prior_precision)
        return telling_poses(covariance, self.solver, self.config.within_mm)

    def _telling(self, frames: list[CalibrationFrame]) -> list[CalibrationFrame]:
        """The frames to learn from, in the order of time."""
        config = self.config
        if len(frames) <= config.frames:
            return frames
        spread = np.unique(np.linspace(0, len(frames) - 1, config.first_frames).astype(int))
        first = self.solver.solve([frames[index] for index in spread], steps=5)
        placed = self.solver.place(frames, first.build, steps=3)
        chosen = choose_frames(placed.information, config.frames, self.solver, config.within_mm)
        return [frames[index] for index in sorted(chosen)]


def split(frames: list[CalibrationFrame]) -> tuple[list[CalibrationFrame], list[CalibrationFrame]]:
    """Frames to learn from, and others, whole stretches of time, to check against: two tenths."""
    tenth = np.arange(len(frames)) * 10 // max(len(frames), 1)
    held = np.isin(tenth, (2, 7))
    return ([f for f, out in zip(frames, held, strict=True) if not out],
            [f for f, out in zip(frames, held, strict=True) if out])  # fmt: skip


def build_residual(solver: ShapeSolver, frames: list[CalibrationFrame], build: Build) -> float:
    """Median over frames of engine.tracker.surface_residual, mm, of a hand of that build posed in each as well as it
    can be; NaN where no frame shows it."""
    return _checked(solver, frames, build)[0]


def _checked(solver: ShapeSolver, frames: list[CalibrationFrame], build: Build) -> tuple[float, Array]:
    """build_residual, and where on the surface it lies."""
    if not frames:
        return float("nan"), np.full(len(solver.template.vertices), np.nan)
    solver = solver.on(build.relief)
    placed = solver.place(frames, build)
    each = frame_residuals(solver, frames, placed)
    median = float(np.nanmedian(each)) if np.isfinite(each).any() else float("nan")
    return median, residual_map(solver, frames, placed)


def frame_residuals(solver: ShapeSolver, frames: list[CalibrationFrame], solution: Solution) -> Array:
    """(N,) mm, of each frame."""
    surfaces = (solver.points(hand, solution.build, f) for hand, f in zip(solution.hands, frames, strict=True))
    return np.array([surface_residual(s, f.distance, f.crop) for s, f in zip(surfaces, frames, strict=True)])


def view_of(rotation: FloatArray) -> int:
    """Which of VIEWS a hand of that rotation (3, 3) turns to the camera."""
    return int(np.argmax(_AXES @ -rotation[2]))


def coverage(hands: Sequence[HandState], informations: Iterable[FloatArray], solver: ShapeSolver) -> Array:
    """(20, 6) 1/mm²: what the frames of each of VIEWS say of each bone's length, skin and all else being known.

    hands, informations (126, 126): of each frame, as in Solution."""
    seen = np.zeros((BONE_COUNT, len(VIEWS)))
    basis = np.linalg.inv(solver.kinematics.basis)
    for hand, information in zip(hands, informations, strict=True):
        of_beta = information[:BONE_COUNT, :BONE_COUNT] / solver.config.doubt
        seen[:, view_of(hand.rotation)] += np.einsum("sb,st,tb->b", basis, of_beta, basis)
    return seen


def _turned(frame: CalibrationFrame, other: CalibrationFrame) -> float:
    """How far the pose has changed, radians: the mean over angles, and the whole hand's turn."""
    turn = np.arccos(np.clip((np.trace(frame.start.rotation @ other.start.rotation.T) - 1) / 2, -1, 1))
    return float(turn + np.abs(frame.start.articulation - other.start.articulation).mean())
