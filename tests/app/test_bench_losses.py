from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from app.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_bench_losses_reports_times_memory_and_agreement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "losses", "--json", "--batch", "2", "--repeats", "1", "--plain-repeats", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["batch"] == 2
    assert report["plain_step_ms"] > report["step_ms"] > 0
    assert report["energies_percent_of_encoder"] > 0
    assert report["largest_relative_difference"]["value"] < 1e-5
    assert report["largest_relative_difference"]["gradient"] < 1e-5
    # Two lists of every pixel against 68 Gaussians would be 9 MB an array if they were held at once.
    memory = report["peak_memory_mb"]
    assert 0 < memory["energies"] <= memory["every_pixel_a_leaf"] < 9


@pytest.mark.parametrize("wrong", [["--batch", "0"], ["--repeats", "0"], ["--device", "abacus"], ["--threads", "0"]])
def test_bench_losses_refuses_what_cannot_be_measured(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "losses", *wrong]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "lumbrical: error" in error


def test_stderr_shows_how_far_it_is_and_nothing_else() -> None:
    """torch's profiler writes to stderr past Python, so only another process shows it; a bar needs a terminal."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    command = [sys.executable, "main.py", "bench", "losses", "--batch=1", "--repeats=1", "--plain-repeats=0", "--json"]
    told = b""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        # Reading fails once nobody has the terminal open any more.
        with suppress(OSError):
            while part := os.read(controller, 4096):
                told += part
        report = json.loads(process.communicate()[0])
    os.close(controller)
    assert process.returncode == 0 and report["batch"] == 1
    shown = [line for line in told.decode().replace("\n", "\r").split("\r") if line.strip()]
    assert all(line.startswith("bench losses:") for line in shown), shown
    assert any("5/5" in line for line in shown)
