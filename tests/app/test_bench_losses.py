from __future__ import annotations

import json

import pytest

from app.cli import main


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
