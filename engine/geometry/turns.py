"""One rotation at a time, in numpy: what engine.geometry.rotations does for batches, at a tenth of torch's cost."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatArray


def matrix_of(euler: FloatArray) -> NDArray[np.float64]:
    """euler_to_matrix of three angles (x, y, z) in radians: R = Rz Rx Ry, (3, 3)."""
    x, y, z = euler.tolist()
    cx, sx, cy, sy, cz, sz = math.cos(x), math.sin(x), math.cos(y), math.sin(y), math.cos(z), math.sin(z)
    return np.array(
        (
            (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
            (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
            (-cx * sy, sx, cx * cy),
        )
    )


def euler_of(matrix: FloatArray) -> NDArray[np.float64]:
    """matrix_to_euler of one matrix (3, 3): angles (x, y, z), x in [-pi/2, pi/2]."""
    (a, _, c), (d, _, f), (g, h, i) = matrix.tolist()
    x, y = math.atan2(h, math.hypot(g, i)), math.atan2(-g, i)
    cy, sy = math.cos(y), math.sin(y)
    return np.array((x, y, math.atan2(d * cy + f * sy, a * cy + c * sy)))


def nearest_rotation(columns: FloatArray) -> NDArray[np.float64]:
    """six_d_to_matrix of a rotation's first two columns (3, 2), neither zero nor parallel: (3, 3)."""
    first = columns[:, 0] / math.sqrt(columns[:, 0] @ columns[:, 0])
    second = columns[:, 1] - (first @ columns[:, 1]) * first
    second /= math.sqrt(second @ second)
    return np.stack((first, second, np.cross(first, second)), 1)
