"""Where on the hand the model does not lie on what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calibration.frames import CalibrationFrame
from engine.methods.gaussian.encoder import HALF_CUBE_MM

if TYPE_CHECKING:
    from calibration.solver import ShapeSolver, Solution

Array = NDArray[np.float64]

#: What is further off counts as this far, mm; what lies so far behind the measured depth is hidden by something.
_MOST_MM, _HIDDEN_MM = 15.0, 25.0
#: A vertex has the value of so many points around it, by their distance plus a little.
_AROUND, _SOFT_MM = 4, 3.0


def residual_map(solver: ShapeSolver, frames: list[CalibrationFrame], solution: Solution) -> Array:
    """(V,) mm for the vertices of the solver's template: the mean over frames of |measured - model| along z, where the
    model's surface is seen; NaN on parts that no frame shows."""
    total, seen_in = np.zeros(len(solver.rest_points)), np.zeros(len(solver.rest_points))
    for hand, frame in zip(solution.hands, frames, strict=True):
        seen = solver.seen(hand, solution.build, frame)
        shown = np.nonzero(seen.visible)[0]
        pixel = frame.crop[seen.row[shown], seen.column[shown]]
        behind = seen.points[shown, 2] - (pixel * HALF_CUBE_MM + frame.distance)
        apart = np.where(pixel < 1.0, np.minimum(np.abs(behind), _MOST_MM), _MOST_MM)
        counts = (pixel >= 1.0) | (behind < _HIDDEN_MM)
        total[shown[counts]] += apart[counts]
        seen_in[shown[counts]] += 1
    values = np.divide(total, seen_in, out=np.full(len(total), np.nan), where=seen_in > 0)
    return _on_vertices(values, solver)


def _on_vertices(values: Array, solver: ShapeSolver) -> Array:
    """(V,) from values (P,) of the surface's points, NaN where all around are."""
    apart = np.linalg.norm(solver.template.vertices[:, None] - solver.rest_points, axis=-1)
    nearest = np.argpartition(apart, _AROUND, axis=1)[:, :_AROUND]
    weight = 1 / (np.take_along_axis(apart, nearest, 1) + _SOFT_MM)
    around = values[nearest]
    weight = np.where(np.isfinite(around), weight, 0.0)
    sums = weight.sum(1)
    mixed = (weight * np.nan_to_num(around)).sum(1)
    return np.asarray(np.divide(mixed, sums, out=np.full(len(sums), np.nan), where=sums > 0))
