"""Data to model: every measured pixel near the hand asks the nearest visible point of the model to come to it.

Point to plane (Chen & Medioni 1992; for hands Tagliasacchi et al. 2015). Nearest is meant in place and normal at once
(Feldmar & Ayache 1996), so that the flank of a finger does not answer for its neighbour's. So a finger comes sideways
to depth that it does not yet overlap, which no comparison along a pixel's ray can make it do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.fitting.observation import Observation
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface, robust_weight
from engine.geometry.vectors import dot
from engine.types import FloatArray


@dataclass(frozen=True)
class NearestConfig:
    """sigma_mm: of one pixel's distance, as if all were independent; large because neighbours err together, by what
    sets a real hand's surface apart from the model's. soft_mm: pixels further from the surface count less and less;
    far_mm: beyond it they are of something else. normal_mm: how far apart opposed normals count as,
    halved; pixels whose normal's cosine with the point's is under `agree` are not matched. sideways: how much of the
    distance within the plane counts, beyond slack_mm, as surface points lie that far apart. turns: a step takes every
    so-manieth pixel, the next step the ones beside them.
    """

    sigma_mm: float = 7.0
    soft_mm: float = 10.0
    far_mm: float = 15.0
    normal_mm: float = 20.0
    sideways: float = 0.3
    slack_mm: float = 2.0
    agree: float = 0.2
    turns: int = 2


def nearest_pulls(
    observation: Observation, seen: SeenSurface, surface: FittedSurface, config: NearestConfig, turn: int
) -> list[Pulls]:
    """Pulls of the surface's points along their normals, and within their planes; none where nothing is near."""
    candidates = np.flatnonzero(seen.visible)
    measured, facing = (part[turn % config.turns :: config.turns] for part in (observation.points, observation.normals))
    if not len(candidates) or not len(measured):
        return []
    places = seen.points.take(candidates, 0)
    middle = places[0]
    model = _features(places - middle, seen.normals.take(candidates, 0), config)
    data = _features(measured - middle, facing, config)
    # Squared distances but for the data's own squares, as one product.
    model[:, 6] = dot(model, model)
    model[:, :6] *= -2.0
    data[:, 6] = 1.0
    index = candidates.take((data @ model.T).argmin(1))
    gap, normal = seen.points.take(index, 0) - measured, seen.normals.take(index, 0)
    length = np.sqrt(dot(gap, gap))
    unknown = facing[:, 2] == 0
    agree = unknown | (dot(facing, normal) > config.agree)
    # What is nearest to the cut through the forearm is the forearm.
    used = np.flatnonzero((length < config.far_mm) & surface.skin.take(index) & agree)
    index, gap, normal, length = (part.take(used, 0) for part in (index, gap, normal, length))
    # On the whole distance, so that what is not on the hand loses its say.
    weight = robust_weight(length, config.soft_mm, config.sigma_mm)
    out = dot(gap, normal)
    pulls = [Pulls(index, normal, out, weight)]
    if config.sideways > 0:
        within = gap - out[:, None] * normal
        aside = np.sqrt(dot(within, within))
        far = np.flatnonzero(aside > config.slack_mm)
        length = aside.take(far)
        direction = within.take(far, 0) / length[:, None]
        pulls.append(Pulls(index.take(far), direction, length - config.slack_mm, config.sideways * weight.take(far)))
    return pulls


def _features(points: FloatArray, normals: FloatArray, config: NearestConfig) -> NDArray[np.float32]:
    """(N, 7): place and normal as one vector, then a column for its square, still 0."""
    features = np.zeros((len(points), 7), np.float32)
    features[:, :3], features[:, 3:6] = points, config.normal_mm * normals
    return features
