"""Data to model: every measured pixel near the hand asks the nearest visible point of the model to come to it.

Point to plane (Chen & Medioni 1992; for hands Tagliasacchi et al. 2015). Nearest is meant in place and normal at once
(Feldmar & Ayache 1996), so that the flank of a finger does not answer for its neighbour's. So a finger comes sideways
to depth that it does not yet overlap, which no comparison along a pixel's ray can make it do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.fitting.observation import Observation
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface, robust_weight
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
    # Whole again, as loops are compiled for each layout.
    measured, facing = (
        np.ascontiguousarray(part[turn % config.turns :: config.turns])
        for part in (observation.points, observation.normals)
    )
    if not len(candidates) or not len(measured):
        return []
    apart = _apart(seen.points, seen.normals, candidates, measured, facing, config.normal_mm)
    index = candidates.take(apart.argmin(1))
    bounds = config.far_mm, config.agree, config.soft_mm, config.sigma_mm, config.slack_mm
    along, within = _pulls(seen.points, seen.normals, surface.skin, index, measured, facing, *bounds)
    if config.sideways == 0:
        return [Pulls(*along)]
    return [Pulls(*along), Pulls(*within[:3], config.sideways * within[3])]


@compiled
def _apart(
    points: FloatArray,
    normals: FloatArray,
    candidates: NDArray[np.int64],
    measured: FloatArray,
    facing: FloatArray,
    normal_mm: float,
) -> FloatArray:
    """(M, C) squared distances of measured pixels from the candidates, place and normal as one vector (6,)."""
    scale = np.float32(normal_mm)
    model = np.empty((6, len(candidates)), np.float32)
    for c in range(len(candidates)):
        for k in range(3):
            model[k, c] = points[candidates[c], k]
            model[3 + k, c] = scale * normals[candidates[c], k]
    apart = np.empty((len(measured), len(candidates)), np.float32)
    for m in range(len(measured)):
        x, y, z = measured[m, 0], measured[m, 1], measured[m, 2]
        u, v, w = scale * facing[m, 0], scale * facing[m, 1], scale * facing[m, 2]
        for c in range(len(candidates)):
            apart[m, c] = (model[0, c] - x) ** 2 + (model[1, c] - y) ** 2 + (model[2, c] - z) ** 2
            apart[m, c] += (model[3, c] - u) ** 2 + (model[4, c] - v) ** 2 + (model[5, c] - w) ** 2
    return apart


@compiled
def _pulls(
    points: FloatArray,
    normals: FloatArray,
    skin: NDArray[np.bool_],
    index: NDArray[np.int64],
    measured: FloatArray,
    facing: FloatArray,
    far_mm: float,
    agree: float,
    soft_mm: float,
    sigma_mm: float,
    slack_mm: float,
) -> tuple[tuple[NDArray[np.int64], FloatArray, FloatArray, FloatArray], ...]:
    """What measured pixels (M, 3) ask of points index (M,): the parts of Pulls along the normals, and within planes."""
    most = len(index)
    which, direction = np.empty((2, most), np.int64), np.empty((2, most, 3), np.float32)
    residual, weight = np.empty((2, most), np.float32), np.empty((2, most), np.float32)
    near = far = 0
    for m in range(most):
        p = index[m]
        nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
        x, y, z = points[p, 0] - measured[m, 0], points[p, 1] - measured[m, 1], points[p, 2] - measured[m, 2]
        length = np.sqrt(x * x + y * y + z * z)
        known = facing[m, 2] != 0
        # What is nearest to the cut through the forearm is the forearm.
        if length >= far_mm or not skin[p]:
            continue
        if known and facing[m, 0] * nx + facing[m, 1] * ny + facing[m, 2] * nz <= agree:
            continue
        out = x * nx + y * ny + z * nz
        which[0, near], direction[0, near], residual[0, near] = p, normals[p], out
        # On the whole distance, so that what is not on the hand loses its say.
        weight[0, near] = robust_weight(length, soft_mm, sigma_mm)
        x, y, z = x - out * nx, y - out * ny, z - out * nz
        aside = np.sqrt(x * x + y * y + z * z)
        if aside > slack_mm:
            which[1, far], residual[1, far], weight[1, far] = p, aside - slack_mm, weight[0, near]
            direction[1, far, 0], direction[1, far, 1], direction[1, far, 2] = x / aside, y / aside, z / aside
            far += 1
        near += 1
    return (
        (which[0, :near], direction[0, :near], residual[0, :near], weight[0, :near]),
        (which[1, :far], direction[1, :far], residual[1, :far], weight[1, :far]),
    )
