"""The shape solver: one hand's build from many frames, jointly with the pose in each.

Damped Gauss-Newton on what engine.fitting asks of a single frame (the encoder's points, the nearest surface to each
pixel, the outline, joint limits), with bone lengths, thickness and skin shared by all frames. Poses are eliminated
(calibration.arrow), so that a step costs what its frames cost. E_bone is the prior of bone lengths, a unit Gaussian on
beta; that skin may differ from the template's (calibration.skin) keeps such differences out of the bones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from calibration.arrow import POSE, ArrowSolution, solve_arrow
from calibration.frames import Build, CalibrationFrame
from calibration.skin import ALL_PARAMETERS, LooseSurface, SkinPrior
from engine.fitting.kinematics import Kinematics
from engine.fitting.nearest import NearestConfig, nearest_pulls
from engine.fitting.observation import Outline
from engine.fitting.priors import PriorConfig, Priors
from engine.fitting.silhouette import SilhouetteConfig, silhouette_pulls
from engine.fitting.state import ANGLES, PARAMETERS, TURN, HandState
from engine.fitting.surface import Pulls, SeenSurface
from engine.hand.relief import raised
from engine.hand.template import HandTemplate, load_template
from engine.types import BETA_SIZE, FloatArray, LumbricalError

Array = NDArray[np.float64]

#: The thumb's carpus, among the bones.
_THUMB_ROOT = 0


@dataclass(frozen=True)
class SolverConfig:
    """steps: of Gauss-Newton. surface_points: of the model. point_doubt: how many times the encoder's expected errors
    its points are taken to be off; they carry bone lengths of the hands that the encoder was trained on, so they only
    hold the pose; first_doubt: the same in the first steps, which they lead. prior: of each pose; it says nothing of
    shape. thickness_sd: of the hand, mm. outlier: frames whose surface lies further off than so many times the median
    frame's lose their say. doubt, thumb_root_mm: see ShapeSolver.covariance. first_steps: in
    which hands still move too far to keep an outline, or to tell which frames do not fit.
    """

    steps: int = 10
    surface_points: int = 1000
    point_doubt: float = 30.0
    first_doubt: float = 5.0
    nearest: NearestConfig = field(default_factory=lambda: NearestConfig(sideways=0.5, far_mm=25.0))
    silhouette: SilhouetteConfig = field(default_factory=lambda: SilhouetteConfig(sigma_mm=20.0))
    prior: PriorConfig = field(default_factory=lambda: PriorConfig(place_mm=300.0, beta=inf, palm_mm=inf, flesh_mm=inf))
    skin: SkinPrior = field(default_factory=SkinPrior)
    thickness_sd: tuple[float, ...] = (3.0, 1.5, 1.5, 1.5, 1.5, 1.5)
    outlier: float = 1.6
    doubt: float = 1.75
    thumb_root_mm: float = 1.3
    first_steps: int = 4
    damping: float = 1e-3
    longest_turn: float = 1.0


@dataclass(frozen=True)
class Solution:
    """build: of the hand. hands: its pose in each of N frames. covariance: (126, 126) of the build. information:
    (N, 126, 126), what each frame says of it, poses free. distance_mm: (N,) median distance of each frame's pixels from
    the surface, NaN where none is near. weights: (N,) 1, less for frames that do not fit.
    """

    build: Build
    hands: list[HandState]
    covariance: Array
    information: Array
    distance_mm: Array
    weights: Array


@dataclass
class _Frame:
    """A frame with what a solution knows of it."""

    frame: CalibrationFrame
    hand: HandState
    outline: Outline | None = None
    distance_mm: float = float("nan")


class ShapeSolver:
    """Solves for one template's surface. Holds nothing of the frames it has seen."""

    def __init__(self, template: HandTemplate | None = None, config: SolverConfig = SolverConfig()) -> None:
        self.config = config
        self.template = template or load_template()
        self.kinematics = Kinematics()
        self._surface = LooseSurface(self.template, self.kinematics, config.surface_points)
        self._priors = Priors(config.prior)
        shape_sd = np.concatenate((np.ones(20), config.thickness_sd))
        self.prior_precision = np.zeros((ALL_PARAMETERS - POSE.stop,) * 2)
        self.prior_precision[:26, :26] = np.diag(shape_sd**-2.0)
        self.prior_precision[26:, 26:] = config.skin.precision()
        towards_root = np.linalg.inv(self.kinematics.basis)[:, _THUMB_ROOT]
        self._hidden = np.zeros_like(self.prior_precision)
        self._hidden[:BETA_SIZE, :BETA_SIZE] = config.thumb_root_mm**2 * np.outer(towards_root, towards_root)

    def on(self, relief: FloatArray) -> ShapeSolver:
        """The same for its template with a relief (RELIEF_SIZE,) mm; itself where there is none."""
        return type(self)(raised(self.template, relief), self.config) if relief.any() else self

    def solve(
        self, frames: Sequence[CalibrationFrame], start: Build | None = None, steps: int | None = None
    ) -> Solution:
        """The build that fits all frames. start: where to search from. LumbricalError where there is no frame."""
        return self._run(frames, start or Build.mean(), steps or self.config.steps, free=True)

    def place(self, frames: Sequence[CalibrationFrame], build: Build, steps: int = 8) -> Solution:
        """The pose of a hand of that build in each frame: `solve` with the build held, which is the solution's own."""
        return self._run(frames, build, steps, free=False)

    def covariance(self, information: FloatArray) -> Array:
        """(126, 126) of the build, where frames say information (126, 126) in all. Pixels of a surface that is not the
        template's err together, also from frame to frame: they say `doubt` times less than if each erred by itself.
        Where the thumb's first joint lies within its ball, no number of frames shows, as another surface has it
        elsewhere: thumb_root_mm, a standard deviation, stays of that bone's length."""
        known = np.linalg.inv(self.prior_precision + information / self.config.doubt)
        return np.asarray(known + self._hidden)

    @property
    def rest_points(self) -> FloatArray:
        """(P, 3) mm, the surface's points on the template."""
        return self._surface.rest

    def points(self, hand: HandState, build: Build, frame: CalibrationFrame) -> FloatArray:
        """(P, 3) mm of the posed surface, in the crop's camera."""
        return self.seen(hand, build, frame).points

    def seen(self, hand: HandState, build: Build, frame: CalibrationFrame) -> SeenSurface:
        """The posed surface as a frame's crop shows it."""
        bones = self.kinematics.pose(hand)
        return self._surface.loosened(bones, hand.thickness, build.skin, frame.observation)

    def _run(self, frames: Sequence[CalibrationFrame], build: Build, steps: int, free: bool) -> Solution:
        if not frames:
            raise LumbricalError("there is no frame with a hand to learn its shape from")
        states = [_Frame(f, replace(f.start, beta=build.beta, thickness=build.thickness)) for f in frames]
        # The last step is never one that the encoder leads: what frames say of the build is taken from it.
        lead = min(self.config.first_steps, steps // 2)
        for number in range(steps):
            hessians = np.empty((len(frames), ALL_PARAMETERS, ALL_PARAMETERS))
            gradients = np.empty((len(frames), ALL_PARAMETERS))
            for index, state in enumerate(states):
                hessians[index], gradients[index] = self._equations(state, build, number, number < lead)
            distance = np.array([state.distance_mm for state in states])
            weights = self._weights(distance, number)
            step = self._step(hessians, gradients, weights, build, free)
            build = Build.of(build.vector + step.shape)
            self._move(states, step, build)
        hands = [state.hand for state in states]
        covariance = self.covariance(step.information.sum(0))
        return Solution(build, hands, covariance, np.asarray(step.information, np.float64), distance, weights)

    def _equations(self, state: _Frame, build: Build, number: int, led: bool) -> tuple[Array, Array]:
        """Normal equations (152, 152) and (152,) of one frame at its present pose. led: by the encoder's points."""
        frame, hand, config = state.frame, state.hand, self.config
        hessian, gradient = np.zeros((ALL_PARAMETERS, ALL_PARAMETERS)), np.zeros(ALL_PARAMETERS)
        own = (slice(PARAMETERS), slice(PARAMETERS))
        bones = self.kinematics.pose(hand)
        joints = self.kinematics.joint_jacobian(bones)
        doubt = config.first_doubt if led else config.point_doubt
        weight = np.repeat((doubt * np.asarray(frame.sigma, np.float64)) ** -2.0, 3)
        hessian[own] = (joints.T * weight) @ joints
        gradient[:PARAMETERS] = joints.T @ (weight * (bones.joints - frame.points).reshape(-1))
        seen = self._surface.loosened(bones, hand.thickness, build.skin, frame.observation)
        if seen.facing.any() and (state.outline is None or (number < config.first_steps and number % 2 == 0)):
            farthest = seen.points[seen.facing, 2].max() + config.silhouette.behind_mm
            state.outline = frame.observation.outline(farthest)
        parts = nearest_pulls(frame.observation, seen, self._surface, config.nearest, number)
        state.distance_mm = float(np.median(np.abs(parts[0].residual))) if parts and len(parts[0].index) else np.nan
        if state.outline is not None:
            parts.append(silhouette_pulls(frame.observation, state.outline, seen, self._surface, config.silhouette))
        if parts:
            pulls = _joined(parts)
            jacobian = self._surface.loose_jacobian(seen, pulls, bones, hand)
            weighted = jacobian * pulls.weight[:, None].astype(np.float32)
            hessian += weighted.T @ jacobian
            gradient += weighted.T @ pulls.residual
        self._priors.add(hessian[own], gradient[:PARAMETERS], hand, frame.start, None)
        return hessian, gradient

    def _weights(self, distance_mm: Array, number: int) -> Array:
        """(N,) how much each frame counts; all alike at first, when poses are still on their way."""
        if number < self.config.first_steps or not np.isfinite(distance_mm).any():
            return np.isfinite(distance_mm).astype(np.float64)
        limit = self.config.outlier * np.nanmedian(distance_mm)
        over = np.where(np.isfinite(distance_mm), np.maximum(distance_mm / limit, 1.0), inf)
        return np.asarray(over**-4.0)

    def _step(self, hessians: Array, gradients: Array, weights: Array, build: Build, free: bool) -> ArrowSolution:
        shared = slice(POSE.stop, None)
        # A frame's pose is its own whatever the frame counts: only what it says of the shape is weighted.
        solution = solve_arrow(
            hessians,
            gradients,
            self.prior_precision,
            self.prior_precision @ build.vector,
            self.config.damping,
            weights,
        )
        if free:
            return solution
        poses = np.linalg.solve(hessians[:, POSE, POSE], gradients[:, POSE, None])[..., 0]
        return replace(solution, poses=-poses, shape=np.zeros(hessians[0, shared].shape[0]))

    def _move(self, states: list[_Frame], step: ArrowSolution, build: Build) -> None:
        for state, move in zip(states, step.poses, strict=True):
            longest = np.abs(move[TURN.start : ANGLES.stop]).max()
            scaled = move * min(1.0, self.config.longest_turn / max(longest, 1e-9))
            hand = state.hand.moved(np.concatenate((scaled, np.zeros(PARAMETERS - POSE.stop))))
            state.hand = replace(hand, beta=build.beta, thickness=build.thickness)


def _joined(parts: list[Pulls]) -> Pulls:
    return Pulls(
        np.concatenate([part.index for part in parts]),
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.residual for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
