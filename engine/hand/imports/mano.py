"""The user's own MANO model, as tools/convert_mano.py wrote it: plain arrays, never a pickle.

MANO (Romero, Tzionas and Black 2017) has 16 joints: the wrist, then three for each of index, middle, little and ring
finger and thumb. Its tips are vertices, named in the file.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.hand.imports.rigged import MAX_FACES, MAX_VERTICES, RiggedHand
from engine.types import JOINT_COUNT, LumbricalError

MANO_JOINTS = 16
#: The project's finger of each of MANO's groups of three joints.
MANO_FINGERS = (1, 2, 4, 3, 0)
#: Most rows and the columns of each array in the file; None: a single column.
_LAYOUT: dict[str, tuple[int, int | None, str]] = {
    "v_template": (MAX_VERTICES, 3, "f"),
    "weights": (MAX_VERTICES, MANO_JOINTS, "f"),
    "J": (MANO_JOINTS, 3, "f"),
    "faces": (MAX_FACES, 3, "iu"),
    "tip_vertices": (5, None, "iu"),
}
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[iu][1248]|f[248]))', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,40})\), \} *\n"
)
_AGAIN = "convert the model again: tools/convert_mano.py"


def read_mano(data: bytes) -> RiggedHand:
    """The hand in a converted file's bytes. LumbricalError, to be put behind the file's name, when it is another."""
    arrays = _arrays(data)
    vertices, weights, places = (arrays[name].astype(np.float64) for name in ("v_template", "weights", "J"))
    faces, tips = (arrays[name].astype(np.int64) for name in ("faces", "tip_vertices"))
    count = len(vertices)
    if len(weights) != count or len(places) != MANO_JOINTS or len(tips) != 5 or not len(faces):
        raise LumbricalError(f"is not a converted MANO model: its arrays do not fit together; {_AGAIN}")
    if min(faces.min(), tips.min()) < 0 or max(faces.max(), tips.max()) >= count:
        raise LumbricalError(f"is not a converted MANO model: it names vertices that are not there; {_AGAIN}")
    for array in (vertices, weights, places):
        if not np.isfinite(array).all() or np.abs(array).max() > 1e6:
            raise LumbricalError(f"is damaged: a number in it is not finite; {_AGAIN}")
    joints, columns = np.empty((JOINT_COUNT, 3)), np.zeros((count, JOINT_COUNT))
    joints[0], columns[:, 0] = places[0], weights[:, 0]
    for group, finger in enumerate(MANO_FINGERS):
        own = slice(1 + 3 * group, 4 + 3 * group)
        joints[4 * finger + 1 : 4 * finger + 4] = places[own]
        joints[4 * finger + 4] = vertices[tips[finger]]
        columns[:, 4 * finger + 2 : 4 * finger + 5] = weights[:, own]
    # MANO was trained with weights of either sign around zero.
    return RiggedHand(vertices, faces, np.maximum(columns, 0.0), joints)


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            missing = [name for name in _LAYOUT if f"{name}.npy" not in names]
            if missing:
                raise LumbricalError(f"is not a converted MANO model: it lacks {', '.join(missing)}; {_AGAIN}")
            return {name: _array(archive, name) for name in _LAYOUT}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise LumbricalError(f"is damaged: {str(error)[:80]}; {_AGAIN}") from error


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One member; its header is held against the layout before anything of its size is made."""
    rows, columns, kinds = _LAYOUT[name]
    with archive.open(f"{name}.npy") as member:
        start = member.read(10)
        # numpy's own reader of headers parses them as Python, and fails in many ways on damaged ones.
        header = _HEADER.fullmatch(member.read(int.from_bytes(start[8:], "little")))
        if start[:8] != b"\x93NUMPY\x01\x00" or header is None:
            raise ValueError(f"{name} is not an array of numbers")
        dtype, shape = np.dtype(header[1].decode()), tuple(int(n) for n in header[3].split(b",") if n.strip())
        expected = (shape[0] if shape else 0,) + (() if columns is None else (columns,))
        if shape != expected or shape[0] > rows or dtype.kind not in kinds:
            raise ValueError(f"{name} is {dtype} {shape}")
        content = member.read(math.prod(shape) * dtype.itemsize)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} ends early")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if header[2] == b"True" else "C")
