"""Hands that users bring along: rigged glTF hands and converted MANO models, made to fit the project's skeleton."""

from __future__ import annotations

import re
from pathlib import Path

from engine.hand.imports.mano import read_mano
from engine.hand.imports.rigged import fit_to_skeleton
from engine.hand.imports.webxr import read_webxr_hand
from engine.hand.template import HandTemplate
from engine.types import LumbricalError, Side

_MAX_FILE_BYTES = 64 << 20


def load_hand(path: Path) -> HandTemplate:
    """Read a user's hand and fit it to the skeleton: what HandModel takes, always a right hand.

    path: a .glb or .gltf hand with a skin whose joints have the names of WebXR Hand Input, or a .npz that
    tools/convert_mano.py wrote. A left hand is mirrored.
    Raises LumbricalError, naming the file, when it cannot be read, is no such hand, or is damaged.
    """
    try:
        data = _contents(path)
        if data.startswith(b"PK"):
            hand = read_mano(data)
        elif data.startswith(b"glTF") or data.lstrip()[:1] == b"{":
            hand = read_webxr_hand(data)
        elif data.startswith(b"\x80"):
            raise LumbricalError("is a Python pickle, which can run programs; convert it: tools/convert_mano.py")
        else:
            raise LumbricalError("is neither a glTF hand (.glb, .gltf) nor what tools/convert_mano.py writes (.npz)")
        return fit_to_skeleton(hand, _side_in_name(path))
    except LumbricalError as error:
        raise LumbricalError(f"{path} {error}") from error


def _side_in_name(path: Path) -> Side | None:
    sides = set(re.findall("left|right", path.stem.lower()))
    return Side(sides.pop()) if len(sides) == 1 else None


def _contents(path: Path) -> bytes:
    try:
        # A device or pipe could be endless, so only a plain file is read, and no more of it than the limit.
        if path.exists() and not path.is_file():
            raise LumbricalError("is not a file; name a .glb, .gltf or .npz file")
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LumbricalError(f"cannot be read: {reason}; check the path of the hand's file") from error
    if len(data) > _MAX_FILE_BYTES:
        raise LumbricalError(f"is larger than {_MAX_FILE_BYTES >> 20} MB; export the hand alone, without pictures")
    return data
