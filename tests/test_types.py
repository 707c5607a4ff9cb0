"""What the types that cross module boundaries refuse."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from engine.types import DepthFrame, HandGeometry, HandSurface, Intrinsics, LumbricalError

CAMERA = Intrinsics(64, 48, 50.0, 50.0, 31.5, 23.5)
GOOD = {
    "depth": np.ones((48, 64), np.uint16),
    "depth_unit_mm": 1.0,
    "intrinsics": CAMERA,
    "number": 7,
    "device_time_s": 0.1,
    "host_time_s": 5.0,
    "color": np.zeros((48, 64, 3), np.uint8),
}


@pytest.mark.parametrize("field, value, words", [
    ("depth", np.ones((24, 32), np.uint16), r"depth is \(24, 32\) uint16.*say \(48, 64\)"),
    ("depth", np.ones((48, 64), np.float32), "depth is .*float32"),
    ("color", np.ones((48, 60, 3), np.uint8), r"color is \(48, 60, 3\)"),
    ("depth_unit_mm", 0.0, "depth unit"),
    ("depth_unit_mm", float("nan"), "depth unit"),
    ("device_time_s", float("nan"), "times are no numbers"),
    ("device_time_s", float("inf"), "times are no numbers"),
    ("host_time_s", float("nan"), "times are no numbers"),
])  # fmt: skip
def test_a_frame_that_does_not_fit_together_is_refused(field: str, value: Any, words: str) -> None:
    frame = DepthFrame(**GOOD)  # type: ignore[arg-type]
    assert frame.depth_mm().shape == (48, 64)
    with pytest.raises(LumbricalError, match=f"frame 7: its {words}") as caught:
        DepthFrame(**{**GOOD, field: value})
    assert "\n" not in str(caught.value)


def test_a_surface_is_made_once_and_only_when_asked_for() -> None:
    made: list[HandSurface] = []
    points = np.array([[1.0, 2.0, 3.0]], np.float32)

    def make() -> HandSurface:
        made.append(HandSurface(points, points, points[:, 0]))
        return made[-1]

    hand = HandGeometry(points, make)
    left = hand.mirrored()
    assert not made and left.joints.tolist() == [[-1.0, 2.0, 3.0]]
    assert left.surface.vertices.tolist() == left.surface.gaussian_means.tolist() == [[-1.0, 2.0, 3.0]]
    assert hand.surface is made[0] and len(made) == 1
    sent = pickle.loads(pickle.dumps(HandGeometry(points, make)))
    assert sent.surface.gaussian_sigmas.tolist() == [1.0]
