"""The bench of the start: what it makes of several starts, and how it tells of one that fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from app.benches import start
from app.cli import main
from app.start_times import process_start_s

WARM = {"arguments read": {"wall_s": 0.2, "processor_s": 0.1}, "first tracked": {"wall_s": 1.5, "processor_s": 1.0}}
SLOW = {"arguments read": {"wall_s": 0.4, "processor_s": 0.1}, "first tracked": {"wall_s": 3.5, "processor_s": 1.2}}


def test_medians_and_the_slowest() -> None:
    found = start.summary([WARM, SLOW, WARM])
    assert list(found) == ["arguments read", "first tracked"]
    assert found["first tracked"] == {"wall_s": 1.5, "wall_s_max": 3.5, "processor_s": 1.0}
    # A moment that one of the starts did not have says nothing.
    assert list(start.summary([WARM, {"arguments read": WARM["arguments read"]}])) == ["arguments read"]


def test_each_start_is_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[tuple[list[str], str]] = []
    forgotten: list[bool] = []

    def fake(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        begun.append((command, env.get("XDG_CACHE_HOME", "")))
        return subprocess.CompletedProcess(command, 0, json.dumps(WARM), "")

    monkeypatch.setattr(start, "require_display", lambda: None)
    monkeypatch.setattr(start, "forget_files", lambda: forgotten.append(True))
    monkeypatch.setattr(subprocess, "run", fake)
    assert main(["bench", "start", "--runs", "3", "--fresh", "--cold", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["runs"] == 3 and report["moments"]["first tracked"]["wall_s"] == 1.5
    assert len(forgotten) == 3 and len({cache for _, cache in begun}) == 3
    assert all(command[2:4] == ["run", "--time-start"] for command, _ in begun)


def test_a_start_that_fails_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 2, "", "noise\nlumbrical: error: no weights; train them\n")
    monkeypatch.setattr(start, "require_display", lambda: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert main(["bench", "start"]) == 2
    assert capsys.readouterr().err == "lumbrical: error: no weights; train them\n"


@pytest.mark.parametrize("wrong", [["--runs=0"], ["--runs=101"], ["--source=/nowhere"]])
def test_wrong_input_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "start", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_process_knows_when_it_began() -> None:
    """Counted by the process itself, so that loading Python is in it; ticks are 10 ms."""
    code = "import time; s=time.monotonic(); from app.start_times import process_start_s as p; print(p(), s)"
    before_s = time.monotonic()
    told = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=start._REPOSITORY)
    began_s, running_s = map(float, told.split())
    assert before_s - 0.05 < began_s < running_s
    assert process_start_s() < before_s
