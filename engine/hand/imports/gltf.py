"""The part of glTF 2.0 that a rigged hand needs: the container, the tables and plain accessors.

Nothing outside the file is ever opened. Every number of the file is checked before it is used, and no array is made
that is larger than the bytes it comes from.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from engine.types import LumbricalError

Table = dict[str, Any]

_MAX_JSON_BYTES = 16 << 20
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
#: Extensions a file may insist on: how it looks does not matter here, and quantised numbers are read like others.
_HARMLESS_EXTENSIONS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_mesh_quantization", "KHR_lights_")
_DAMAGED = "the file is damaged or incomplete; export it again"


def damaged(detail: str) -> NoReturn:
    """Raise LumbricalError for a file that breaks the format."""
    raise LumbricalError(f"is not a sound glTF file: {detail}; {_DAMAGED}")


def whole(table: Table, key: str, default: int | None = None, most: int = 1 << 31) -> int:
    """table[key] as a whole number from 0 to most; LumbricalError when it is something else."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        damaged(f"{key} is {str(value)[:40]}")
    return value


def chosen(tables: list[Table], index: object, what: str) -> Table:
    """tables[index], for an index that came from the file."""
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(tables):
        damaged(f"{what} {str(index)[:40]} is not there")
    return tables[index]


class GltfFile:
    """A parsed glTF or GLB file."""

    def __init__(self, data: bytes) -> None:
        text, binary = _chunks(data) if data.startswith(b"glTF") else (data, b"")
        self._document = _parsed(text)
        asset = self._document.get("asset")
        version = asset.get("version") if isinstance(asset, dict) else None
        if not (isinstance(version, str) and version.startswith("2.")):
            raise LumbricalError(f"is not a glTF 2 file (version {str(version)[:20]}); export it as glTF 2.0")
        required = self._document.get("extensionsRequired", [])
        for name in required if isinstance(required, list) else []:
            if not str(name).startswith(_HARMLESS_EXTENSIONS):
                raise LumbricalError(f"needs the glTF extension {str(name)[:60]}; export it without compression")
        self._buffers = [
            self._buffer(table, binary if i == 0 else b"") for i, table in enumerate(self.tables("buffers"))
        ]

    def tables(self, name: str) -> list[Table]:
        """One of the top-level lists, such as "nodes"; empty when the file has none."""
        value = self._document.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            damaged(f"{name} is not a list of objects")
        return value

    def array(self, index: object, types: tuple[str, ...], most: int) -> NDArray[Any]:
        """An accessor's numbers, (count, width): float64 when they are floating or normalised, else int64.

        types: the accessor types allowed; most: the largest count allowed.
        """
        accessor = chosen(self.tables("accessors"), index, "accessor")
        kind, count = accessor.get("type"), whole(accessor, "count")
        component = _COMPONENTS.get(whole(accessor, "componentType"))
        if kind not in types or component is None:
            damaged(f"accessor {index} holds {str(kind)[:20]} of {accessor['componentType']}, not {' or '.join(types)}")
        if count > most:
            raise LumbricalError(f"has {count} elements in one array where {most} is the most; reduce the mesh")
        if "sparse" in accessor or "bufferView" not in accessor:
            raise LumbricalError("uses sparse accessors, which are not read; export the mesh without shape keys")
        view = self._view(accessor["bufferView"])
        dtype, width = np.dtype(component), _WIDTHS[kind]
        offset, element = whole(accessor, "byteOffset", 0), width * dtype.itemsize
        table = chosen(self.tables("bufferViews"), accessor["bufferView"], "buffer view")
        stride = whole(table, "byteStride", element)
        if stride < element or count < 1 or offset + (count - 1) * stride + element > len(view):
            damaged(f"accessor {index} reaches beyond its buffer view")
        values = np.ndarray((count, width), dtype, view, offset, (stride, dtype.itemsize))
        if dtype.kind == "f":
            return values.astype(np.float64)
        if accessor.get("normalized") is True:
            return np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values.astype(np.int64)

    def _view(self, index: object) -> memoryview:
        table = chosen(self.tables("bufferViews"), index, "buffer view")
        buffer = whole(table, "buffer")
        if buffer >= len(self._buffers):
            damaged(f"buffer {buffer} is not there")
        start, length = whole(table, "byteOffset", 0), whole(table, "byteLength")
        if start + length > len(self._buffers[buffer]):
            damaged(f"buffer view {index} reaches beyond its buffer")
        return memoryview(self._buffers[buffer])[start : start + length]

    @staticmethod
    def _buffer(table: Table, binary: bytes) -> bytes:
        uri, length = table.get("uri"), whole(table, "byteLength")
        if uri is not None:
            if not (isinstance(uri, str) and uri.startswith("data:") and ";base64," in uri[:80]):
                raise LumbricalError("keeps its data in another file; export it as one .glb file")
            try:
                binary = base64.b64decode(uri.split(";base64,", 1)[1], validate=True)
            except (binascii.Error, ValueError) as error:
                raise LumbricalError(f"is not a sound glTF file: its embedded data: {error}; {_DAMAGED}") from error
        if length > len(binary):
            damaged(f"a buffer declares {length} bytes and has {len(binary)}")
        return binary


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a GLB file."""
    if len(data) < 20:
        damaged("it ends within its header")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise LumbricalError(f"is not a glTF 2 file (version {version}); export it as glTF 2.0")
    if length > len(data):
        damaged(f"it declares {length} bytes and has {len(data)}")
    found: dict[int, bytes] = {}
    place = 12
    while place + 8 <= length:
        size, kind = struct.unpack_from("<II", data, place)
        if place + 8 + size > length:
            damaged("a chunk reaches beyond the end")
        found.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size + (-size) % 4
    if _JSON_CHUNK not in found:
        damaged("it has no JSON chunk")
    return found[_JSON_CHUNK], found.get(_BINARY_CHUNK, b"")


def _parsed(text: bytes) -> Table:
    if len(text) > _MAX_JSON_BYTES:
        raise LumbricalError(
            f"describes its scene in more than {_MAX_JSON_BYTES >> 20} MB; export the hand alone as .glb"
        )
    try:
        document = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LumbricalError(f"is not a sound glTF file: its JSON: {str(error)[:80]}; {_DAMAGED}") from error
    if not isinstance(document, dict):
        damaged("its JSON is not an object")
    return document
