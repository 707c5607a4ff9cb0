"""TensorRT's runner, with ONNX Runtime in TensorRT's place and the CPU in the GPU's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.protocol import RunnerFailed
from engine.runners.tensorrt_plan import TensorRtUnavailable
from engine.runners.tensorrt_runner import TensorRtRunner
from engine.runners.torch_runner import TorchRunner
from tests.runners.tensorrt_stand_in import Context, StandIn, put_in_place


@pytest.fixture(scope="module")
def loaded() -> LoadedEncoder:
    torch.manual_seed(0)
    sizes = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
    return LoadedEncoder(Encoder(sizes).eval(), "x-1", 0)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    return put_in_place(monkeypatch, tmp_path)


CROPS = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128)).astype(np.float32), np.full(2, 500, np.float32)


@pytest.mark.parametrize(("half", "off_mm"), [(True, 1.0), (False, 1e-3)])
def test_it_says_what_torch_says(half: bool, off_mm: float, loaded: LoadedEncoder, trt: StandIn) -> None:
    said, expected = TensorRtRunner(loaded, half=half).run(*CROPS), TorchRunner(loaded).run(*CROPS)
    assert np.abs(said.points - expected.points).max() < off_mm


def test_a_kept_plan_that_does_not_load_is_built_anew(loaded: LoadedEncoder, trt: StandIn, tmp_path: Path) -> None:
    TensorRtRunner(loaded)
    TensorRtRunner(loaded)
    assert len(trt.built) == 1
    (kept,) = tmp_path.glob("*.plan")
    kept.write_bytes(b"cut short")
    TensorRtRunner(loaded)
    assert len(trt.built) == 2 and kept.stat().st_size > 1000


def test_a_gpu_that_fails_is_told_in_one_line(
    loaded: LoadedEncoder, trt: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = TensorRtRunner(loaded)

    def fail(*_: object) -> bool:
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(Context, "execute_async_v3", fail)
    with pytest.raises(TensorRtUnavailable, match=r"^the GPU failed: CUDA error: out of memory$"):
        runner.run(*CROPS)
    with pytest.raises(RunnerFailed):
        runner.run(*CROPS)
