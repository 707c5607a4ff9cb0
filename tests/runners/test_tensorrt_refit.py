"""Other weights for a plan: what can be seen of it without a GPU, and what the runner asks of TensorRT."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder, load_weights
from engine.runners import tensorrt_plan
from engine.runners.export import export_onnx, onnx_model
from engine.runners.half import half_onnx
from engine.runners.tensorrt_plan import ANY_GPU, PlanTarget, TensorRtUnavailable, build_plan, cached_plan
from engine.runners.tensorrt_refit import refit
from engine.runners.tensorrt_runner import TensorRtRunner
from engine.runners.torch_runner import TorchRunner
from engine.runners.verify import check, difference
from engine.types import FloatArray
from tests.runners.tensorrt_stand_in import StandIn, put_in_place

SIZES = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
CROPS = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128)).astype(np.float32)
DISTANCES = np.full(2, 500, np.float32)


def encoder(seed: int, sizes: EncoderConfig = SIZES) -> LoadedEncoder:
    torch.manual_seed(seed)
    return LoadedEncoder(Encoder(sizes).eval(), f"x-{seed}", 0)


def adapted(loaded: LoadedEncoder, version: str = "adapted-1") -> LoadedEncoder:
    """All trained values a little different, as adaptation leaves them."""
    torch.manual_seed(1)
    other = Encoder(loaded.encoder.config).eval()
    other.load_state_dict(loaded.encoder.state_dict())
    with torch.no_grad():
        for values in other.parameters():
            values.add_(torch.randn_like(values), alpha=0.02 * float(values.abs().mean()))
    return LoadedEncoder(other, version, 0)


def halves(loaded: LoadedEncoder, folder: Path) -> bytes:
    export_onnx(loaded, folder / "encoder.onnx")
    return half_onnx(folder / "encoder.onnx")


def points(runner: Any) -> FloatArray:
    return np.asarray(runner.run(CROPS, DISTANCES).points)


def test_adapted_weights_have_the_shipped_ones_names_and_nothing_else_of_the_network_changes(tmp_path: Path) -> None:
    shipped = load_weights()
    graphs = [onnx.load_from_string(halves(one, tmp_path)).graph for one in (shipped, adapted(shipped))]
    kinds = [[(one.name, tuple(one.dims), one.data_type) for one in graph.initializer] for graph in graphs]
    values = [[one.raw_data for one in graph.initializer] for graph in graphs]
    assert kinds[0] == kinds[1] and len(set(kinds[0])) == len(kinds[0]) > 50
    assert sum(one != other for one, other in zip(*values, strict=True)) > 50
    for graph in graphs:
        graph.ClearField("initializer")
    # What lay in a node instead would stay what it was in the plan.
    assert graphs[0] == graphs[1]


@pytest.fixture
def library() -> Any:
    try:
        return tensorrt_plan.load_tensorrt()
    except TensorRtUnavailable as missing:
        pytest.skip(str(missing))


def test_the_installed_library_has_what_a_refit_asks_for(library: Any) -> None:
    assert library.BuilderFlag.REFIT is not None
    for kind, names in {
        library.Refitter: ("get_missing_weights", "refit_cuda_engine_async"),
        library.OnnxParserRefitter: ("refit_from_bytes", "get_error", "num_errors"),
        library.ICudaEngine: ("refittable",),
    }.items():
        assert all(hasattr(kind, name) for name in names), kind
    # Without an engine neither can be made, but they do say what they want.
    for kind, wanted in ((library.Refitter, "ICudaEngine"), (library.OnnxParserRefitter, "Refitter")):
        with pytest.raises(TypeError, match=wanted):
            kind(None, None)


def test_the_library_knows_all_weights_by_the_files_names(library: Any, tmp_path: Path) -> None:
    model = halves(encoder(0), tmp_path)
    log = tensorrt_plan.error_log(library)
    network = library.Builder(log).create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert library.OnnxParser(network, log).parse(model)
    names = [one.name for one in onnx.load_from_string(model).graph.initializer]
    assert len(names) > 50
    assert [name for name in names if not network.mark_weights_refittable(name)] == []
    assert not network.mark_weights_refittable("no weight")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_plans_are_built_that_take_no_other_weights(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = halves(encoder(0), tmp_path)
    with pytest.raises(TensorRtUnavailable, match="cannot build a plan"):
        build_plan(model, refittable=True)
    monkeypatch.setattr(tensorrt_plan, "user_cache_path", lambda _: tmp_path)
    assert len(cached_plan(model, ANY_GPU)[0]) > 10_000


def test_for_a_gpu_a_plan_takes_other_weights_if_such_a_one_can_be_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = put_in_place(monkeypatch, tmp_path)
    gpu = PlanTarget("a GPU", "1")
    assert cached_plan(b"a", gpu) == (b"refittable a", False) and trt.built == [True]
    trt.refittable = False
    assert cached_plan(b"b", gpu) == (b"b", False) and trt.built == [True, True, False]
    assert cached_plan(b"b", gpu) == (b"b", True) and len(trt.built) == 3
    assert cached_plan(b"c", ANY_GPU) == (b"c", False) and trt.built[3:] == [False]


def test_a_plan_gets_other_weights_in_an_engine_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trt = put_in_place(monkeypatch, tmp_path)
    base, other = encoder(0), encoder(1)
    tracking = TensorRtRunner(base)
    before = points(tracking)
    refitted = TensorRtRunner(other, base=base)
    assert trt.built == [True] and trt.refitted == [trt.engines[1]] and refitted.version == "x-1"
    check("refitted", difference(refitted, TorchRunner(other), CROPS, DISTANCES), "fp16")
    assert np.array_equal(points(tracking), before)
    assert np.abs(points(refitted) - before).max() > 1.0


def test_what_cannot_be_refitted_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trt = put_in_place(monkeypatch, tmp_path)
    base = encoder(0)
    with pytest.raises(TensorRtUnavailable, match="no plan of x-0 is kept"):
        TensorRtRunner(encoder(1), base=base)
    TensorRtRunner(base)
    with pytest.raises(TensorRtUnavailable, match="weights of another network"):
        TensorRtRunner(encoder(3, EncoderConfig(0.25, 16, 32)), base=base)
    trt.refittable = False
    fixed = encoder(2)
    TensorRtRunner(fixed)
    with pytest.raises(TensorRtUnavailable, match="cannot take other weights"):
        TensorRtRunner(encoder(1), base=fixed)
    assert trt.refitted == []


@pytest.mark.parametrize(
    ("missing", "done", "words"),
    [(["a.weight"], True, "does not have, such as a.weight"), ([], False, "cannot exchange the plan's weights")],
)
def test_a_refit_that_is_not_whole_is_refused(missing: list[str], done: bool, words: str) -> None:
    refitter = SimpleNamespace(get_missing_weights=lambda: missing, refit_cuda_engine_async=lambda stream: done)
    trt = SimpleNamespace(
        ILogger=StandIn.ILogger,
        Refitter=lambda engine, log: refitter,
        OnnxParserRefitter=lambda refitter, log: SimpleNamespace(refit_from_bytes=lambda model: True),
    )
    with pytest.raises(TensorRtUnavailable, match=words):
        refit(trt, SimpleNamespace(refittable=True), b"", 0)


def test_weights_that_were_exported_before_are_taken_from_there(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"a graph")
    loaded = LoadedEncoder(encoder(0).encoder, "x-0", 0, tmp_path / "own.onnx")
    assert onnx_model(loaded) == b"a graph"
