"""Encoder -> ONNX, cached per weights version."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from platformdirs import user_cache_path

from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.torch_runner import EstimateOutputs

INPUTS = ("crops", "distances")
OUTPUTS = ("points", "sigma", "translation", "rotation", "articulation", "beta", "thickness", "hand", "right")


def export_onnx(loaded: LoadedEncoder, path: Path) -> None:
    """Write the encoder as ONNX with a free batch size, whole or not at all."""
    crops, distances = torch.ones(2, CROP_SIZE, CROP_SIZE), torch.full((2,), 500.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.onnx.export(
        EstimateOutputs(loaded.encoder).eval(),
        (crops, distances),
        str(part),
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_axes={name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)},
        opset_version=17,
        dynamo=False,
    )
    os.replace(part, path)


def cached_onnx(loaded: LoadedEncoder) -> Path:
    """The ONNX file of these weights, made on first use."""
    path = user_cache_path("lumbrical") / f"{loaded.version}.onnx"
    if not path.is_file():
        export_onnx(loaded, path)
    return path
