"""What every runner must do, run over all of them."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.methods.gaussian.encoder import CROP_SIZE, Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.choose import RUNNERS as KINDS
from engine.runners.choose import make_runner
from engine.runners.export import cached_onnx, export_onnx
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.protocol import Runner
from engine.runners.quantise import quantise
from engine.runners.torch_runner import TorchRunner


def _onnx(loaded: LoadedEncoder, folder: Path) -> Runner:
    path = folder / "encoder.onnx"
    export_onnx(loaded, path)
    return OnnxRunner(loaded, path=path)


def _int8(loaded: LoadedEncoder, folder: Path) -> Runner:
    quantise(loaded, *inputs(16), folder / "int8.onnx")
    return OnnxRunner(loaded, path=folder / "int8.onnx")


def _on_a_gpu(name: str) -> Callable[[LoadedEncoder, Path], Runner]:
    def make(loaded: LoadedEncoder, folder: Path) -> Runner:
        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")
        return make_runner(loaded, name)

    return make


def _refitted(loaded: LoadedEncoder, folder: Path) -> Runner:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    base = LoadedEncoder(Encoder(loaded.encoder.config).eval(), "test-base", 0)
    make_runner(base, "tensorrt")
    refit = KINDS["tensorrt"].refit
    assert refit is not None
    return refit(base, loaded)


RUNNERS: dict[str, Callable[[LoadedEncoder, Path], Runner]] = {
    "torch": lambda loaded, folder: TorchRunner(loaded),
    "onnx": _onnx,
    "onnx, fp16": lambda loaded, folder: OnnxRunner(loaded, half=True),
    "int8": _int8,
    "onnx-cuda": _on_a_gpu("onnx-cuda"),
    "onnx-tensorrt": _on_a_gpu("onnx-tensorrt"),
    "tensorrt": _on_a_gpu("tensorrt"),
    "tensorrt, refitted": _refitted,
}
#: How far an output may be off the reference's, as a share of its largest value.
TOLERANCE = {"torch": 1e-3, "onnx": 1e-3, "int8": 0.1}
IN_HALF = 2e-2


@pytest.fixture(scope="module")
def loaded() -> LoadedEncoder:
    torch.manual_seed(0)
    return LoadedEncoder(Encoder(EncoderConfig(0.25, 16, 32)).eval(), "test-1", 0)


@pytest.fixture(scope="module", params=list(RUNNERS))
def runner(request: pytest.FixtureRequest, loaded: LoadedEncoder, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return RUNNERS[request.param](loaded, tmp_path_factory.mktemp("runner"))


def inputs(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    crops = random.uniform(-1, 1, (count, CROP_SIZE, CROP_SIZE)).astype(np.float32)
    return crops, random.uniform(300, 900, count).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shapes_and_types(runner: Runner, count: int) -> None:
    estimate = runner.run(*inputs(count))
    sizes = {"points": (21, 3), "sigma": (21,), "translation": (3,), "rotation": (3, 3), "articulation": (20,)}
    sizes |= {"beta": (20,), "thickness": (6,), "hand": (), "right": ()}
    for name, size in sizes.items():
        array = getattr(estimate, name)
        assert array.shape == (count, *size), name
        assert array.dtype == np.float32, name


def test_equals_the_reference(runner: Runner, loaded: LoadedEncoder, request: pytest.FixtureRequest) -> None:
    tolerance = TOLERANCE.get(request.node.callspec.params["runner"], IN_HALF)
    crops, distances = inputs(3)
    ours, reference = runner.run(crops, distances), TorchRunner(loaded).run(crops, distances)
    for name, expected in vars(reference).items():
        assert np.allclose(getattr(ours, name), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()), name


def test_a_crop_is_read_alike_alone_and_in_a_batch(runner: Runner) -> None:
    crops, distances = inputs(4)
    together, alone = runner.run(crops, distances), runner.run(crops[2:3], distances[2:3])
    assert np.allclose(together.points[2], alone.points[0], atol=1e-2)


def test_results_repeat_and_are_the_callers_own(runner: Runner) -> None:
    crops, distances = inputs(1)
    first = runner.run(crops, distances)
    kept = first.points.copy()
    runner.run(*inputs(1)[:1], distances + 100)
    assert np.array_equal(first.points, kept)
    assert np.array_equal(runner.run(crops, distances).points, kept)


def test_rotations_are_rotations_and_probabilities_are_probabilities(runner: Runner) -> None:
    estimate = runner.run(*inputs(3))
    assert np.allclose(estimate.rotation @ estimate.rotation.transpose(0, 2, 1), np.eye(3), atol=1e-4)
    assert ((estimate.hand >= 0) & (estimate.hand <= 1) & (estimate.right >= 0) & (estimate.right <= 1)).all()
    assert (estimate.sigma > 0).all()


def test_it_names_itself_and_its_weights(runner: Runner) -> None:
    assert runner.name
    assert runner.version == "test-1"


def test_the_model_is_made_without_a_warning_and_without_a_cache(
    loaded: LoadedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    caches = {"none can be made": tmp_path / "file", "kept": tmp_path / "cache"}
    crops, distances = inputs(1)
    for folder in caches.values():
        monkeypatch.setattr("engine.runners.export.user_cache_path", lambda name, folder=folder: folder / name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert OnnxRunner(loaded).run(crops, distances).points.shape == (1, 21, 3)
    kept = cached_onnx(loaded)
    assert isinstance(kept, Path) and kept.name.startswith("test-1-")
    assert list((tmp_path / "cache" / "lumbrical").iterdir()) == [kept]
