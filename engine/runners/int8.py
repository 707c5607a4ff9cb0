"""The encoder in int8 for ONNX Runtime: where its file lies, and where it pays off. See engine.runners.quantise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, LoadedEncoder
from engine.types import LumbricalError

if TYPE_CHECKING:
    from onnx import ModelProto

#: Under these keys the file says of which weights it was made, and what digest_of was then.
VERSION_KEY, DIGEST_KEY = "lumbrical_weights", "lumbrical_digest"
_MAX_BYTES = 200 * 2**20
#: x86's instructions for sums of int8 products, by torch's names. Without them int8 is no faster, and ONNX Runtime's
#: sums may overflow.
_INSTRUCTIONS = ("avx512_vnni", "avx_vnni")


def int8_is_fast() -> bool:
    """Whether this processor has instructions for int8; False where torch does not tell."""
    import torch

    has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not all versions of torch have it
    return any(has.get(name, False) for name in _INSTRUCTIONS)


def int8_path(weights: Path) -> Path:
    """Where the encoder in int8 lies of a file of weights: beside it. That of the shipped ones is shipped, that of
    others `python main.py quantise` makes."""
    return weights.with_name(f"{weights.stem}-int8.onnx")


def int8_of(loaded: LoadedEncoder, path: Path | None = None) -> Path:
    """The int8 file beside the weights, or at `path`, if it was made of these weights. Raises LumbricalError for any
    other."""
    import onnx  # which takes a moment, and is of no use to whoever asks for the place only

    weights = loaded.file or DEFAULT_WEIGHTS
    path = path or int8_path(weights)
    advice = "make it: python main.py quantise --force" + (
        "" if weights == DEFAULT_WEIGHTS else f" --weights {weights}"
    )
    if not path.is_file():
        raise LumbricalError(f"there is no int8 encoder at {path}; {advice}")
    if path.stat().st_size > _MAX_BYTES:
        raise LumbricalError(f"{path} is far too large to be an encoder")
    try:
        model = onnx.load(str(path))
        facts, digest = {entry.key: entry.value for entry in model.metadata_props}, digest_of(model)
    except Exception as error:  # protobuf's own exception types differ between its versions
        raise LumbricalError(f"{path} is not an ONNX file; {advice}") from error
    if facts.get(VERSION_KEY) != loaded.version:
        raise LumbricalError(f"{path} was not made of the weights {loaded.version}; {advice}")
    if facts.get(DIGEST_KEY) != digest:
        raise LumbricalError(f"{path} is damaged; {advice}")
    return path


def digest_of(model: ModelProto) -> str:
    """SHA-256 of all that is computed: damage to weights would give worse hands and no error."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
