"""The encoder in int8 for ONNX Runtime: where its file lies, and where it pays off. See engine.runners.quantise."""

from __future__ import annotations

from pathlib import Path

from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, LoadedEncoder
from engine.types import LumbricalError

#: Under this key the file says of which weights it was made.
VERSION_KEY = "lumbrical_weights"
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
    advice = "make it: python main.py quantise" + ("" if weights == DEFAULT_WEIGHTS else f" --weights {weights}")
    if not path.is_file():
        raise LumbricalError(f"there is no int8 encoder at {path}; {advice}")
    if path.stat().st_size > _MAX_BYTES:
        raise LumbricalError(f"{path} is far too large to be an encoder")
    try:
        facts = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    except Exception as error:  # protobuf's own exception types differ between its versions
        raise LumbricalError(f"{path} is not an ONNX file; {advice}") from error
    if facts.get(VERSION_KEY) != loaded.version:
        raise LumbricalError(f"{path} was not made of the weights {loaded.version}; {advice}")
    return path
