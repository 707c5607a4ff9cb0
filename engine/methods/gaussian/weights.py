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
from engine.types import LumbricalError

DEFAULT_WEIGHTS = Path(__file__).parents[3] / "assets" / "weights" / "encoder.safetensors"
#: Raised whenever the network's layout or the meaning of its outputs changes.
FORMAT = "lumbrical-encoder-3"
_MAX_BYTES = 200 * 2**20


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder ready to run, and its version: its name and the first digits of its file's hash. onnx: a file that it
    was exported to before, if any."""

    encoder: Encoder
    version: str
    images: int
    onnx: Path | None = None


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

    if not path.is_file():
        raise LumbricalError(f"no weights at {path}; train them: python main.py train configs/encoder.toml")
    if path.stat().st_size > _MAX_BYTES:
        raise LumbricalError(f"{path} is far too large to be encoder weights")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise LumbricalError(
                    f"{path} holds weights of another version ({metadata.get('format', 'none')}, this program reads "
                    f"{FORMAT}); use weights of this version or train new ones"
                )
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
        encoder = Encoder(EncoderConfig(**json.loads(metadata["config"])))
        encoder.load_state_dict(tensors)
        name, images = metadata.get("name", "encoder"), int(metadata.get("images", 0))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise LumbricalError(f"{path} is not a usable weights file ({reason})") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    # The version becomes part of a file's name, so nothing of another folder may stand in it.
    return LoadedEncoder(encoder.eval(), f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:60]}-{digest}", images)
