"""Training state on disk: written beside its place and moved there, read without unpickling code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from engine.types import LumbricalError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, dicts, lists), whole or not at all; LumbricalError if it cannot be."""
    part = path.with_suffix(".part")
    try:
        torch.save(state, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter where a disk is full
        reason = getattr(error, "strerror", None) or "is the disk full?"
        raise LumbricalError(f"{path} cannot be written ({reason}); the last checkpoint is still whole") from error
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: str) -> dict[str, Any]:
    """Read a checkpoint, tensors only; LumbricalError when it is not one."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for a broken file
        raise LumbricalError(
            f"{path} is not a usable checkpoint ({type(error).__name__}); delete it to start anew"
        ) from error
    if not isinstance(state, dict):
        raise LumbricalError(f"{path} is not a usable checkpoint ({type(state).__name__}); delete it to start anew")
    return state
