"""`bench runners` times what says the same as torch, and says why it leaves the rest out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.benches.runners import as_table, measure
from app.runtime.runner_check import DEMO, crops_of
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder, load_weights
from engine.runners import choose
from engine.runners.choose import RunnerKind
from engine.runners.int8 import int8_is_fast
from engine.runners.protocol import Progress, Runner
from engine.runners.torch_runner import TorchRunner
from engine.types import LumbricalError
from tests.app.runtime.test_runner_check import Askew


def missing(loaded: LoadedEncoder, progress: Progress) -> Runner:
    raise LumbricalError("it needs another machine")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which adds runners")
def test_what_is_off_torch_or_missing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "torch": RunnerKind("torch", "fp32", lambda loaded, _: TorchRunner(loaded)),
        "askew": RunnerKind("Askew", "fp32", lambda loaded, _: Askew(loaded, 1.0)),
        "missing": RunnerKind("Missing", "fp16", missing),
    }
    monkeypatch.setattr(choose, "RUNNERS", kinds)
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 0)
    crops = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128)).astype(np.float32)
    report = measure(loaded, {"here": (crops, np.full(2, 500, np.float32))}, 3)
    assert set(report["runners"]) == {"torch"} and report["runs_each"] == 6 and report["weights"] == "x-1"
    assert report["not_run"]["missing"] == "it needs another machine"
    assert "differs from torch by max 1 mm" in report["not_run"]["askew"] and len(report["not_run"]) == 2
    lines = as_table(report).splitlines()
    assert {line.split()[0] for line in lines if "not run:" in line} == {"askew", "missing"}
    assert any(line.split()[0] == "torch" and "1.0x" in line for line in lines)


def test_the_table_ends_with_what_run_takes_by_itself() -> None:
    row = {"precision": "fp32", "p10_ms": 1.0, "p95_ms": 4.0, "difference": {}}
    rows = {"torch": {**row, "p50_ms": 10.0}, "fast": {**row, "p50_ms": 4.0}}
    report = {"weights": "x-1", "gpu": None, "runs_each": 6, "runners": rows, "not_run": {}}
    for name, told in (
        ("fast", "takes fast here: 2.5 times as fast as torch"),
        ("elsewhere", "tries elsewhere here, in vain: onnx goes on"),
    ):
        assert as_table(report | {"by_itself": name}).splitlines()[-1] == f"by itself, run {told}"


@pytest.mark.skipif(not int8_is_fast(), reason="this processor is not made for int8")
def test_the_cpu_s_default_is_much_faster_than_torch_and_as_accurate() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        report = measure(load_weights(), {"demo": crops_of(DEMO, 12)}, 3)
    finally:
        torch.set_num_threads(threads)
    default, reference = (report["runners"][name] for name in (choose.cpu_runner(), "torch"))
    assert reference["p10_ms"] > 2.5 * default["p10_ms"] and default["difference"]["demo"]["mean_mm"] < 1.0
