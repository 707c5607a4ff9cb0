"""What can be said of a file of encoder weights before anything of it, or torch, is loaded."""

from __future__ import annotations

from pathlib import Path

from engine.types import LumbricalError, first_line

#: Raised whenever the network's layout or the meaning of its outputs changes.
FORMAT = "lumbrical-encoder-3"
_MAX_BYTES = 200 * 2**20


def read_metadata(path: Path) -> dict[str, str]:
    """The facts that a weights file holds beside its tensors, by name. LumbricalError when the file is missing, broken
    or of another version."""
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise LumbricalError(f"{path} is a folder; name a file of weights")
    if not path.is_file():
        raise LumbricalError(f"no weights at {path}; train them: python main.py train configs/encoder.toml")
    if path.stat().st_size > _MAX_BYTES:
        raise LumbricalError(f"{path} is far too large to be encoder weights")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise LumbricalError(f"{path} is not a usable weights file ({first_line(error)})") from error
    if metadata.get("format") != FORMAT:
        raise LumbricalError(
            f"{path} holds weights of another version ({metadata.get('format', 'none')}, this program reads "
            f"{FORMAT}); use weights of this version or train new ones"
        )
    return metadata
