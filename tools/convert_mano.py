"""Turns the MANO model you downloaded (a Python pickle) into plain arrays that `--hand` reads.

`python tools/convert_mano.py MANO_RIGHT.pkl my_hand.npz`. MANO's licence stays yours to keep: the result is for you.

A pickle can run programs when it is opened, so the app never opens one. This script reads it with an unpickler that
knows a handful of names and puts inert stand-ins of its own for each; anything else in the file stops it.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import pickle
import re
import struct
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.types import LumbricalError  # noqa: E402

Array = NDArray[Any]

MANO_VERTICES, MANO_JOINTS = 778, 16
#: The vertex at the end of each finger, thumb to little, as common MANO layers take them (manopth for the right hand).
TIP_VERTICES = (745, 317, 444, 556, 673)
_MAX_FILE_BYTES = 256 << 20
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


class _StandIn:
    """What an object of a library becomes: its state, kept and never acted on."""

    state: Any = None
    arguments: tuple[Any, ...] = ()

    def __new__(cls, *_: Any, **__: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType(_StandIn):
    """numpy.dtype: arguments ("f8", …), state (version, byte order, …)."""

    def resolve(self) -> np.dtype[Any] | None:
        """The type of plain numbers that it names, or None."""
        name = self.arguments[0] if self.arguments else None
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            return None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        return np.dtype(name).newbyteorder("<" if order == "<" else ">" if order == ">" else "=")


class _Array(_StandIn):
    """numpy.ndarray: state (version, shape, dtype, in Fortran's order, bytes)."""

    def resolve(self) -> Array | None:
        """The array, or None when its state is not that of an array of plain numbers."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            return None
        _, shape, kind, fortran, content = self.state
        dtype = kind.resolve() if isinstance(kind, _DType) else None
        if isinstance(content, str):
            # What Python 2 wrote as a string of bytes is read as Latin 1.
            content = content.encode("latin1", "replace")
        if dtype is None or not isinstance(content, bytes) or not isinstance(shape, tuple):
            return None
        if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(content):
            return None
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


class _Sparse(_StandIn):
    """scipy.sparse.csc_matrix: state is its attributes."""

    def resolve(self) -> Array | None:
        """The matrix with its zeros, or None when its parts do not fit together."""
        state = self.state if isinstance(self.state, dict) else {}
        data, rows, starts = (_numbers(state.get(name)) for name in ("data", "indices", "indptr"))
        shape = state.get("_shape")
        if data is None or rows is None or starts is None or shape != (MANO_JOINTS, MANO_VERTICES):
            return None
        if data.ndim != 1 or rows.shape != data.shape or starts.shape != (MANO_VERTICES + 1,):
            return None
        starts = starts.astype(np.int64)
        counts = starts[1:] - starts[:-1]
        if starts[0] != 0 or counts.min() < 0 or counts.sum() != len(data) or rows.dtype.kind not in "iu":
            return None
        if len(rows) and not (rows.min() >= 0 and rows.max() < MANO_JOINTS):
            return None
        matrix = np.zeros(shape)
        np.add.at(matrix, (rows, np.repeat(np.arange(MANO_VERTICES), counts)), data)
        return matrix


class _Chumpy(_StandIn):
    """chumpy's arrays: state is their attributes, the numbers under "x"."""

    def resolve(self) -> Array | None:
        """The numbers of a plain array, or None for an expression of several."""
        return _numbers(self.state.get("x")) if isinstance(self.state, dict) else None


def _numbers(value: Any) -> Array | None:
    return value.resolve() if isinstance(value, _Array | _Sparse | _Chumpy) else None


def _reconstruct(kind: Any, *_: Any) -> Any:
    """numpy's and copyreg's _reconstruct(or): an empty object whose state follows."""
    return kind() if isinstance(kind, type) and issubclass(kind, _StandIn) else _StandIn()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
    """numpy's _frombuffer of pickle protocol 5."""
    array = _Array()
    array.state = (1, shape, kind, order == "F", bytes(content) if isinstance(content, bytes | bytearray) else None)
    return array


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """_codecs.encode, the way in which Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an unusual encoding")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("copyreg", "_reconstructor"): _reconstruct,
}
for _builtins in ("__builtin__", "builtins"):
    _KNOWN.update({(_builtins, "object"): _StandIn, (_builtins, "set"): set, (_builtins, "frozenset"): frozenset})
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_core}.multiarray", "scalar"] = _StandIn
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _module in ("scipy.sparse.csc", "scipy.sparse._csc"):
    _KNOWN[_module, "csc_matrix"] = _Sparse


class _Refused(Exception):
    """The pickle asks for something that a hand model has no need of."""


class _RestrictedUnpickler(pickle._Unpickler):
    """Knows the names above and chumpy's classes; imports nothing.

    The unpickler written in Python: the one in C makes room for as many objects as a damaged number asks for.
    """

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module.startswith("chumpy."):
            return _Chumpy
        raise _Refused(f"{module}.{name}"[:80])


def read_model(path: Path) -> dict[str, Any]:
    """The pickle's entries, libraries' objects replaced by stand-ins. LumbricalError when it cannot or must not be."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise LumbricalError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if len(data) > _MAX_FILE_BYTES:
        raise LumbricalError(f"{path} is larger than {_MAX_FILE_BYTES >> 20} MB: that is no MANO model")
    try:
        model = _RestrictedUnpickler(io.BytesIO(data), encoding="latin1").load()
    except _Refused as error:
        raise LumbricalError(
            f"{path} was not opened: it asks for {error}, which no MANO model should need; get MANO from its own site"
        ) from error
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
        struct.error, MemoryError, RecursionError, ImportError,
    ) as error:  # what the unpickler raises on a damaged stream  # fmt: skip
        raise LumbricalError(f"{path} is not a readable pickle: {str(error)[:80]}; download it again") from error
    if not isinstance(model, dict):
        raise LumbricalError(f"{path} is not a MANO model: give MANO_RIGHT.pkl or MANO_LEFT.pkl")
    return model


def plain_arrays(model: dict[str, Any]) -> dict[str, Array]:
    """What the app reads: the mean shape's vertices and joints in metres, skin weights, triangles and tips."""
    wanted = {"v_template": (MANO_VERTICES, 3), "weights": (MANO_VERTICES, MANO_JOINTS), "f": (None, 3)}
    arrays = {name: _numbers(model.get(name)) for name in (*wanted, "J_regressor")}
    for name, shape in (*wanted.items(), ("J_regressor", (MANO_JOINTS, MANO_VERTICES))):
        array = arrays[name]
        if array is None or array.ndim != 2 or array.shape[1] != shape[1] or shape[0] not in (None, array.shape[0]):
            raise LumbricalError(f"has no usable {name}: it is not MANO's version 1.2")
    vertices = np.asarray(arrays["v_template"], np.float64)
    faces = np.asarray(arrays["f"], np.int64)
    if not len(faces) or faces.min() < 0 or faces.max() >= MANO_VERTICES:
        raise LumbricalError("has triangles whose vertices are not there")
    return {
        "v_template": vertices,
        "weights": np.asarray(arrays["weights"], np.float64),
        "J": np.asarray(arrays["J_regressor"], np.float64) @ vertices,
        "faces": faces,
        "tip_vertices": np.array(TIP_VERTICES),
    }


def write_arrays(path: Path, arrays: dict[str, Array], force: bool) -> None:
    """Write the .npz whole or not at all."""
    if path.exists() and not force:
        raise LumbricalError(f"{path} is there already; add --force to replace it")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes a keyword for a flag
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise LumbricalError(f"{path} cannot be written: {error.strerror}") from error


def convert(source: Path, target: Path, force: bool = False) -> None:
    """Read MANO's pickle, write the .npz that engine.hand.imports.load_hand reads; LumbricalError on what is wrong."""
    model = read_model(source)
    try:
        # Numbers that are not finite make the app refuse the file, in words; no warning is needed here.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            arrays = plain_arrays(model)
    except LumbricalError as error:
        raise LumbricalError(f"{source} {error}") from error
    write_arrays(target, arrays, force)


def main() -> int:
    """Convert what the command line names; 0 when done, 2 with one line when not."""
    parser = argparse.ArgumentParser(description="Convert your MANO model into plain arrays for `--hand`.")
    parser.add_argument("source", type=Path, metavar="MANO.pkl", help="MANO_RIGHT.pkl or MANO_LEFT.pkl of MANO v1.2")
    parser.add_argument("target", type=Path, metavar="HAND.npz", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace HAND.npz if it exists")
    args = parser.parse_args()
    try:
        convert(args.source, args.target, args.force)
    except LumbricalError as error:
        print(f"convert_mano: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{args.target} written; use it with --hand {args.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
