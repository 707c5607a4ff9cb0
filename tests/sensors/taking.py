"""Reading in tests, where nothing may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import Sensor
from engine.types import DepthFrame


def take(sensor: Sensor, timeout_s: float = 0.2) -> DepthFrame:
    """The next frame, which must come in time."""
    frame = sensor.read(timeout_s)
    assert frame is not None, "no frame came in time"
    return frame


def colors(frame: DepthFrame) -> NDArray[Any]:
    """The frame's colour, which must be there, as int."""
    assert frame.color is not None, "the frame has no colour"
    return np.asarray(frame.color, int)
