"""`evaluate --predictions FILE --ground-truth FILE` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app import cli


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Predictions of two methods, 5 and 10 mm off, and their ground truth: 25 frames of a small hand, 25 of a large."""
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 50, (1, 21, 3)) * np.repeat([1.0, 1.2], 25)[:, None, None] + (0, 0, 600)
    np.savez(tmp_path / "methods.npz", worse=truth + (6, 8, 0), better=truth + (3, 4, 0))
    np.save(tmp_path / "truth.npy", truth)
    return str(tmp_path / "methods.npz"), str(tmp_path / "truth.npy")


def _error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    try:
        status = cli.main(["evaluate", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    return printed.err


def test_the_table_has_the_best_first(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--predictions", files[0], "--ground-truth", files[1]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["predicted", "mean", "median", "<20mm", "<40mm"]
    assert lines[1].split()[:4] == ["better", "50/50", "5.00", "5.00"]
    assert lines[2].split()[:4] == ["worse", "50/50", "10.00", "10.00"]
    assert "50 frames of 21 joints" in lines[4] and "read as mm" in lines[4]


def test_f1_comes_with_a_second_subject(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--predictions", f"{files[0]}:worse", "--ground-truth", files[1], "--second-subject", "25"]
    assert cli.main(["evaluate", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("F1 first  F1 second")
    assert lines[1].split()[-2:] == lines[2].split()[-2:] == ["1.00", "1.00"]
    assert lines[2].startswith("ground truth")
    assert (
        "<20mm, <40mm: frames whose worst joint is within 20, 40 mm, those not predicted count as misses" in lines[-2]
    )
    assert cli.main(["evaluate", "--json", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["predictions"]["worse"]["bone_length_f1"] == [1, 1]
    assert report["predictions"]["worse"]["fraction_within"][9] == 0
    assert report["predictions"]["worse"]["fraction_within"][11] == 1


def test_the_help_explains_every_column(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--predictions", files[0], "--ground-truth", files[1], "--second-subject", "25"]
    assert cli.main(["evaluate", *options]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    part = capsys.readouterr().out.split("columns of the table of --predictions:\n")[1].split("\n\n")[0]
    assert header.split() == " ".join(line[2:14] for line in part.splitlines()).split()


def test_an_interrupt_is_told(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.evaluation.compare.compare", interrupted)
    assert cli.main(["evaluate", "--predictions", files[0], "--ground-truth", files[1]]) == 130
    printed = capsys.readouterr()
    told = "lumbrical: interrupted: not all was measured, so there are no figures\n"
    assert (printed.out, printed.err) == ("", told)


def test_the_curve_is_written_whole(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "curve.png"
    options = ["--predictions", files[0], "--plot", str(plot), "--ground-truth"]
    assert cli.main(["evaluate", *options, files[1]]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    plot.write_bytes(b"older")
    capsys.readouterr()
    assert "does not exist" in _error(capsys, *options, str(tmp_path / "nowhere.npy"))
    assert plot.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "methods.npz", "truth.npy"]


def test_names_with_signs_of_formulas_are_drawn(files: tuple[str, str], tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", **{"_a$x^{$": np.load(files[1])})
    plot = tmp_path / "curve.svg"
    assert (
        cli.main(
            ["evaluate", "--predictions", str(tmp_path / "odd.npz"), "--ground-truth", files[1], "--plot", str(plot)]
        )
        == 0
    )
    assert plot.stat().st_size > 1000


def test_wrong_options_are_one_line(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--predictions", files[0], "--ground-truth", files[1]]
    for alone in (both[:2], both[2:], ["--second-subject", "3"], ["--intrinsics", "500,500,320,240"]):
        assert "give both" in _error(capsys, *alone)
    for other in (["folder"], ["--rendered"], ["--gt-crop"], ["--smoothing", "0"]):
        assert "compare files and track nothing" in _error(capsys, *other, *both)
    for camera in ("1,2,3", "nan,500,320,240", "0,500,320,240", "500,500,inf,240", "a"):
        assert "is not fx,fy,cx,cy" in _error(capsys, *both, "--intrinsics", camera)
    assert ".png, .svg or .pdf" in _error(capsys, *both, "--plot", "curve.txt")
    assert "no array 'none'" in _error(capsys, "--predictions", f"{files[0]}:none", *both[2:])
