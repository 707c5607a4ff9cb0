"""Model to data: surface points where the camera sees through to the background are pulled to the hand's outline.

A point before the measured depth is impossible (free space); one behind it is merely hidden and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.fitting.observation import MIDDLE, Observation, Outline
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface, robust_weight
from engine.methods.gaussian.encoder import CROP_SIZE
from engine.types import FloatArray


@dataclass(frozen=True)
class SilhouetteConfig:
    """sigma_mm: of one point's distance to the outline. slack_px: outlines fray that far. soft_mm: distances beyond it
    count less and less; far_mm: beyond it not at all. behind_mm: what lies further behind the hand is background."""

    sigma_mm: float = 12.0
    slack_px: float = 0.5
    soft_mm: float = 10.0
    far_mm: float = 30.0
    behind_mm: float = 25.0


def silhouette_pulls(
    observation: Observation, outline: Outline, seen: SeenSurface, surface: FittedSurface, config: SilhouetteConfig
) -> Pulls:
    """Pulls within the image plane, towards the outline."""
    pulls = _pulls(
        seen.points,
        seen.column,
        seen.row,
        seen.facing & surface.skin,
        outline.distance,
        outline.labels,
        outline.pixels,
        observation.focal,
        config.slack_px,
        config.slack_px * observation.pixel_mm,
        config.soft_mm,
        config.far_mm,
        config.sigma_mm,
    )
    return Pulls(*pulls)


@compiled
def _pulls(
    points: FloatArray,
    column: NDArray[np.int64],
    row: NDArray[np.int64],
    asked: NDArray[np.bool_],
    distance: FloatArray,
    labels: NDArray[np.int32],
    pixels: NDArray[np.int64],
    focal: np.float32,
    slack_px: float,
    slack_mm: float,
    soft_mm: float,
    far_mm: float,
    sigma_mm: float,
) -> tuple[NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """The parts of Pulls from the points that are asked to the outline's pixels (see Outline)."""
    most = len(points)
    index, direction = np.empty(most, np.int64), np.zeros((most, 3), np.float32)
    residual, weight = np.empty(most, np.float32), np.empty(most, np.float32)
    count = 0
    for p in range(most):
        if not asked[p] or distance[row[p], column[p]] <= slack_px:
            continue
        nearest = pixels[labels[row[p], column[p]] - 1]
        # In mm at the point's own depth, from the ray of the pixel.
        depth = points[p, 2] / focal
        x = points[p, 0] - (nearest % CROP_SIZE - MIDDLE) * depth
        y = points[p, 1] - (nearest // CROP_SIZE - MIDDLE) * depth
        length = np.sqrt(x * x + y * y)
        off = max(length - slack_mm, 0.0)
        index[count], residual[count] = p, off
        direction[count, 0], direction[count, 1] = x / max(length, 1e-6), y / max(length, 1e-6)
        weight[count] = robust_weight(off, soft_mm, sigma_mm) if off < far_mm else 0.0
        count += 1
    return index[:count], direction[:count], residual[:count], weight[:count]
