"""Encoder weights on disk: safetensors in half precision, with what is needed to rebuild the network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights_file import FORMAT, read_metadata
from engine.types import LumbricalError, first_line

DEFAULT_WEIGHTS = Path(__file__).parents[3] / "assets" / "weights" / "encoder.safetensors"


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder ready to run, and its version: its name and the first digits of its file's hash. onnx: a file that it
    was exported to before, if any; file: the one it was read from, if any."""

    encoder: Encoder
    version: str
    images: int
    onnx: Path | None = None
    file: Path | None = None


def save_weights(path: Path, encoder: Encoder, name: str, images: int) -> None:
    """Write the encoder's weights in fp16, whole or not at all; LumbricalError when they cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        key: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for key, value in encoder.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "name": name,
        "images": str(images),
        "config": json.dumps(dataclasses.asdict(encoder.config)),
    }
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata)
        part.chmod(0o644)  # the library makes it readable by its owner only
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise LumbricalError(f"{path} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def load_weights(path: Path = DEFAULT_WEIGHTS) -> LoadedEncoder:
    """Read weights; LumbricalError when the file is missing, broken or of another version."""
    from safetensors import SafetensorError, safe_open

    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
        encoder = Encoder(EncoderConfig(**json.loads(metadata["config"])))
        encoder.load_state_dict(tensors)
        name, images = metadata.get("name", "encoder"), int(metadata.get("images", 0))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise LumbricalError(f"{path} is not a usable weights file ({first_line(error)})") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    # The version becomes part of a file's name, so nothing of another folder may stand in it.
    version = f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:60]}-{digest}"
    return LoadedEncoder(encoder.eval(), version, images, file=path)
