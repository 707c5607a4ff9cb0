"""Runners by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.choose import FIRST_RUNNER, RUNNERS, best_runner, cpu_runner, make_runner
from engine.runners.int8 import int8_path
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.protocol import RunnerFailed
from engine.runners.tensorrt_plan import TensorRtUnavailable
from engine.runners.verify import BOUNDS_MM
from engine.types import LumbricalError


@pytest.fixture
def loaded() -> LoadedEncoder:
    sizes = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
    return LoadedEncoder(Encoder(sizes).eval(), "x-1", 0)


def test_what_tracks_first_works_everywhere(loaded: LoadedEncoder) -> None:
    assert make_runner(loaded).name == RUNNERS[FIRST_RUNNER].title
    assert make_runner(loaded, "torch").version == "x-1"


def test_onnx_runtime_that_fails_says_so_in_one_line(loaded: LoadedEncoder) -> None:
    with pytest.raises(LumbricalError, match=r"\AONNX Runtime failed: .+\Z") as failed:
        make_runner(loaded).run(np.zeros((1, 64, 64), np.float32), np.zeros(1, np.float32))
    assert not isinstance(failed.value, RunnerFailed)


def test_a_gpu_of_onnx_runtime_that_fails_is_told_apart(loaded: LoadedEncoder) -> None:
    class OnGpu:
        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def run(self, *_: object) -> list[object]:
            raise RuntimeError("CUDNN failure 4\nmore of it")

    runner = OnnxRunner(loaded)
    runner._session = OnGpu()
    with pytest.raises(RunnerFailed, match=r"\AONNX Runtime failed: CUDNN failure 4\Z"):
        runner.run(np.zeros((1, 128, 128), np.float32), np.zeros(1, np.float32))


def test_every_kind_has_bounds_to_be_checked_against() -> None:
    assert {kind.precision for kind in RUNNERS.values()} <= set(BOUNDS_MM)


def test_an_unknown_name_is_answered_with_the_known_ones(loaded: LoadedEncoder) -> None:
    with pytest.raises(LumbricalError, match="no runner 'fast'; choose one of onnx, int8, torch"):
        make_runner(loaded, "fast")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["tensorrt", "onnx-cuda", "onnx-tensorrt"])
def test_what_needs_a_gpu_says_so(name: str, loaded: LoadedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LumbricalError, match="NVIDIA GPU"):
        make_runner(loaded, name)


@pytest.mark.parametrize(
    ("gpu", "tensorrt", "providers", "name"),
    [
        (False, True, ["CUDAExecutionProvider", "CPUExecutionProvider"], "int8"),
        (True, True, ["CUDAExecutionProvider", "CPUExecutionProvider"], "tensorrt"),
        (True, False, ["CUDAExecutionProvider", "CPUExecutionProvider"], "onnx-cuda"),
        (True, False, ["CPUExecutionProvider"], "int8"),
    ],
)
def test_the_best_is_what_the_gpu_has_a_library_for(
    gpu: bool, tensorrt: bool, providers: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        if not tensorrt:
            raise TensorRtUnavailable("not installed")

    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("engine.runners.tensorrt_plan.load_tensorrt", load)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_vnni": True})
    assert best_runner() == name
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    assert best_runner() == ("onnx" if name == "int8" else name)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def _has(*instructions: str) -> Callable[[], dict[str, object]]:
    return lambda: {"architecture": "x86_64", "avx2": True} | dict.fromkeys(instructions, True)


@pytest.mark.parametrize(
    ("instructions", "name"), [(["avx512_vnni"], "int8"), (["avx_vnni"], "int8"), (["avx512_f"], "onnx"), ([], "onnx")]
)
def test_a_processor_made_for_int8_tracks_in_it_by_default(
    instructions: list[str], name: str, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", _has(*instructions))
    assert cpu_runner() == best_runner() == name


def test_int8_is_not_taken_where_it_is_no_faster_or_was_not_made(
    no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", _has("avx512_vnni"))
    weights = tmp_path / "mine.safetensors"
    assert best_runner(weights) == cpu_runner(weights) == FIRST_RUNNER
    int8_path(weights).write_bytes(b"small")
    assert best_runner(weights) == cpu_runner(weights) == "int8"
    monkeypatch.setattr("torch.cpu.get_capabilities", _has())
    assert best_runner(weights) == best_runner() == FIRST_RUNNER
    # Other versions of torch do not tell.
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert best_runner() == FIRST_RUNNER


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_provider_that_cannot_work_is_not_replaced_in_silence(
    loaded: LoadedEncoder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(LumbricalError, match=r"CUDAExecutionProvider|cannot be run"):
        make_runner(loaded, "onnx-cuda")
    assert "Falling back" not in capfd.readouterr().out
