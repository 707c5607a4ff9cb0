"""Angles and quaternions give their matrices back, and follow them without jumps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.geometry.rotations import rotation_about_axis
from engine.takes.export.turns import quaternions, zyx_angles
from tests.takes.export.clips import Array
from tests.takes.export.glb_reader import matrix_of


def _zyx(angles: Array) -> Array:
    z, y, x = (rotation_about_axis(axis, torch.tensor(angles[..., k])) for k, axis in enumerate((2, 1, 0)))
    return np.asarray((z @ y @ x).numpy())


def _random_turns() -> Array:
    """(500, 3, 3, 3), half turns about the axes and locked angles among them."""
    angles = np.random.default_rng(2).uniform(-np.pi, np.pi, (500, 3, 3))
    angles[:60] = np.round(angles[:60] / (np.pi / 2)) * (np.pi / 2)
    return _zyx(angles)


def test_angles_give_the_matrices_back() -> None:
    turns = _random_turns()
    np.testing.assert_allclose(_zyx(zyx_angles(turns)), turns, atol=1e-7)


def test_quaternions_give_the_matrices_back() -> None:
    turns = _random_turns()
    found = quaternions(turns)
    for joint in range(3):
        np.testing.assert_allclose(matrix_of(found[:, joint]), turns[:, joint], atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_two_whole_turns_are_one_even_curve(axis: int) -> None:
    angles = np.zeros((200, 1, 3))
    angles[:, 0, axis] = np.linspace(0, 4 * np.pi, 200)
    np.testing.assert_allclose(zyx_angles(_zyx(angles)), angles, atol=1e-7)
    found = quaternions(_zyx(angles))[:, 0]
    step = np.cos(angles[1, 0, axis] / 2)
    np.testing.assert_allclose((found[1:] * found[:-1]).sum(1), step, atol=1e-9)


def test_no_frames_no_angles() -> None:
    none = np.zeros((0, 4, 3, 3))
    assert zyx_angles(none).shape == (0, 4, 3) and quaternions(none).shape == (0, 4, 4)
