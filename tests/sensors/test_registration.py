"""Colour laid over depth: which cameras are the same one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.sensors.registration import ColorCamera, Registration
from engine.types import Intrinsics

CAMERA = Intrinsics(64, 48, 49.136505, 49.22818, 31.334106, 23.805847)
SAME = ColorCamera(CAMERA, np.eye(3), np.zeros(3))
COLOR = np.random.default_rng(0).integers(1, 256, (48, 64, 3)).astype(np.uint8)
DEPTH_MM = np.where(np.arange(64) < 20, 500, 0).astype(np.float32) + np.zeros((48, 1), np.float32)


def test_the_same_camera_s_colour_is_taken_as_it_is() -> None:
    assert np.array_equal(Registration(SAME, CAMERA)(COLOR, DEPTH_MM), COLOR)
    with pytest.raises(ValueError, match="does not fit"):
        Registration(SAME, CAMERA)(COLOR[:-1], DEPTH_MM)


@pytest.mark.parametrize(
    "other",
    [
        replace(SAME, intrinsics=replace(CAMERA, cx=32.0)),
        replace(SAME, rotation=np.array([[1, -0.001, 0], [0.001, 1, 0], [0, 0, 1]])),
        replace(SAME, translation_mm=np.array([0.0, 0.1, 0.0])),
        replace(SAME, distort=lambda x, y: (x, y)),
    ],
)
def test_another_camera_s_colour_needs_depth(other: ColorCamera) -> None:
    laid_over = Registration(other, CAMERA)(COLOR, DEPTH_MM)
    assert not laid_over[DEPTH_MM == 0].any() and laid_over[DEPTH_MM > 0].any(-1).mean() > 0.9
