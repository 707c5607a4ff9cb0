"""Tracking results as plain records, and files of them that appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from app.whole_file import check_new_file, whole_file, written_to
from engine.types import BETA_SIZE, JOINT_COUNT, THETA_SIZE, THICKNESS_SIZE, FloatArray, TrackingResult

#: The arrays of a record and their shapes; NaN in .npz and null in JSON where a frame was not tracked.
_ARRAYS = {
    "joints_mm": (JOINT_COUNT, 3),
    "joint_sigma_mm": (JOINT_COUNT,),
    "theta": (THETA_SIZE,),
    "beta": (BETA_SIZE,),
    "thickness": (THICKNESS_SIZE,),
}
_SUFFIXES = (".npz", ".jsonl")


def result_record(result: TrackingResult) -> dict[str, Any]:
    """One frame's result as JSON holds it: number, time_s (the device's clock), state, side, confidence, residual_mm,
    joints_mm (21, 3) in the camera's frame on the hand's own side, joint_sigma_mm (21,), and theta (26,), beta (20,),
    thickness (6,) of the canonical right hand. None for what the frame did not give."""
    tracked, parameters = result.geometry is not None, result.parameters
    arrays: dict[str, FloatArray | None] = {
        "joints_mm": result.geometry.joints if result.geometry is not None else None,
        "joint_sigma_mm": result.joint_sigma_mm,
        "theta": parameters.theta if parameters is not None else None,
        "beta": parameters.beta if parameters is not None else None,
        "thickness": parameters.thickness if parameters is not None else None,
    }
    return {
        "number": result.frame.number,
        "time_s": _finite(result.frame.device_time_s),
        "state": result.state.value,
        "side": result.side.value if tracked else None,
        "confidence": _finite(result.confidence),
        "residual_mm": _finite(result.residual_mm),
    } | {name: _rounded(array) for name, array in arrays.items()}


def _rounded(array: FloatArray | None) -> list[Any] | None:
    """A tenth of a micrometre is enough, and a third of the text."""
    rounded: list[Any] | None = None if array is None else np.round(np.asarray(array, np.float64), 4).tolist()
    return rounded


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def check_results_path(path: Path, force: bool) -> None:
    """Raise LumbricalError where results could not be written in the end: told before tracking starts."""
    check_new_file("--out", path, _SUFFIXES, force)


@contextmanager
def results_file(path: Path) -> Iterator[ResultsWriter]:
    """Collects records, and puts the whole file in its place when the context ends well; on any error there is none."""
    with whole_file("--out", path) as temporary:
        with written_to("--out", path):
            file = temporary.open("wb")
        writer = ResultsWriter(path, file)
        try:
            yield writer
            with written_to("--out", path):
                writer.finish()
        finally:
            # Closing writes what is still in the buffer: on a full disk it fails once more.
            with suppress(OSError):
                file.close()


class ResultsWriter:
    """Writes records to the open file that will be at `path`: lines at once, an .npz in the end."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._records: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Append a frame's record. LumbricalError when it cannot be written."""
        if self._path.suffix.lower() == ".npz":
            self._records.append(record)
            return
        with written_to("--out", self._path):
            self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")

    def finish(self) -> None:
        """Write what was kept back. Raises OSError."""
        if self._path.suffix.lower() == ".npz":
            np.savez_compressed(self._file, **_columns(self._records))
        self._file.flush()


def _columns(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Records as one array a field, (N, …); untracked frames are NaN, their side is empty."""

    def numbers(name: str) -> FloatArray:
        return np.array([np.nan if r[name] is None else r[name] for r in records], np.float64)

    columns: dict[str, Any] = {
        "number": np.array([r["number"] for r in records], np.int64),
        "state": np.array([r["state"] for r in records], "U16"),
        "side": np.array([r["side"] or "" for r in records], "U8"),
        "time_s": numbers("time_s"),
        "confidence": numbers("confidence"),
        "residual_mm": numbers("residual_mm"),
    }
    for name, shape in _ARRAYS.items():
        column = np.full((len(records), *shape), np.nan, np.float32)
        for row, record in zip(column, records, strict=True):
            if record[name] is not None:
                row[:] = record[name]
        columns[name] = column
    return columns
