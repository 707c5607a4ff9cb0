"""Encoder -> ONNX, cached per weights version."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from platformdirs import user_cache_path

from engine import onnx_export
from engine.methods import backbone
from engine.methods.gaussian import encoder
from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.onnx_export import write_onnx
from engine.runners import torch_runner
from engine.runners.torch_runner import EstimateOutputs

INPUTS = ("crops", "distances")
OUTPUTS = ("points", "sigma", "translation", "rotation", "articulation", "beta", "thickness", "hand", "right")


def export_onnx(loaded: LoadedEncoder, path: Path) -> None:
    """Write the encoder as ONNX with a free batch size, whole or not at all."""
    inputs = (torch.ones(2, CROP_SIZE, CROP_SIZE), torch.full((2,), 500.0))
    write_onnx(EstimateOutputs(loaded.encoder), inputs, INPUTS, OUTPUTS, path, free_batch=True)


def cached_onnx(loaded: LoadedEncoder) -> Path | bytes:
    """The ONNX file of these weights, their own or one made on first use; the model itself where the user's cache
    cannot be written."""
    if loaded.onnx is not None:
        return loaded.onnx
    path = _cache_file(loaded)
    with suppress(OSError):
        if not path.is_file():
            export_onnx(loaded, path)
        return path
    with TemporaryDirectory(prefix="lumbrical-") as folder:
        file = Path(folder) / "encoder.onnx"
        export_onnx(loaded, file)
        return file.read_bytes()


def forget_onnx(loaded: LoadedEncoder) -> bool:
    """Throw away the file that was made of these weights, which cannot be read; False where there is none, as of
    weights that have their own."""
    if loaded.onnx is not None:
        return False
    try:
        _cache_file(loaded).unlink()
    except OSError:
        return False
    return True


def onnx_model(loaded: LoadedEncoder) -> bytes:
    """The encoder as ONNX, in memory."""
    model = cached_onnx(loaded)
    return model if isinstance(model, bytes) else model.read_bytes()


def _cache_file(loaded: LoadedEncoder) -> Path:
    return user_cache_path("lumbrical") / f"{loaded.version}-{code_digest()}.onnx"


def code_digest() -> str:
    """Of the code that a graph is traced from: a graph made before a change of it is not taken for one made after."""
    modules = (backbone, encoder, torch_runner, onnx_export)
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return hashlib.sha256(code).hexdigest()[:8]
