"""Rotation matrices as the angles and quaternions that files of motion hold, without jumps from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def zyx_angles(matrices: Array) -> Array:
    """Angles (N, J, 3) about z, y, x in radians with R = Rz Ry Rx, from (N, J, 3, 3).

    y stands in the middle: a finger bends about x by more than a right angle, where the middle angle would lock.
    Of the angles that give a matrix, those nearest to the frame before are taken, so that curves do not jump.
    """
    y = np.arctan2(-matrices[..., 2, 0], np.hypot(matrices[..., 2, 1], matrices[..., 2, 2]))
    x = np.arctan2(matrices[..., 2, 1], matrices[..., 2, 2])
    # z is read from Rz Ry = R Rx(-x): whatever rounding made of x near the lock, z makes up for it.
    column = matrices[..., :, 1] * np.cos(x)[..., None] - matrices[..., :, 2] * np.sin(x)[..., None]
    z = np.arctan2(-column[..., 0], column[..., 1])
    first = np.stack((z, y, x), -1)
    second = np.stack((z + np.pi, np.pi - y, x + np.pi), -1)
    angles = np.empty_like(first)
    before = np.zeros_like(first[0]) if len(first) else first
    for frame in range(len(first)):
        a, b = (one + 2 * np.pi * np.round((before - one) / (2 * np.pi)) for one in (first[frame], second[frame]))
        nearer = np.abs(a - before).sum(-1) <= np.abs(b - before).sum(-1)
        angles[frame] = before = np.where(nearer[:, None], a, b)
    return angles


def quaternions(matrices: Array) -> Array:
    """Unit quaternions (N, J, 4) as x, y, z, w from (N, J, 3, 3), each in the half sphere of the frame before."""
    m = matrices
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    # Four times the products of the largest component with all: none of the others is divided by little.
    parts = np.stack(
        (
            np.stack((1 + 2 * m[..., 0, 0] - trace, m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0],
                      m[..., 2, 1] - m[..., 1, 2]), -1),
            np.stack((m[..., 0, 1] + m[..., 1, 0], 1 + 2 * m[..., 1, 1] - trace, m[..., 1, 2] + m[..., 2, 1],
                      m[..., 0, 2] - m[..., 2, 0]), -1),
            np.stack((m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1], 1 + 2 * m[..., 2, 2] - trace,
                      m[..., 1, 0] - m[..., 0, 1]), -1),
            np.stack((m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1],
                      1 + trace), -1),
        ),
        -2,
    )  # fmt: skip
    largest = np.diagonal(parts, axis1=-2, axis2=-1).argmax(-1)
    rows = np.take_along_axis(parts, largest[..., None, None], -2)[..., 0, :]
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    turned = np.einsum("nji,nji->nj", unit[1:], unit[:-1]) < 0
    signs = np.cumprod(np.concatenate((np.ones_like(unit[:1, :, 0]), np.where(turned, -1.0, 1.0))), 0)
    return np.asarray(unit * signs[..., None], np.float64)
