"""Sequence folders: sequence.json, depth/NNNNNN.png (16-bit grey), color/NNNNNN.jpg where there is colour."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.sensors.images import check_png, read_color_jpeg, read_grey_png
from engine.sensors.protocol import DEFAULT_FPS, MAX_IMAGE_SIDE, BadRecording, SensorBase, SensorError
from engine.types import DepthFrame, Intrinsics, LumbricalError, Side

INDEX_NAME = "sequence.json"
_MAX_INDEX_BYTES = 1 << 20
_FRAME_NAME = re.compile(r"\d{6}\.png")


@dataclass(frozen=True)
class SequenceInfo:
    """What sequence.json says. fps is 0 and side None where the file does not know; extra holds all its fields."""

    intrinsics: Intrinsics
    depth_unit_mm: float
    fps: float
    side: Side | None
    frame_count: int
    joint_convention: str | None
    extra: Mapping[str, Any]


def _number(source: Mapping[str, Any], key: str, path: Path, low: float, high: float) -> float:
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRecording(f"{path}: {key} must be a number from {low:g} to {high:g}, not {value!r:.40}")
    return float(value)


def _parse_intrinsics(source: object, path: Path) -> Intrinsics:
    if not isinstance(source, dict):
        raise BadRecording(f"{path}: intrinsics are missing: width, height, fx, fy, cx, cy are needed")
    width, height = (_number(source, key, path, 1, MAX_IMAGE_SIDE) for key in ("width", "height"))
    if width != int(width) or height != int(height):
        raise BadRecording(f"{path}: the image size must be whole numbers, not {width} x {height}")
    fx, fy = (_number(source, key, path, 1e-3, 1e6) for key in ("fx", "fy"))
    cx, cy = (_number(source, key, path, -1e6, 1e6) for key in ("cx", "cy"))
    if not (0 <= cx <= width and 0 <= cy <= height):
        raise BadRecording(
            f"{path}: the principal point {cx:g}, {cy:g} lies outside the {width:g} x {height:g} image:"
            " the intrinsics are for another image size"
        )
    return Intrinsics(int(width), int(height), fx, fy, cx, cy)


def read_sequence_info(folder: Path) -> SequenceInfo:
    """Read and check sequence.json. Raises BadRecording with one line that names the file and the field."""
    path = folder / INDEX_NAME
    if not folder.is_dir():
        raise BadRecording(f"{folder} is not a folder: a sequence folder is wanted here")
    if not path.is_file():
        raise BadRecording(f"{folder} has no {INDEX_NAME}: it is not a sequence folder")
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise BadRecording(f"{path} is over 1 MB: it is not a sequence description")
        source = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadRecording(f"{path} is not valid JSON: {str(error).splitlines()[0]:.80}") from error
    if not isinstance(source, dict):
        raise BadRecording(f"{path} must hold a JSON object, not a {type(source).__name__}")
    side = source.get("side", "unknown")
    if side not in ("right", "left", "unknown"):
        raise BadRecording(f"{path}: side must be right, left or unknown, not {side!r:.40}")
    convention = source.get("joint_convention")
    if convention is not None and not isinstance(convention, str):
        raise BadRecording(f"{path}: joint_convention must be a name, not {convention!r:.40}")
    return SequenceInfo(
        intrinsics=_parse_intrinsics(source.get("intrinsics"), path),
        depth_unit_mm=_number(source, "depth_unit_m", path, 1e-6, 0.1) * 1000,
        fps=_number(source, "fps", path, 0, 1000) if "fps" in source else 0.0,
        side=None if side == "unknown" else Side(side),
        frame_count=_count_frames(folder, source, path),
        joint_convention=convention,
        extra=source,
    )


def _count_frames(folder: Path, source: Mapping[str, Any], path: Path) -> int:
    depth = folder / "depth"
    try:
        names = sorted(entry.name for entry in os.scandir(depth) if _FRAME_NAME.fullmatch(entry.name))
    except OSError as error:
        raise BadRecording(f"{depth} cannot be read: {error.strerror}: the sequence has no frames") from error
    if not names:
        raise BadRecording(f"{depth} holds no frames: the recording is empty")
    if names[-1] != f"{len(names) - 1:06d}.png":
        missing = next(i for i, name in enumerate(names) if name != f"{i:06d}.png")
        raise BadRecording(f"{depth}/{missing:06d}.png is missing: copy or record the sequence again")
    declared = source.get("frames", len(names))
    if declared != len(names):
        raise BadRecording(f"{path} says {declared!r:.20} frames but {depth} holds {len(names)}: copy it again")
    return len(names)


class SequenceFolder(SensorBase):
    """Plays a sequence folder, frame by frame. Frames are dated by fps, or by 10 fps where the folder gives none."""

    def __init__(self, folder: str | Path, color: bool = True) -> None:
        super().__init__(Path(folder).name or str(folder))
        self._folder = Path(folder)
        self._color = color
        self._info: SequenceInfo | None = None
        self._next = 0

    @property
    def is_live(self) -> bool:
        return False

    @property
    def info(self) -> SequenceInfo:
        """What sequence.json says. Raises SensorError before open."""
        if self._info is None:
            raise SensorError(f"{self.name} has not been opened")
        return self._info

    def _open(self) -> None:
        info = read_sequence_info(self._folder)
        # All ends are looked at now: better one line before the session than a stop in the middle of it.
        for index in range(info.frame_count):
            check_png(self._depth_path(index), 16, info.intrinsics.width, info.intrinsics.height)
        self._info = info
        self._intrinsics, self._fps, self._frame_count = info.intrinsics, info.fps, info.frame_count
        self._side = info.side
        self._next = 0

    def _depth_path(self, index: int) -> Path:
        return self._folder / "depth" / f"{index:06d}.png"

    def _read(self, timeout_s: float) -> DepthFrame:
        info, index = self.info, self._next
        if index >= info.frame_count:
            raise self._end_of_stream()
        width, height = info.intrinsics.width, info.intrinsics.height
        depth = np.asarray(read_grey_png(self._depth_path(index), 16, width, height), np.uint16)
        color_path = self._folder / "color" / f"{index:06d}.jpg"
        color = read_color_jpeg(color_path, width, height) if self._color and color_path.is_file() else None
        self._next += 1
        device_time_s = index / (info.fps or DEFAULT_FPS)
        return DepthFrame(
            depth, info.depth_unit_mm, info.intrinsics, index, device_time_s, time.monotonic(), color=color
        )

    def _seek(self, index: int) -> None:
        self._next = index

    def _close(self) -> None:
        self._next = 0


def write_sequence(
    folder: str | Path,
    frames: Iterable[DepthFrame],
    *,
    fps: float = 0.0,
    side: Side | None = None,
    sensor: str = "",
    labels: Mapping[str, NDArray[np.floating]] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> int:
    """Write frames as a sequence folder and return how many there were.

    The folder appears whole or not at all, and one that exists is never touched. labels: arrays by name
    (joints_mm, palm_uv, joints_uv_2d), one row a frame; extra: further fields of sequence.json, such as
    joint_convention or licence. Raises SensorError when the folder exists, cannot be written, there are no frames,
    labels do not fit, or the frames' size, unit or intrinsics change on the way.
    """
    target = Path(folder)
    if target.exists() or target.is_symlink():
        raise SensorError(f"{target} exists already: choose another name")
    if not math.isfinite(fps) or not 0 <= fps <= 1000:
        raise SensorError(f"fps must be from 0 to 1000, not {fps}")
    work: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        work.chmod(0o755)
        first, count = _write_frames(work, frames)
        _write_labels(work, labels or {}, count)
        index = dict(extra or {}) | {
            "sensor": sensor,
            "depth_unit_m": float(f"{first.depth_unit_mm / 1000:.9g}"),
            "fps": fps,
            "side": side.value if side else "unknown",
            "frames": count,
            "intrinsics": asdict(first.intrinsics),
        }
        (work / INDEX_NAME).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        work.rename(target)
    except OSError as error:
        raise SensorError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        if work is not None and work.exists():
            shutil.rmtree(work, ignore_errors=True)
    return count


def _write_frames(work: Path, frames: Iterable[DepthFrame]) -> tuple[DepthFrame, int]:
    (work / "depth").mkdir()
    first: DepthFrame | None = None
    count = 0
    for frame in frames:
        if first is None:
            first = frame
            if frame.color is not None:
                (work / "color").mkdir()
        if (frame.intrinsics, frame.depth_unit_mm) != (first.intrinsics, first.depth_unit_mm):
            raise SensorError("the frames' intrinsics or depth unit change on the way: write them as two sequences")
        _write_image(work / "depth" / f"{count:06d}.png", frame.depth)
        if frame.color is not None and first.color is not None:
            _write_image(work / "color" / f"{count:06d}.jpg", np.ascontiguousarray(frame.color[..., ::-1]))
        count += 1
    if first is None:
        raise SensorError("there are no frames to write: record some first")
    return first, count


def _write_image(path: Path, image: NDArray[Any]) -> None:
    ok, data = cv2.imencode(path.suffix, image)
    if not ok:
        raise LumbricalError(f"{path.name} cannot be encoded from {image.shape} {image.dtype}")
    path.write_bytes(data.tobytes())


def _write_labels(work: Path, labels: Mapping[str, NDArray[np.floating]], count: int) -> None:
    for name, values in labels.items():
        if not re.fullmatch(r"[a-z0-9_]+", name) or len(values) != count:
            raise SensorError(f"labels {name!r:.40} have {len(values)} rows for {count} frames")
        np.save(work / f"{name}.npy", np.asarray(values, np.float32), allow_pickle=False)
