"""Benches of the window track by what `run` would come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import cli
from app.benches.as_run import tracker_as_run
from app.benches.live import _as_table
from app.config import TrackingConfig
from app.runtime import tracker_factory
from engine.runners import choose


@pytest.mark.parametrize(("named", "runner"), [(None, "int8"), ("onnx", "onnx"), ("torch", "torch")])
def test_the_runner_is_what_suits_the_machine_unless_it_is_named(
    named: str | None, runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best(weights: Path | None = None) -> str:
        return "int8"

    monkeypatch.setattr(choose, "best_runner", best)
    monkeypatch.setattr(tracker_factory, "make_tracker", lambda config, runner: runner)
    make, name = tracker_as_run(TrackingConfig(), named)
    made: object = make()
    assert made == name == runner


def test_the_table_names_it() -> None:
    times = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    report = dict.fromkeys(("latency_ms", "machine_ms", "draw_ms"), times) | {
        "source": "demo", "width": 640, "height": 480, "input_fps": 90.0, "seconds": 10.0, "runner": "int8",
        "results_per_s": 90.0, "viewer_fps": 30.0, "dropped": 0, "results": 900, "memory": {}, "stages_ms": {},
    }  # fmt: skip
    first = _as_table(report).splitlines()[0]
    assert first == "demo: 640 x 480 at 90 frames/s, 10 s, encoder by ONNX Runtime, int8"


def test_an_unknown_runner_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "live", "--runner=fast"])
    assert "'fast'" in capsys.readouterr().err
