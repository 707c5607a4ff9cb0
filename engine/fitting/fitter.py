"""Fits a hand to one frame: from the encoder's estimate to what its points and the measured depth say together.

Damped Gauss-Newton over 52 parameters (engine.fitting.state) with analytic Jacobians. The encoder's dense head says
where each joint is and how sure it is; its regressor says what hand that is, less exactly. The fit keeps the hand a
hand, reaches for the points, and lays the model's surface on the depth (nearest, silhouette).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine.fitting.kinematics import Kinematics
from engine.fitting.nearest import NearestConfig, nearest_pulls
from engine.fitting.observation import Observation, Outline
from engine.fitting.priors import PriorConfig, Priors
from engine.fitting.silhouette import SilhouetteConfig, silhouette_pulls
from engine.fitting.state import ANGLES, TURN, HandState
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface
from engine.hand.bones import PosedBones
from engine.hand.template import HandTemplate
from engine.types import JOINT_COUNT, FloatArray


@dataclass(frozen=True)
class FitConfig:
    """steps: of Gauss-Newton. surface_points: of the model. point_doubt: how many times the encoder's expected errors
    its points are taken to be off: they err together, not each by itself. longest_turn: of any angle in one step.
    known_steps, known_doubt, known_nearest: steps, point_doubt and nearest for a hand whose shape is known.
    What the encoder's points are off is then mostly that they have other hands' bones, pixels lie nearer to a surface
    that is the user's own, and more steps no longer bend the shape to one frame's noise.
    sigma_scale, sigma_power: see expected_errors; tools/calibrate_uncertainty.py finds them on rendered hands.
    """

    steps: int = 3
    surface_points: int = 800
    point_doubt: float = 1.5
    damping: float = 1e-3
    longest_turn: float = 1.0
    known_steps: int = 5
    known_doubt: float = 4.0
    sigma_scale: float = 0.606
    sigma_power: float = 1.24
    nearest: NearestConfig = field(default_factory=NearestConfig)
    known_nearest: NearestConfig = field(default_factory=lambda: NearestConfig(sigma_mm=5.0, slack_mm=4.0))
    silhouette: SilhouetteConfig = field(default_factory=SilhouetteConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)

    def expected_errors(self, spread_mm: FloatArray) -> FloatArray:
        """Root mean square distances, mm, by which joints are expected to be off: sigma_scale * spread ** sigma_power.

        spread_mm: of the joints, by the fit's inverse Hessian. It tells how far depth, the encoder's points and the
        other joints hold a joint, but presumes that each pixel pulls the right finger. The power sets unsure joints
        further apart from sure ones, as what is taken for something else is far off.
        """
        return np.asarray(self.sigma_scale * spread_mm**self.sigma_power)


@dataclass(frozen=True)
class FitResult:
    """hand: the fitted one. joint_sigma_mm: (21,) root mean square distance by which each joint is expected to be off,
    see FitConfig.expected_errors. last: what the last step saw.
    """

    hand: HandState
    joint_sigma_mm: FloatArray
    last: _Step

    @property
    def residual_mm(self) -> float:
        """Median distance along the normal of measured pixels from the fitted surface, NaN when none is near it."""
        return self.last.residual_mm()


class HandFitter:
    """Fits one hand surface. Holds nothing of the frames it has seen."""

    def __init__(self, template: HandTemplate, config: FitConfig = FitConfig()) -> None:
        self.config = config
        self._template = template
        self.kinematics = Kinematics()
        self._surface = FittedSurface(template, self.kinematics, config.surface_points)
        self._priors = Priors(config.prior)

    def holding_shape(self) -> HandFitter:
        """A fitter that leaves bone lengths and thickness as they start."""
        return type(self)(self._template, replace(self.config, prior=self.config.prior.holding_shape()))

    def knowing_shape(self) -> HandFitter:
        """A fitter of hands whose shape is known beforehand, and held."""
        config = self.config
        known = replace(config, steps=config.known_steps, point_doubt=config.known_doubt, nearest=config.known_nearest)
        return type(self)(self._template, replace(known, prior=config.prior.holding_shape()))

    def on(self, template: HandTemplate) -> HandFitter:
        """The same for another surface."""
        return type(self)(template, self.config)

    def stepping(self, steps: int) -> HandFitter:
        """The same with another number of steps."""
        return type(self)(self._template, replace(self.config, steps=steps))

    def fit(
        self,
        start: HandState,
        points: FloatArray,
        sigma: FloatArray,
        observation: Observation | None = None,
        last_angles: FloatArray | None = None,
    ) -> FitResult:
        """Move from `start` towards points (21, 3) mm, whose expected errors are sigma (21,) mm, and towards the depth
        observed. All in the crop's camera frame. last_angles: (20,) radians, of the
        frame before, that the pose stays near to.
        """
        hand, last = self._steps(start, points, sigma, observation, last_angles)
        return FitResult(hand, self.config.expected_errors(_joint_spread(last.joints, last.hessian)), last)

    def refit(
        self,
        start: HandState,
        points: FloatArray,
        sigma: FloatArray,
        observation: Observation | None = None,
        last_angles: FloatArray | None = None,
    ) -> HandState:
        """The hand that `fit` would give, without what else it tells."""
        return self._steps(start, points, sigma, observation, last_angles)[0]

    def surface(self, hand: HandState) -> FloatArray:
        """(P, 3) mm, points of a hand's surface, in the same frame."""
        return self._surface.posed(self.kinematics.pose(hand), hand.thickness)[0]

    def _steps(
        self,
        start: HandState,
        points: FloatArray,
        sigma: FloatArray,
        observation: Observation | None,
        last_angles: FloatArray | None,
    ) -> tuple[HandState, _Step]:
        weight = np.repeat((self.config.point_doubt * np.asarray(sigma, np.float64)) ** -2.0, 3)
        hand, outline = start, None
        for number in range(self.config.steps):
            bones = self.kinematics.pose(hand)
            joints = self.kinematics.joint_jacobian(bones)
            hessian, gradient = _normal_equations(joints, (bones.joints - points).reshape(-1), weight)
            evidence: _Evidence | None = None
            if observation is not None:
                seen = self._surface.seen(bones, hand.thickness, observation)
                if number == 0:
                    outline = self._outline(observation, seen)
                evidence = self._evidence(observation, outline, seen, bones, hand, number)
            if evidence is not None:
                more = _normal_equations(evidence.jacobian, evidence.pulls.residual, evidence.pulls.weight)
                hessian, gradient = hessian + more[0], gradient + more[1]
            self._priors.add(hessian, gradient, hand, start, last_angles)
            step = self._step(hessian, gradient)
            hand = hand.moved(step)
        return hand, _Step(joints, hessian, evidence, step)

    def _outline(self, observation: Observation, seen: SeenSurface) -> Outline | None:
        if not seen.facing.any():
            return None
        return observation.outline(seen.points[seen.facing, 2].max() + self.config.silhouette.behind_mm)

    def _evidence(
        self,
        observation: Observation,
        outline: Outline | None,
        seen: SeenSurface,
        bones: PosedBones,
        hand: HandState,
        number: int,
    ) -> _Evidence | None:
        """All pulls of the depth at one pose, as one block; None where there are none."""
        parts = nearest_pulls(observation, seen, self._surface, self.config.nearest, number)
        measured = len(parts[0].index) if parts else 0
        if outline is not None:
            parts.append(silhouette_pulls(observation, outline, seen, self._surface, self.config.silhouette))
        if not parts:
            return None
        pulls = Pulls(
            np.concatenate([part.index for part in parts]),
            np.concatenate([part.direction for part in parts]),
            np.concatenate([part.residual for part in parts]),
            np.concatenate([part.weight for part in parts]),
        )
        return _Evidence(pulls, self._surface.jacobian(seen, pulls, bones, hand), measured)

    def _step(self, hessian: FloatArray, gradient: FloatArray) -> FloatArray:
        damped = hessian + np.diag(self.config.damping * np.diag(hessian))
        step = -np.linalg.solve(damped, gradient)
        longest = np.abs(step[TURN.start : ANGLES.stop]).max()
        return np.asarray(step * min(1.0, self.config.longest_turn / max(longest, 1e-9)))


class WithoutFit(HandFitter):
    """Leaves the encoder's hand as it is: what the fit is compared with. Residual and expected errors are the fit's."""

    def _steps(
        self,
        start: HandState,
        points: FloatArray,
        sigma: FloatArray,
        observation: Observation | None,
        last_angles: FloatArray | None,
    ) -> tuple[HandState, _Step]:
        return start, super()._steps(start, points, sigma, observation, last_angles)[1]


@dataclass(frozen=True)
class _Evidence:
    """pulls with their jacobian (K, 52); the first `measured` of them are those of single pixels along normals."""

    pulls: Pulls
    jacobian: FloatArray
    measured: int


@dataclass(frozen=True)
class _Step:
    """One step (52,): the joints' derivatives (63, 52) and J'WJ (52, 52) before it, and what the depth said."""

    joints: FloatArray
    hessian: FloatArray
    evidence: _Evidence | None
    step: FloatArray

    def residual_mm(self) -> float:
        """Median distance, mm, of the measured pixels once the step is taken; NaN when there are none."""
        seen = self.evidence
        if seen is None or not seen.measured:
            return float("nan")
        left = seen.pulls.residual[: seen.measured] + seen.jacobian[: seen.measured] @ self.step
        return float(np.median(np.abs(left)))


def _normal_equations(jacobian: FloatArray, residual: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """J'WJ and J'Wr."""
    weighted = jacobian * weight[:, None]
    return (weighted.T @ jacobian).astype(np.float64), (weighted.T @ residual).astype(np.float64)


def _joint_spread(joints: FloatArray, hessian: FloatArray) -> FloatArray:
    """(21,) mm, root mean square, from the joints' derivatives (63, 52), where the inverse Hessian is the covariance of
    the parameters."""
    variance = (np.linalg.solve(hessian, joints.T) * joints.T).sum(0).reshape(JOINT_COUNT, 3)
    return np.asarray(np.sqrt(variance.sum(1)))
