"""Encoder -> ONNX, cached per weights version."""

from __future__ import annotations

from pathlib import Path

import torch
from platformdirs import user_cache_path

from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.onnx_export import write_onnx
from engine.runners.torch_runner import EstimateOutputs

INPUTS = ("crops", "distances")
OUTPUTS = ("points", "sigma", "translation", "rotation", "articulation", "beta", "thickness", "hand", "right")


def export_onnx(loaded: LoadedEncoder, path: Path) -> None:
    """Write the encoder as ONNX with a free batch size, whole or not at all."""
    inputs = (torch.ones(2, CROP_SIZE, CROP_SIZE), torch.full((2,), 500.0))
    write_onnx(EstimateOutputs(loaded.encoder), inputs, INPUTS, OUTPUTS, path, free_batch=True)


def cached_onnx(loaded: LoadedEncoder) -> Path:
    """The ONNX file of these weights, made on first use."""
    path = user_cache_path("lumbrical") / f"{loaded.version}.onnx"
    if not path.is_file():
        export_onnx(loaded, path)
    return path
