"""What benches say of memory and of the collector; and that a long run's own notes do not grow."""

from __future__ import annotations

import gc
import os
import tracemalloc

import pytest

from app.benches.memory import CollectorWatch, MemoryLog, resident_mb
from app.benches.whole_run import WholeRunStatistics


def test_a_process_of_its_own_is_measured() -> None:
    assert resident_mb() == pytest.approx(resident_mb(os.getpid()), rel=0.05) and resident_mb() > 10
    assert resident_mb(2**30) == 0.0


def test_growth_is_told_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("app.benches.memory.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "app.benches.memory.resident_mb", lambda pid=None: 300 + 3 * clock[0] / 60 if pid is None else 200.0
    )
    log = MemoryLog()
    for _ in range(480):
        log.sample(42)
        clock[0] += 0.25
    report = log.report()
    assert report["app"]["mb_a_minute"] == pytest.approx(3) and report["drawing"]["mb_a_minute"] == pytest.approx(0)
    assert report["app"]["mb"] == [300.0, 305.9, 305.9] and report["app"]["seen_s"] == 89
    short = MemoryLog()
    short.sample(None)
    assert list(short.report()) == ["app"] and short.report()["app"]["mb_a_minute"] is None


def test_collector_pauses_are_timed_only_while_watched() -> None:
    watch = CollectorWatch()
    watch.begin()
    gc.collect()
    pauses = watch.end()
    assert pauses["pauses"] >= 1 and 0 < pauses["longest_ms"] <= pauses["total_ms"] + 0.06
    gc.collect()
    watch.begin()
    assert watch.end()["pauses"] == 0 and watch not in gc.callbacks


def test_a_whole_run_is_kept_beside_the_last_seconds_and_does_not_grow() -> None:
    statistics = WholeRunStatistics(room=5000)
    statistics.record_result(9.0, {})
    statistics.reset()
    tracemalloc.start()
    try:
        for number in range(5000):
            statistics.whole.record_capture(overtaken=int(number % 10 == 0), lost_by_sensor=0)
            statistics.whole.record_result(0.001 * (1 + number % 100), {"fit": 2.0})
            statistics.whole.record_view(0.02)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()
    numbers = statistics.whole.snapshot()
    assert numbers.results == 5000 and numbers.dropped == 500
    assert numbers.latency.p50 == pytest.approx(50.5, abs=0.6) and numbers.stages["fit"].p99 == 2.0
    assert numbers.draw.p50 == pytest.approx(20) and numbers.results_per_s > 100
    statistics.record_result(0.004, {})
    statistics.record_view(0.01)
    statistics.record_capture(2, 3)
    assert statistics.snapshot().results == 1 and statistics.whole.snapshot().results == 5001
    assert statistics.whole.snapshot().dropped == 502
