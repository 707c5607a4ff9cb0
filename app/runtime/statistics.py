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
        return Percentiles.of_rows(np.array([values_ms]))[0]

    @staticmethod
    def of_rows(rows_ms: FloatArray) -> list[Percentiles]:
        """Of each row of (rows, times), at least one time; at once, as one by one they take six times as long."""
        return [Percentiles(*row) for row in np.percentile(rows_ms, (50, 95, 99), axis=1).T.tolist()]


@dataclass(frozen=True)
class StatisticsSnapshot:
    """What the last seconds looked like.

    Rates in Hz; latencies in ms from a frame's arrival (its host_time_s) to its result; NaN when there was nothing.
    dropped: frames overtaken by a newer one before they were tracked, or on which tracking failed; lost_by_sensor: gaps
    in a camera's numbering. stages: of each of STAGES; draw: from asking for a picture of the 3D view to having it.
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


class WholeRate:
    """RollingRate without a horizon, in no memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = 0
        self._first_s = self._last_s = 0.0

    def tick(self) -> None:
        """Count one event, now."""
        self._last_s = self._clock()
        if not self._count:
            self._first_s = self._last_s
        self._count += 1

    def rate(self) -> float:
        """Events a second from the first to the last."""
        span = self._last_s - self._first_s
        return (self._count - 1) / span if span > 0 else 0.0


class WholeTimes:
    """Rows of times, ms, of a whole run; its memory is taken at once. Of more than `room` rows, the last ones stay."""

    def __init__(self, room: int, columns: int) -> None:
        self._rows = np.full((room, columns), np.nan, np.float32)
        self._count = 0

    def add(self, *row: float) -> None:
        """Note a row."""
        self._rows[self._count % len(self._rows)] = row
        self._count += 1

    def columns(self) -> FloatArray:
        """(columns, rows) of what is remembered."""
        return self._rows[: self._count].T.copy()


class LiveStatistics:
    """Counts what the workers and the viewer report; safe to call from any thread.

    horizon_s: how far back rates and percentiles look; a bench passes infinity to see its whole run. room: for so many
    results, in memory that is taken at once and instead of a horizon: a long run's own notes would look like a leak.
    """

    def __init__(
        self, horizon_s: float = 3.0, clock: Callable[[], float] = time.monotonic, room: int | None = None
    ) -> None:
        self._horizon_s = horizon_s
        self._clock = clock
        self._room = room
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a change of source or a warm-up."""
        with self._lock:
            self._capture, self._tracked, self._viewed = self._rate(), self._rate(), self._rate()
            self._times, self._drawn = self._rows(1 + len(STAGES)), self._rows(1)
            self._results = 0
            self._dropped = 0
            self._lost_by_sensor = 0

    def _rate(self) -> RollingRate | WholeRate:
        return RollingRate(self._horizon_s, self._clock) if self._room is None else WholeRate(self._clock)

    def _rows(self, columns: int) -> RollingTimes | WholeTimes:
        if self._room is None:
            return RollingTimes(self._horizon_s, self._clock)
        return WholeTimes(self._room, columns)

    def record_capture(self, overtaken: int = 0, lost_by_sensor: int = 0) -> None:
        """A frame arrived; overtaken frames before it were never tracked, lost_by_sensor never arrived."""
        with self._lock:
            self._capture.tick()
            self._dropped += overtaken
            self._lost_by_sensor += lost_by_sensor

    def record_failure(self) -> None:
        """A frame could not be tracked, which counts as dropped."""
        with self._lock:
            self._dropped += 1

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
        latency, *stages = Percentiles.of_rows(times) if times.size else [Percentiles.of(())]
        draw = Percentiles.of(drawn[0]) if drawn.size else Percentiles.of(())
        return StatisticsSnapshot(*rates, latency, *counts, dict(zip(STAGES, stages, strict=False)), draw)
