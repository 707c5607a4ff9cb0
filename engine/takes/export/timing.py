"""When frames were: the constant step that some formats have, the running time that others need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.takes.motion import Motion
from engine.types import LumbricalError

#: The step of a clip that does not show one: a single frame, or a clock that stood still.
_DEFAULT_INTERVAL_S = 1 / 30


def frame_interval_s(motion: Motion) -> float:
    """The median time from a frame to the next, seconds."""
    steps = np.diff(motion.device_time_s)
    median = float(np.median(steps)) if len(steps) else 0.0
    return median if median > 0 else _DEFAULT_INTERVAL_S


def running_time_s(motion: Motion) -> NDArray[np.float32]:
    """(N,) seconds from the first frame, strictly growing even as float32; LumbricalError when they do not."""
    times = (motion.device_time_s - motion.device_time_s[0]).astype(np.float32)
    stalled = np.flatnonzero(np.diff(times) <= 0)
    if len(stalled):
        raise LumbricalError(
            f"the device's clock does not go on from frame {stalled[0]} to {stalled[0] + 1}: "
            "export with a fixed frame rate"
        )
    return times
