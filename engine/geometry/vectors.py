"""Small vectors and few numbers in numpy, whose own functions cost more for their calls than for the arithmetic."""

from __future__ import annotations

import numpy as np

from engine.types import FloatArray


def dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Row by row: (N, D) and (N, D) -> (N,). Sums over a short axis are slow in numpy."""
    return (a * b) @ np.ones(a.shape[1], a.dtype)


def vectors(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """(..., 3) from its components (...)."""
    out = np.empty((*x.shape, 3), x.dtype)
    out[..., 0], out[..., 1], out[..., 2] = x, y, z
    return out


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross product over the last axis."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return vectors(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


def median(values: FloatArray) -> float:
    """Of numbers (N,), at least one, none of them NaN."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
