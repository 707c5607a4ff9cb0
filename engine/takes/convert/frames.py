"""What the targets of a conversion share: a recording's frames, and how fast they came."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.sensors.protocol import EndOfStream, Sensor
from engine.types import DepthFrame

#: Times between two frames that are looked at to tell a recording's rate.
_LOOKED_AT = 100


@dataclass(frozen=True)
class Converted:
    """How many frames were written, and what the target cannot hold of them, one line each."""

    frames: int
    not_kept: tuple[str, ...] = ()


def all_frames(sensor: Sensor) -> Iterator[DepthFrame]:
    """The frames of an open recording, from where it stands to its end. Raises BadRecording where it is damaged."""
    while True:
        try:
            frame = sensor.read()
        except EndOfStream:
            return
        if frame is not None:
            yield frame


def measured_fps(sensor: Sensor) -> float:
    """The rate that an open recording declares, else that of its first frames, 0 where its times say nothing. Rewinds
    it."""
    if sensor.fps > 0:
        return sensor.fps
    times = [frame.device_time_s for frame in itertools.islice(all_frames(sensor), _LOOKED_AT)]
    sensor.seek(0)
    gap_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return min(1000.0, 1 / gap_s) if gap_s > 0 else 0.0
