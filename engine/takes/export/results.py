"""The motion in a file that `track --out` wrote. Nothing is unpickled, no declared size is believed."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from engine.npy_header import DAMAGE, read_npy_header
from engine.takes.motion import Motion
from engine.types import BETA_SIZE, JOINT_COUNT, THETA_SIZE, THICKNESS_SIZE, LumbricalError, Side

Columns = dict[str, NDArray[Any]]

#: The numbers of a frame that make a motion, and their shapes.
_SHAPES: dict[str, tuple[int, ...]] = {
    "time_s": (),
    "joints_mm": (JOINT_COUNT, 3),
    "joint_sigma_mm": (JOINT_COUNT,),
    "theta": (THETA_SIZE,),
    "beta": (BETA_SIZE,),
    "thickness": (THICKNESS_SIZE,),
}
#: More than an hour and a half at 90 frames a second; some 600 MB as float64.
_MAX_FRAMES = 500_000
_MAX_LINE = 1 << 20
_MAX_TEXT_BYTES = 256


def load_results(path: Path, side: Side | None = None) -> Motion:
    """The motion in a .npz or .jsonl file of `track --out`. side: the hand that is meant where a file holds both.

    Raises LumbricalError, naming the file, where it is missing, damaged, of another kind, or holds both hands.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".jsonl"):
        raise LumbricalError(f"{path} is not a .npz or .jsonl file that `track --out` wrote")
    try:
        if not path.is_file():
            raise LumbricalError(f"{path} is not a file: give a .npz or .jsonl file that `track --out` wrote")
        columns = _read_npz(path) if suffix == ".npz" else _read_jsonl(path)
    except OSError as error:
        raise LumbricalError(f"{path} cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise LumbricalError(f"{path} is not a whole {suffix} file of `track --out`: write it again") from error
    try:
        return _motion(columns, side)
    except LumbricalError as error:
        raise LumbricalError(f"{path}: {error}") from error


def _motion(columns: Columns, side: Side | None) -> Motion:
    found = {text for text in np.unique(columns["side"]).tolist() if text}
    unknown = found - {one.value for one in Side}
    if unknown:
        raise LumbricalError(f"a side is {str(min(unknown))[:20]!r}, not right or left")
    if len(found) > 1 and side is None:
        raise LumbricalError("it holds both hands: say which one, right or left")
    one = side or (Side(found.pop()) if found else Side.RIGHT)
    return Motion(
        side=one,
        device_time_s=columns["time_s"],
        tracked=columns["side"] == one.value,
        theta=columns["theta"],
        beta=columns["beta"],
        thickness=columns["thickness"],
        joints_mm=columns["joints_mm"],
        joint_sigma_mm=columns["joint_sigma_mm"],
        frame_number=columns["number"],
    )


def _read_npz(path: Path) -> Columns:
    columns: Columns = {}
    with zipfile.ZipFile(path) as archive:
        for name in ("number", "side", *_SHAPES):
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as stream:
                columns[name] = _read_array(path, name, stream, member.file_size)
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError("arrays of different length")
    return columns


def _read_array(path: Path, name: str, stream: IO[bytes], size: int) -> NDArray[Any]:
    """An array whose header was held against what is expected and against the file before it is allocated."""
    shape, dtype = read_npy_header(stream)
    kinds = {"number": "iu", "side": "U"}.get(name, "f")
    if dtype.kind not in kinds or dtype.itemsize > _MAX_TEXT_BYTES:
        raise LumbricalError(f"{path}: {name} holds {dtype} values, which `track --out` does not write")
    if len(shape) < 1 or shape[1:] != _SHAPES.get(name, ()):
        raise LumbricalError(f"{path}: {name} has shape {shape}, which `track --out` does not write")
    if shape[0] > _MAX_FRAMES:
        raise LumbricalError(f"{path} declares {shape[0]} frames: {_MAX_FRAMES} are the most, export a part")
    if stream.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError("its size is not what the header says")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _read_jsonl(path: Path) -> Columns:
    records: list[Columns] = []
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE):
            if len(records) == _MAX_FRAMES:
                raise LumbricalError(f"{path} has more than {_MAX_FRAMES} frames: export a part")
            records.append(_read_line(path, len(records) + 1, line))
    if not records:
        raise LumbricalError(f"{path} is empty")
    return {name: np.array([record[name] for record in records]) for name in records[0]}


def _read_line(path: Path, number: int, line: bytes) -> Columns:
    try:
        record: dict[str, Any] = json.loads(line)
        columns: Columns = {
            "number": np.array(int(record["number"]), np.int64),
            "side": np.array(str(record["side"] or "")[:_MAX_TEXT_BYTES]),
        }
        for name, shape in _SHAPES.items():
            value = np.full(shape, np.nan) if record[name] is None else np.array(record[name], np.float64)
            if value.shape != shape:
                raise ValueError(f"{name} has another shape")
            columns[name] = value
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LumbricalError(f"{path}: line {number} is not a result as `track --out` writes it") from error
    return columns
