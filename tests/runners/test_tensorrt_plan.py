"""TensorRT as far as it goes without a GPU: reading the network, building its plan, keeping it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners import tensorrt_plan
from engine.runners.export import export_onnx
from engine.runners.half import half_onnx
from engine.runners.tensorrt_plan import ANY_GPU, PlanTarget, TensorRtUnavailable, build_plan, cached_plan, plan_key

try:
    tensorrt_plan.load_tensorrt()
except TensorRtUnavailable as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("plan") / "encoder.onnx"
    sizes = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
    export_onnx(LoadedEncoder(Encoder(sizes).eval(), "x-1", 0), path)
    return half_onnx(path)


def test_a_plan_of_the_encoder_is_built_without_a_gpu_and_tells_how_far_it_is(model: bytes) -> None:
    done: list[float] = []

    def progress(part: float) -> bool:
        done.append(part)
        return True

    plan = build_plan(model, progress=progress)
    assert len(plan) > 10_000
    assert done == sorted(done) and min(done) >= 0 and 0.9 < max(done) <= 1


def test_a_build_can_be_stopped(model: bytes) -> None:
    with pytest.raises(TensorRtUnavailable, match="cannot build"):
        build_plan(model, progress=lambda part: False)


def test_what_is_no_network_is_refused_in_one_line() -> None:
    with pytest.raises(TensorRtUnavailable, match="cannot read the network") as refused:
        build_plan(b"no network")
    assert "\n" not in str(refused.value)


def test_a_plan_is_built_once_for_each_network_gpu_and_driver(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[bytes] = []

    def fake(network: bytes, progress: object, refittable: bool = False) -> bytes:
        built.append(network)
        return f"plan {len(built)}".encode()

    monkeypatch.setattr(tensorrt_plan, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(tensorrt_plan, "build_plan", fake)
    assert cached_plan(model, ANY_GPU) == (b"plan 1", False)
    assert cached_plan(model, ANY_GPU) == (b"plan 1", True)
    gpu = PlanTarget("A GPU/1", "13.0")
    assert cached_plan(model, gpu) == (b"plan 2", False)
    assert cached_plan(model, PlanTarget("A GPU/1", "13.1")) == (b"plan 3", False)
    assert cached_plan(model + b" ", gpu) == (b"plan 4", False)
    assert cached_plan(model, gpu) == (b"plan 2", True)
    assert not list(tmp_path.glob("*.part")) and "/" not in plan_key(model, gpu)


def test_where_no_cache_can_be_written_plans_are_built_all_the_same(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr(tensorrt_plan, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(tensorrt_plan, "build_plan", lambda *_, **__: b"a plan")
    assert cached_plan(model, ANY_GPU) == (b"a plan", False)
