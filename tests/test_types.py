"""What the types that cross module boundaries refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.types import DepthFrame, Intrinsics, LumbricalError

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
