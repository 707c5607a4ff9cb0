"""The quantised encoder: near the full one, bound to its weights, whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, LoadedEncoder, load_weights
from engine.runners.int8 import int8_of, int8_path
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.quantise import quantise
from engine.types import FloatArray, LumbricalError


def _inputs(count: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(count)
    return random.uniform(-1, 1, (count, 128, 128)).astype(np.float32), np.full(count, 500, np.float32)


@pytest.fixture(scope="module")
def loaded() -> LoadedEncoder:
    torch.manual_seed(0)
    sizes = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
    return LoadedEncoder(Encoder(sizes).eval(), "x-1", 0)


@pytest.fixture(scope="module")
def small(loaded: LoadedEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "encoder-int8.onnx"
    quantise(loaded, *_inputs(4), path)
    return path


def test_it_says_nearly_the_same(loaded: LoadedEncoder, small: Path, tmp_path: Path) -> None:
    assert int8_of(loaded, small) == small
    crops, distances = _inputs(3)
    ours = OnnxRunner(loaded, path=small).run(crops, distances).points
    full = OnnxRunner(loaded, path=_full(loaded, tmp_path)).run(crops, distances).points
    apart = np.linalg.norm(ours - full, axis=2)
    assert 0 < apart.max() < 3


def test_it_lies_beside_its_weights(loaded: LoadedEncoder, small: Path, tmp_path: Path) -> None:
    mine = replace(loaded, file=tmp_path / "mine.safetensors")
    with pytest.raises(LumbricalError, match=r"main\.py quantise --force --weights .*mine\.safetensors"):
        int8_of(mine)
    shutil.copy(small, tmp_path / "mine-int8.onnx")
    assert int8_of(mine) == tmp_path / "mine-int8.onnx"


def _full(loaded: LoadedEncoder, folder: Path) -> Path:
    from engine.runners.export import export_onnx

    export_onnx(loaded, folder / "full.onnx")
    return folder / "full.onnx"


def test_a_file_of_other_weights_or_none_is_refused_with_what_to_do(
    loaded: LoadedEncoder, small: Path, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\x08\x07junk")
    other = LoadedEncoder(loaded.encoder, "x-2", 0)
    for encoder, path in ((other, small), (loaded, tmp_path / "none.onnx"), (loaded, junk)):
        with pytest.raises(LumbricalError, match=r"main\.py quantise"):
            int8_of(encoder, path)


def test_damage_to_its_weights_is_noticed(loaded: LoadedEncoder, small: Path, tmp_path: Path) -> None:
    model = onnx.load(str(small))
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    data = bytearray(small.read_bytes())
    at = data.index(largest.raw_data) + len(largest.raw_data) // 2
    data[at] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(data)
    with pytest.raises(LumbricalError, match=r"is damaged; make it: python main\.py quantise --force"):
        int8_of(loaded, tmp_path / "flipped.onnx")
    # As an earlier version wrote it.
    del model.metadata_props[-1]
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(LumbricalError, match="is damaged"):
        int8_of(loaded, tmp_path / "old.onnx")


def test_the_shipped_one_is_whole() -> None:
    shipped = load_weights()
    assert int8_of(shipped) == int8_path(DEFAULT_WEIGHTS)


def test_without_crops_nothing_is_written(loaded: LoadedEncoder, tmp_path: Path) -> None:
    crops, distances = _inputs(2)
    for wrong in ((crops[:0], distances[:0]), (crops * np.nan, distances), (crops, distances[:1])):
        with pytest.raises(ValueError, match="crops"):
            quantise(loaded, *wrong, tmp_path / "small.onnx")
    assert not list(tmp_path.iterdir())
