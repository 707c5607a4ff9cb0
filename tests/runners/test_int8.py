"""The quantised encoder: near the full one, bound to its weights, whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.int8 import int8_of
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
    with pytest.raises(LumbricalError, match=r"main\.py quantise --weights .*mine\.safetensors"):
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


def test_without_crops_nothing_is_written(loaded: LoadedEncoder, tmp_path: Path) -> None:
    crops, distances = _inputs(2)
    for wrong in ((crops[:0], distances[:0]), (crops * np.nan, distances), (crops, distances[:1])):
        with pytest.raises(ValueError, match="crops"):
            quantise(loaded, *wrong, tmp_path / "small.onnx")
    assert not list(tmp_path.iterdir())
