"""Learning a surface from frames: what stays between a held hand, fitted to each frame, and what was measured there.

Each frame's fit leaves errors of its pose, its noise and its clutter, which differ from frame to frame; what is alike
in all of them is the surface's own. Pixels pull the nearest point of the surface along its normal, and points beyond
the outline are pulled back to it, as in the fit; heights that few frames saw stay near zero by their prior.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibration.frames import Build, CalibrationFrame
from calibration.tracking import personal_hand
from engine.fitting.fitter import HandFitter
from engine.fitting.nearest import NearestConfig, nearest_pulls
from engine.fitting.silhouette import SilhouetteConfig, silhouette_pulls
from engine.fitting.surface import SAMPLED_AS, FittedSurface, Pulls
from engine.geometry.vectors import dot
from engine.hand.model import surface_pattern
from engine.hand.relief import MOST_RELIEF_MM, RELIEF_SIZE, relief_weights
from engine.hand.template import HandTemplate, load_template
from engine.types import FloatArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReliefConfig:
    """rounds: of fitting all frames and moving the surface. steps: of each fit. known: frames are fitted as the tracker
    fits a hand whose bones are known, trusting pixels more; a surface on others' bones would bend to what those are
    off. prior_mm: standard deviation of a height. doubt: one pixel's distance counts as so many mm off, as neighbours
    and frames err together. soft_mm: what is further off counts less and less; outline_soft_mm: the same beyond the
    outline. refined: iterations within a round, for what counts less."""

    rounds: int = 3
    steps: int = 2
    known: bool = False
    prior_mm: float = 3.0
    doubt: float = 10.0
    soft_mm: float = 5.0
    outline_soft_mm: float = 15.0
    refined: int = 6
    nearest: NearestConfig = field(default_factory=lambda: NearestConfig(turns=1, sideways=0.0))
    silhouette: SilhouetteConfig = field(default_factory=lambda: SilhouetteConfig(slack_px=0.0))


@dataclass(frozen=True)
class _Seen:
    """Of one frame: what each height moves each measurement by (K, RELIEF_SIZE), how far each is off (K,) mm, and from
    where on it counts less (K,) mm."""

    rows: FloatArray
    off: FloatArray
    soft: FloatArray


class ReliefSolver:
    """Learns the relief of a build that is held."""

    def __init__(self, template: HandTemplate | None = None, config: ReliefConfig = ReliefConfig()) -> None:
        self.config, self._template = config, template or load_template()

    def solve(self, frames: Sequence[CalibrationFrame], build: Build) -> Iterator[Build]:
        """The build with a relief that fits the frames better; after each round what is found so far."""
        for _ in range(self.config.rounds):
            build = self._improved(frames, build)
            yield build

    def solved(self, frames: Sequence[CalibrationFrame], build: Build) -> Build:
        """The build that `solve` ends at."""
        *_, build = self.solve(frames, build)
        return build

    def _improved(self, frames: Sequence[CalibrationFrame], build: Build) -> Build:
        model, _ = personal_hand(build, self._template)
        fitter = HandFitter(model.template)
        fitter = (fitter.knowing_shape() if self.config.known else fitter.holding_shape()).stepping(self.config.steps)
        surface = FittedSurface(model.template, fitter.kinematics, fitter.config.surface_points)
        chosen, shares = (part.numpy() for part in surface_pattern(model.template, len(surface.skin), SAMPLED_AS))
        weights = (relief_weights()[chosen] * shares[..., None]).sum(1).astype(np.float32)
        seen = [part for frame in frames for part in self._seen(frame, build, fitter, surface, weights)]
        if not seen:
            return build
        rows, off, soft = (np.concatenate([getattr(part, name) for part in seen]) for name in ("rows", "off", "soft"))
        heights = self._heights(rows, off, soft, build.relief)
        return replace(build, relief=np.clip(heights, -MOST_RELIEF_MM, MOST_RELIEF_MM))

    def _seen(
        self,
        frame: CalibrationFrame,
        build: Build,
        fitter: HandFitter,
        surface: FittedSurface,
        weights: FloatArray,
    ) -> Iterator[_Seen]:
        config, observation = self.config, frame.observation
        start = replace(frame.start, beta=build.beta, thickness=build.thickness)
        hand = fitter.fit(start, frame.points, frame.sigma, observation).hand
        seen = surface.seen(fitter.kinematics.pose(hand), hand.thickness, observation)

        def off(pulls: Pulls, soft_mm: float) -> _Seen:
            outwards = dot(seen.normals[pulls.index], pulls.direction)
            soft = np.full(len(pulls.index), soft_mm)
            return _Seen(weights[pulls.index] * outwards[:, None].astype(np.float32), pulls.residual, soft)

        for pulls in nearest_pulls(observation, seen, surface, config.nearest, 0)[:1]:
            yield off(pulls, config.soft_mm)
        if seen.facing.any():
            outline = observation.outline(seen.points[seen.facing, 2].max() + config.silhouette.behind_mm)
            if outline is not None:
                beyond = silhouette_pulls(observation, outline, seen, surface, config.silhouette)
                yield off(beyond, config.outline_soft_mm)

    def _heights(self, rows: FloatArray, off: FloatArray, soft: FloatArray, start: Array) -> Array:
        """Least squares with the prior, what is far off counting less."""
        config, heights = self.config, start.copy()
        prior = np.eye(RELIEF_SIZE) / config.prior_mm**2
        for _ in range(config.refined):
            left = off + rows @ (heights - start)
            weight = (1 + (left / soft) ** 2) ** -2 / config.doubt**2
            weighted = rows * weight[:, None].astype(np.float32)
            gradient = weighted.T @ left + prior @ heights
            heights = heights - np.linalg.solve((weighted.T @ rows).astype(np.float64) + prior, gradient)
        return np.asarray(heights, np.float64)
