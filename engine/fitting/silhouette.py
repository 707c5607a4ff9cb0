"""Model to data: surface points where the camera sees through to the background are pulled to the hand's outline.

A point before the measured depth is impossible (free space); one behind it is merely hidden and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.fitting.observation import Observation, Outline
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface, robust_weight
from engine.geometry.vectors import dot


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
    outside = outline.distance[seen.row, seen.column] > config.slack_px
    index = np.flatnonzero(seen.facing & surface.skin & outside)
    nearest = outline.nearest(seen.row.take(index), seen.column.take(index))
    aside = observation.sideways(seen.points.take(index, 0), nearest)
    length = np.sqrt(dot(aside, aside))
    direction = np.zeros((len(index), 3), np.float32)
    direction[:, :2] = aside / np.maximum(length, 1e-6)[:, None]
    residual = np.maximum(length - config.slack_px * observation.pixel_mm, 0.0)
    weight = (residual < config.far_mm) * robust_weight(residual, config.soft_mm, config.sigma_mm)
    return Pulls(index, direction, residual, weight)
