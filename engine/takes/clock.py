"""The log times of a take's messages."""

from __future__ import annotations

import time
from collections import OrderedDict

from engine.types import DepthFrame

#: Frames whose poses may still come.
_AWAITED_FRAMES = 2_000


class LogClock:
    """Nanoseconds since 1970 by the host's clock: of a frame's arrival, or, by_device_clock, spaced as the device's
    clock says. No two frames have the same, so that it joins a frame's messages."""

    def __init__(self, by_device_clock: bool) -> None:
        self._by_device_clock = by_device_clock
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._device_offset_s: float | None = None
        self._times: OrderedDict[tuple[int, float], int] = OrderedDict()
        self._first_ns = self._last_ns = 0

    @property
    def span_s(self) -> float:
        """From the first frame to the last."""
        return (self._last_ns - self._first_ns) / 1e9

    def now_ns(self) -> int:
        """The present moment."""
        return time.monotonic_ns() + self._offset_ns

    def frame_ns(self, frame: DepthFrame) -> int:
        """A new frame's log time; frame.host_time_s is time.monotonic()'s."""
        log_ns = max(self._arrival_ns(frame), self._last_ns + 1)
        self._first_ns = self._first_ns or log_ns
        self._last_ns = log_ns
        self._times[frame.number, frame.host_time_s] = log_ns
        if len(self._times) > _AWAITED_FRAMES:
            self._times.popitem(last=False)
        return log_ns

    def known_ns(self, frame: DepthFrame) -> int:
        """The log time that a frame was given, or would have been."""
        return self._times.get((frame.number, frame.host_time_s)) or self._arrival_ns(frame)

    def _arrival_ns(self, frame: DepthFrame) -> int:
        moment_s = frame.host_time_s
        if self._by_device_clock:
            if self._device_offset_s is None:
                self._device_offset_s = time.monotonic() - frame.device_time_s
            moment_s = frame.device_time_s + self._device_offset_s
        return max(0, round(moment_s * 1e9) + self._offset_ns)
