"""Rates, latencies by stage and drop counts of a live session, over a rolling window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.types import FloatArray

#: What a frame goes through, in this order; a stage that a frame did without took it no time.
STAGES = ("capture", "hand-off", "localise", "crop", "encode", "fit", "residual", "filter", "model")


@dataclass(frozen=True)
class Percentiles:
    """Of times in ms; NaN of none."""

    p50: float
    p95: float
    p99: float

    @staticmethod
    def of(values_ms: Sequence[float]) -> Percentiles:
        """Of any number of times."""
        if not len(values_ms):
            return Percentiles(*(float("nan"),) * 3)
        return Percentiles(*(float(value) for value in np.percentile(values_ms, (50, 95, 99))))


@dataclass(frozen=True)
class StatisticsSnapshot:
    """What the last seconds looked like.

    Rates in Hz; latencies in ms from a frame's arrival (its host_time_s) to its result; NaN when there was nothing.
    dropped: frames overtaken by a newer one before they were tracked; lost_by_sensor: gaps in a camera's numbering.
    stages: of each of STAGES; draw: from asking for a picture of the 3D view to having it.
    """

    capture_fps: float
    results_per_s: float
    viewer_fps: float
    latency: Percentiles
    results: int
    dropped: int
    lost_by_sensor: int
    stages: dict[str, Percentiles]
    draw: Percentiles


class RollingTimes:
    """Rows of times, ms, of the last horizon_s seconds. Not locked: its owner does that."""

    def __init__(self, horizon_s: float, clock: Callable[[], float]) -> None:
        self._horizon_s = horizon_s
        self._clock = clock
        self._rows: deque[tuple[float, tuple[float, ...]]] = deque()

    def add(self, *row: float) -> None:
        """Note a row, now; all are of one length."""
        self._rows.append((self._clock(), row))
        self._forget()

    def columns(self) -> FloatArray:
        """(columns, rows) of what is remembered; (0, 0) of nothing."""
        self._forget()
        return np.array([row for _, row in self._rows]).T if self._rows else np.zeros((0, 0))

    def _forget(self) -> None:
        oldest = self._clock() - self._horizon_s
        while self._rows and self._rows[0][0] < oldest:
            self._rows.popleft()


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
            self._times = RollingTimes(self._horizon_s, self._clock)
            self._drawn = RollingTimes(self._horizon_s, self._clock)
            self._results = 0
            self._dropped = 0
            self._lost_by_sensor = 0

    def record_capture(self, overtaken: int = 0, lost_by_sensor: int = 0) -> None:
        """A frame arrived; overtaken frames before it were never tracked, lost_by_sensor never arrived."""
        with self._lock:
            self._capture.tick()
            self._dropped += overtaken
            self._lost_by_sensor += lost_by_sensor

    def record_result(self, latency_s: float, stage_ms: Mapping[str, float]) -> None:
        """A frame's result is out, latency_s after the frame arrived. stage_ms: how long each of STAGES took, ms."""
        with self._lock:
            self._tracked.tick()
            self._results += 1
            self._times.add(1000 * latency_s, *(stage_ms.get(stage, 0.0) for stage in STAGES))

    def record_view(self, draw_s: float) -> None:
        """The viewer has a new picture, draw_s after it asked for it."""
        with self._lock:
            self._viewed.tick()
            self._drawn.add(1000 * draw_s)

    def snapshot(self) -> StatisticsSnapshot:
        """The numbers as of now."""
        with self._lock:
            times, drawn = self._times.columns(), self._drawn.columns()
            rates = self._capture.rate(), self._tracked.rate(), self._viewed.rate()
            counts = self._results, self._dropped, self._lost_by_sensor
        latency, *stages = (Percentiles.of(row) for row in times) if times.size else (Percentiles.of(()),)
        draw = Percentiles.of(drawn[0]) if drawn.size else Percentiles.of(())
        return StatisticsSnapshot(*rates, latency, *counts, dict(zip(STAGES, stages, strict=False)), draw)
