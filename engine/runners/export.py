"""Encoder -> ONNX, cached per weights version."""

from __future__ import annotations

from pathlib import Path

import torch
from platformdirs import user_cache_path

from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.onnx_export import write_onnx
from engine.runners.torch_runner import EstimateOutputs
from engine.types import LumbricalError

INPUTS = ("crops", "distances")
OUTPUTS = ("points", "sigma", "translation", "rotation", "articulation", "beta", "thickness", "hand", "right")


def export_onnx(loaded: LoadedEncoder, path: Path) -> None:
    """Write the encoder as ONNX with a free batch size, whole or not at all."""
    inputs = (torch.ones(2, CROP_SIZE, CROP_SIZE), torch.full((2,), 500.0))
    write_onnx(EstimateOutputs(loaded.encoder), inputs, INPUTS, OUTPUTS, path, free_batch=True)


def cached_onnx(loaded: LoadedEncoder) -> Path:
    """The ONNX file of these weights, made on first use. LumbricalError where it cannot be written.

    The name holds the weights' version only: delete the folder's files after a change of the encoder's own code.
    """
    path = user_cache_path("lumbrical") / f"{loaded.version}.onnx"
    try:
        if not path.is_file():
            export_onnx(loaded, path)
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written ({error.strerror}); make room or set XDG_CACHE_HOME") from error
    return path
