"""Encoder -> ONNX, cached per weights version."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from platformdirs import user_cache_path

from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.torch_runner import EstimateOutputs

INPUTS = ("crops", "distances")
OUTPUTS = ("points", "sigma", "translation", "rotation", "articulation", "beta", "thickness", "hand", "right")


def onnx_bytes(loaded: LoadedEncoder) -> bytes:
    """The encoder as an ONNX model with a free batch size."""
    crops, distances = torch.ones(2, CROP_SIZE, CROP_SIZE), torch.full((2,), 500.0)
    # torch writes files only.
    with TemporaryDirectory(prefix="lumbrical-") as folder:
        file = Path(folder) / "encoder.onnx"
        torch.onnx.export(
            EstimateOutputs(loaded.encoder).eval(),
            (crops, distances),
            str(file),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)},
            opset_version=17,
            dynamo=False,
        )
        return file.read_bytes()


def cached_onnx(loaded: LoadedEncoder) -> Path | bytes:
    """The ONNX file of these weights, made on first use; the model itself where the user's cache cannot be written."""
    path = user_cache_path("lumbrical") / f"{loaded.version}.onnx"
    with suppress(OSError):
        if path.is_file():
            return path
    model = onnx_bytes(loaded)
    try:
        _write_whole(path, model)
    except OSError:
        return model
    return path


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
