"""The container: a glTF 2.0 document and its numbers as one .glb file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import LumbricalError

_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {"|u1": 5121, "<u2": 5123, "<u4": 5125, "<f4": 5126}
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_MOST_BYTES = 0xFFFF_FFFF
#: What a buffer view may be for; other numbers say nothing.
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


class GlbWriter:
    """Collects arrays and writes them behind the document that names them."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []
        self._views: list[dict[str, int]] = []
        self._accessors: list[dict[str, Any]] = []
        self._size = 0

    def add(self, values: NDArray[Any], target: int | None = None, bounds: bool = False) -> int:
        """The number of a new accessor of values (N,) or (N, width). bounds: state their least and largest."""
        rows = np.ascontiguousarray(values.reshape(len(values), -1))
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": rows.nbytes}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self._views),
            "componentType": _COMPONENTS[rows.dtype.str],
            "count": len(rows),
            "type": _TYPES[rows.shape[1]],
        }
        if bounds:
            accessor |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        self._arrays.append(rows)
        self._views.append(view)
        self._accessors.append(accessor)
        self._size += rows.nbytes + _padding(rows.nbytes)
        return len(self._accessors) - 1

    def write(self, path: Path, document: dict[str, Any]) -> None:
        """Write document, to which accessors and their buffer are added. LumbricalError where .glb has no room."""
        document = document | {
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": self._size}],
        }
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        text += b" " * _padding(len(text))
        length = 12 + 8 + len(text) + 8 + self._size
        if length > _MOST_BYTES:
            raise LumbricalError("the motion is too long for one .glb file: export a part of it, or another kind")
        with path.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, length))
            file.write(struct.pack("<II", len(text), _JSON_CHUNK) + text)
            file.write(struct.pack("<II", self._size, _BINARY_CHUNK))
            for array in self._arrays:
                file.write(array.tobytes() + bytes(_padding(array.nbytes)))


def _padding(size: int) -> int:
    """Bytes to the next multiple of four, where every array begins."""
    return -size % 4
