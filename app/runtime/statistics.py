"""Rates, latencies and drop counts of a live session, over a rolling window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StatisticsSnapshot:
    """What the last seconds looked like.

    Rates in Hz; latencies in ms from a frame's arrival (its host_time_s) to its result; NaN when there was nothing.
    dropped: frames overtaken by a newer one before they were tracked; lost_by_sensor: gaps in a camera's numbering.
    """

    capture_fps: float
    results_per_s: float
    viewer_fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    results: int
    dropped: int
    lost_by_sensor: int


class RollingRate:
    """Events a second over the last horizon_s seconds. Not locked: its owner does that."""

    def __init__(self, horizon_s: float, clock: Callable[[], float]) -> None:
        self._horizon_s = horizon_s
        self._clock = clock
        self._times: deque[float] = deque()

    def tick(self) -> None:
        """Count one event, now."""
        self._times.append(self._clock())
        self._forget()

    def rate(self) -> float:
        """Events a second; an event that is due but does not come pulls the rate down at once."""
        self._forget()
        if len(self._times) < 2:
            return 0.0
        span = self._times[-1] - self._times[0]
        waiting = self._clock() - self._times[-1]
        gaps = len(self._times) - 1
        if waiting > 2 * span / gaps:
            span += waiting
        return gaps / span if span > 0 else 0.0

    def _forget(self) -> None:
        oldest = self._clock() - self._horizon_s
        while self._times and self._times[0] < oldest:
            self._times.popleft()


class LiveStatistics:
    """Counts what the workers and the viewer report; safe to call from any thread.

    horizon_s: how far back rates and percentiles look; a bench passes infinity to see its whole run.
    """

    def __init__(self, horizon_s: float = 3.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._horizon_s = horizon_s
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a change of source or a warm-up."""
        with self._lock:
            self._capture = RollingRate(self._horizon_s, self._clock)
            self._tracked = RollingRate(self._horizon_s, self._clock)
            self._viewed = RollingRate(self._horizon_s, self._clock)
            self._latencies: deque[tuple[float, float]] = deque()
            self._results = 0
            self._dropped = 0
            self._lost_by_sensor = 0

    def record_capture(self, overtaken: int = 0, lost_by_sensor: int = 0) -> None:
        """A frame arrived; overtaken frames before it were never tracked, lost_by_sensor never arrived."""
        with self._lock:
            self._capture.tick()
            self._dropped += overtaken
            self._lost_by_sensor += lost_by_sensor

    def record_result(self, latency_s: float) -> None:
        """A frame's result is out, latency_s after the frame arrived."""
        with self._lock:
            self._tracked.tick()
            self._results += 1
            now = self._clock()
            self._latencies.append((now, latency_s))
            while self._latencies[0][0] < now - self._horizon_s:
                self._latencies.popleft()

    def record_view(self) -> None:
        """The viewer has put a new picture on the screen."""
        with self._lock:
            self._viewed.tick()

    def snapshot(self) -> StatisticsSnapshot:
        """The numbers as of now."""
        with self._lock:
            oldest = self._clock() - self._horizon_s
            latencies = [latency for at, latency in self._latencies if at >= oldest]
            rates = self._capture.rate(), self._tracked.rate(), self._viewed.rate()
            counts = self._results, self._dropped, self._lost_by_sensor
        p50, p95, p99 = 1000.0 * np.percentile(latencies, (50, 95, 99)) if latencies else (float("nan"),) * 3
        return StatisticsSnapshot(*rates, float(p50), float(p95), float(p99), *counts)
