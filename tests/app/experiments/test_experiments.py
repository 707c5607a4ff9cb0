"""The experiments end to end, very small: each gives all its rows, a report, a table and a plot, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from app.cli import main
from app.experiments import ablation, real_depth, wrong_labels
from engine.evaluation.second_hand import person, render_person
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.training.config import load_config


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, sizes in (
        (ablation, {"_SUBJECT_CROPS": 8, "_OTHERS_CROPS": 2, "_TEST_CROPS": 6}),
        (wrong_labels, {"_PEOPLE": (200, 201), "_CROPS": 6, "_TEST_CROPS": 4}),
    ):
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    torch.manual_seed(1)
    small = Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16))
    monkeypatch.setattr("app.experiments.training.shipped", lambda: small)


def _run(out: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert main(["experiment", name, "--images", "16", "--out", str(out)]) == 0
    assert (out / "plot.png").stat().st_size > 5000
    return json.loads((out / "report.json").read_text()), capsys.readouterr().out


def test_the_ablation_has_the_paper_s_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, table = _run(tmp_path / "out", "ablation", capsys)
    assert list(report["rows"]) == list(ablation.ROWS)
    full, single = (
        load_config(Path(f"configs/experiments/ablation/{name}.toml")) for name in ("full", "without_dissim")
    )
    assert full.energies.dissim > 0 == single.energies.dissim
    for row in report["rows"].values():
        assert 0 < row["all_21"] < 150
        assert row["all_21"] == pytest.approx((6 * row["lab_6"] + 15 * row["unlab_15"]) / 21)
    assert all(title in table for title, _ in ablation.ROWS.values())
    before = (tmp_path / "out" / "full" / "checkpoint.pt").stat().st_mtime_ns
    _run(tmp_path / "out", "ablation", capsys)
    assert (tmp_path / "out" / "full" / "checkpoint.pt").stat().st_mtime_ns == before


def test_wrong_labels_are_as_wrong_as_the_paper_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, table = _run(tmp_path / "out", "wrong-labels", capsys)
    labels = report["rows"]["labels"]
    assert labels["median_mdpc_mm"] == pytest.approx(wrong_labels.HIM_MDPC_MM, abs=0.3)
    assert report["rows"]["truth"]["median_mdpc_mm"] < 13 and labels["depth_bias_mm"] > 10
    assert "no slack, without E_dissim" in table


def test_wrong_labels_lie_on_the_same_pixels() -> None:
    batch = render_person(person(3), 3, seed=1)
    moved = wrong_labels.wrong(batch, 20.0)
    for joints in (batch.joints, moved):
        joints[..., 2] += batch.distance.unsqueeze(1)
    assert torch.allclose(moved[..., :2] / moved[..., 2:], batch.joints[..., :2] / batch.joints[..., 2:], atol=1e-5)
    off = moved[..., 2] - batch.joints[..., 2]
    assert (off >= 19.9).all() and (off <= 20 * 2.01).all()
    assert torch.allclose(off, off[:, :1].expand_as(off), atol=1e-3)


def test_real_depth_measures_all_four_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("../shared/data/real/open-hand")
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    out = tmp_path / "out"
    assert main(["experiment", "real-depth", str(folder), "--images", "64", "--out", str(out)]) == 0
    rows = json.loads((out / "report.json").read_text())["rows"]
    assert [(row["weights"], row["fit"]) for row in rows] == [
        ("as shipped", False), ("as shipped", True), ("fine-tuned", False), ("fine-tuned", True),
    ]  # fmt: skip
    errors = [row["folders"]["open-hand"]["mean_joint_error_mm"] for row in rows]
    assert errors[1] < errors[0] < 20
    assert "MediaPipe" in capsys.readouterr().out


def test_a_name_that_is_no_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["experiment", "nothing"])
    assert "invalid choice" in capsys.readouterr().err
    assert real_depth.NAME == "real-depth"
