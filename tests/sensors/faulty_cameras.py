"""Small cameras that misbehave, made by functions that a child process can import; nothing else is imported here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.faults import FaultControl
from engine.sensors.faulty import FaultySensor
from engine.sensors.synthetic import SyntheticSensor
from engine.types import DepthFrame, Intrinsics

SMALL = Intrinsics(64, 48, 48.0, 50.0, 31.5, 23.5)


def ramp(time_s: float) -> NDArray[Any]:
    """A slope that differs at every pixel, nearer with time."""
    rows, columns = np.mgrid[:48, :64]
    return 600.0 + rows * 2 + columns - 10 * (time_s % 5)


def camera(fps: float = 60.0) -> SyntheticSensor:
    return SyntheticSensor(ramp, SMALL, fps=fps, live=True)


def faulty(control: FaultControl, fps: float = 60.0) -> FaultySensor:
    return FaultySensor(camera(fps), control)


def colored() -> SyntheticSensor:
    return _Colored(ramp, SMALL, fps=60, live=True)


def raising() -> SyntheticSensor:
    return _Raising(ramp, SMALL, fps=60, live=True)


class _Colored(SyntheticSensor):
    def _read(self, timeout_s: float) -> DepthFrame | None:
        frame = super()._read(timeout_s)
        if frame is None:
            return None
        shade = np.full((48, 64, 3), frame.number % 256, np.uint8)
        return DepthFrame(frame.depth, 0.25, SMALL, frame.number, frame.device_time_s, frame.host_time_s, color=shade)


class _Raising(SyntheticSensor):
    def _read(self, timeout_s: float) -> DepthFrame | None:
        raise RuntimeError("error code 12\nsee the log")
