"""Rates, percentiles and counts, on a clock of the test's own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.runtime.statistics import LiveStatistics, Percentiles


class Clock:
    """Time that goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_and_percentiles() -> None:
    clock = Clock()
    statistics = LiveStatistics(horizon_s=2.0, clock=clock)
    latencies = np.linspace(0.001, 0.1, 100)
    for latency in latencies:
        clock.now += 0.02
        statistics.record_capture()
        statistics.record_result(float(latency), {"encode": 3.0, "fit": 500 * float(latency)})
    numbers = statistics.snapshot()
    assert numbers.results_per_s == pytest.approx(50, rel=0.01)
    assert numbers.capture_fps == pytest.approx(50, rel=0.01)
    assert numbers.viewer_fps == 0
    assert numbers.latency.p50 == pytest.approx(50.5, abs=1)
    assert numbers.latency.p95 == pytest.approx(95, abs=1)
    assert numbers.latency.p99 == pytest.approx(99, abs=1)
    assert numbers.results == 100
    assert numbers.stages["encode"] == Percentiles(3.0, 3.0, 3.0)
    assert numbers.stages["fit"].p95 == pytest.approx(0.5 * numbers.latency.p95)
    assert numbers.stages["localise"].p99 == 0


def test_old_values_are_forgotten() -> None:
    clock = Clock()
    statistics = LiveStatistics(horizon_s=1.0, clock=clock)
    statistics.record_result(5.0, {})
    clock.now += 1.5
    statistics.record_result(0.010, {})
    assert statistics.snapshot().latency.p99 == pytest.approx(10)
    clock.now += 1.5
    assert math.isnan(statistics.snapshot().latency.p50)
    assert statistics.snapshot().results_per_s == 0


def test_a_stalled_source_shows_at_once() -> None:
    clock = Clock()
    statistics = LiveStatistics(horizon_s=3.0, clock=clock)
    for _ in range(30):
        clock.now += 1 / 30
        statistics.record_capture()
    assert statistics.snapshot().capture_fps == pytest.approx(30, rel=0.01)
    clock.now += 1.0
    assert statistics.snapshot().capture_fps < 16


def test_pictures_have_times_of_their_own() -> None:
    clock = Clock()
    statistics = LiveStatistics(horizon_s=1.0, clock=clock)
    assert math.isnan(statistics.snapshot().draw.p50)
    for draw_s in (5.0, 0.010, 0.030):
        clock.now += 0.8 if draw_s < 0.02 else 0.4
        statistics.record_view(draw_s)
    assert statistics.snapshot().draw.p50 == pytest.approx(20)


def test_drops_add_up_and_reset_forgets() -> None:
    statistics = LiveStatistics()
    statistics.record_capture(overtaken=2)
    statistics.record_capture(overtaken=1, lost_by_sensor=4)
    numbers = statistics.snapshot()
    assert (numbers.dropped, numbers.lost_by_sensor) == (3, 4)
    statistics.reset()
    assert statistics.snapshot().dropped == 0
