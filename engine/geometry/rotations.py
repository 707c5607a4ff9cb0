"""Rotations as matrices, Euler angles and the continuous 6D form. Pure torch functions over leading batch axes."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_about_axis(axis: int, angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about coordinate axis 0, 1 or 2 by angle (...) in radians."""
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        0: (one, zero, zero, zero, cosine, -sine, zero, sine, cosine),
        1: (cosine, zero, sine, zero, one, zero, -sine, zero, cosine),
        2: (cosine, -sine, zero, sine, cosine, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def euler_to_matrix(euler: Tensor) -> Tensor:
    """R = Rz Rx Ry (..., 3, 3) from the angles (x, y, z) in radians, (..., 3).

    The pitch x stands in the middle, so the gimbal locks only when the fingers point straight at the camera
    or away from it.
    """
    x, y, z = euler.unbind(-1)
    return rotation_about_axis(2, z) @ rotation_about_axis(0, x) @ rotation_about_axis(1, y)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """The angles (x, y, z) of euler_to_matrix, x in [-pi/2, pi/2], (..., 3) from (..., 3, 3).

    They give the matrix back even where the gimbal locks and y and z by themselves mean nothing.
    """
    x = torch.atan2(matrix[..., 2, 1], torch.hypot(matrix[..., 2, 0], matrix[..., 2, 2]))
    y = torch.atan2(-matrix[..., 2, 0], matrix[..., 2, 2])
    # z is read from Rz Rx = R Ry(-y): whatever rounding made of y near the lock, z makes up for it.
    first = matrix[..., :, 0] * y.cos().unsqueeze(-1) + matrix[..., :, 2] * y.sin().unsqueeze(-1)
    z = torch.atan2(first[..., 1], first[..., 0])
    return torch.stack((x, y, z), -1)


def six_d_to_matrix(six: Tensor) -> Tensor:
    """Gram-Schmidt of two 3-vectors (..., 6) into a rotation whose first columns they span (Zhou et al. 2019)."""
    first = torch.nn.functional.normalize(six[..., :3], dim=-1, eps=1e-6)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1, eps=1e-6)
    return torch.stack((first, second, torch.linalg.cross(first, second, dim=-1)), -1)


def matrix_to_six_d(matrix: Tensor) -> Tensor:
    """The first two columns of a rotation, (..., 6)."""
    return torch.cat((matrix[..., :, 0], matrix[..., :, 1]), -1)
