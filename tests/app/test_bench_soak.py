"""The soak's judgement: what it calls a leak, a slope, a crash; and a short run with a tracker that costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import pytest

import app.runtime.tracker_factory as factory
from app.benches.memory import slope_of
from app.benches.shared_memory import unclaimed
from app.benches.soak import MAX_SLOPE, Resources, _is_clean, _leaks, _Soak
from app.cli import main
from engine.types import DepthFrame, TrackingResult
from tests.app.fakes import FakeTracker

CALM = Resources(threads=3, files=20, children=1, blocks=1, shared=frozenset({"other"}), memory_mb=300.0)


def test_a_slope_is_told_once_warm() -> None:
    samples = [(float(second), 900.0 - second if second < 30 else 400 + 2.0 * second / 60) for second in range(120)]
    slope, seen_s = slope_of(samples, 120.0)
    assert slope == pytest.approx(2.0) and seen_s == 89
    assert slope_of(samples[:5], 120.0) == (None, 0.0) and slope_of([], 0.0) == (None, 0.0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"threads": 4}, "threads: 3 before, 4 at the end"),
        ({"files": 25}, "files: 20 before, 25 at the end"),
        ({"children": 2}, "children: 1 before, 2 at the end"),
        ({"blocks": 2}, "blocks: 1 before, 2 at the end"),
        ({"shared": frozenset({"other", "psm_1"})}, "shared memory: psm_1"),
    ],
)
def test_what_stays_is_a_leak_and_what_goes_is_none(more: dict[str, Any], words: str) -> None:
    grown = replace(CALM, **more)
    assert _leaks(CALM, [CALM] * 3 + [grown] * 3) == [words]
    assert _leaks(CALM, [CALM, grown, CALM, grown, CALM, grown, CALM, CALM, CALM]) == []
    assert _leaks(CALM, [grown]) == []


@pytest.mark.parametrize("name", ["threads", "children", "blocks", "shared"])
def test_what_is_left_at_the_end_fails_it_but_for_a_few_handles(name: str) -> None:
    assert _is_clean(Counter(files=4, threads=0), 0.1) and _is_clean(Counter({name: -1}), None)
    assert not _is_clean(Counter({name: 1}), 0.1)


def test_memory_that_grows_fails_it() -> None:
    assert MAX_SLOPE == 1.0 and _is_clean(Counter(), 1.0) and not _is_clean(Counter(), 1.01)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system does not show its shared memory")
def test_shared_memory_of_another_program_is_no_leak() -> None:
    code = (
        "from multiprocessing.shared_memory import SharedMemory as M; m = M(create=True, size=9); "
        "print(m.name, flush=True); input(); m.unlink()"
    )
    ours = SharedMemory(create=True, size=9)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert (Path("/dev/shm") / name).exists()
        assert name not in unclaimed() and ours.name in unclaimed()
    finally:
        other.communicate("\n")
        ours.close()
        ours.unlink()


def test_a_short_run_passes_and_a_crash_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.benches.soak.MAX_SLOPE", 1e9)  # nothing is warm after half a minute
    monkeypatch.setattr("app.benches.soak.RESUMED_S", 60.0)
    monkeypatch.setattr(factory, "make_tracker", lambda _, runner: FakeTracker())
    told = _Soak._report
    runs: list[tuple[Any, ...]] = []

    def tell(*run: Any) -> dict[str, Any]:
        runs.append(run)
        return told(*run)

    monkeypatch.setattr(_Soak, "_report", tell)
    assert main(["bench", "soak", "--minutes", "0.5", "--no-isolate", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] and report["faults"] >= 3 and not report["stuck"]
    assert all(one["told"] for one in report["by_fault"].values())

    # The same run, judged by another limit.
    (run,) = runs
    monkeypatch.setattr("app.benches.soak.RESUMED_S", 0.0)
    with monkeypatch.context() as again:
        again.setattr(_Soak, "run", lambda _: told(*run))
        assert main(["bench", "soak", "--minutes", "0.5", "--no-isolate", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report["late"]) == set(report["by_fault"]) and not report["crashes"]

    class Dying(FakeTracker):
        def track(self, frame: DepthFrame) -> TrackingResult:
            if len(self.tracked) > 50:
                raise ZeroDivisionError("on purpose")
            return super().track(frame)

    monkeypatch.setattr(factory, "make_tracker", lambda _, runner: Dying())
    assert main(["bench", "soak", "--minutes", "0.5", "--no-isolate", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert "on purpose" in report["crashes"][0] and not report["passed"]


def test_wrong_minutes_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "soak", "--minutes", "0.1"]) != 0
    assert "--minutes must be" in capsys.readouterr().err
