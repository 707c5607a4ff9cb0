"""A recording as a RealSense file (.db3), written by the vendor's own SDK: a software device plays it to a recorder."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import BadRecording, Sensor
from engine.sensors.realsense_recording import Entry, read_index
from engine.sensors.realsense_sdk import load_sdk
from engine.takes.convert.frames import Converted, measured_fps
from engine.types import DepthFrame, Intrinsics, LumbricalError, first_line

#: What waits in memory for the SDK's writing thread, which drops frames without a word beyond 248 MB.
_MOST_WAITING_BYTES = 32 << 20
_MIN_FREE_BYTES = 256 << 20
#: The file tells depth units in whole micrometres; what that may shift a point by, of its distance.
_UNIT_TOLERANCE = 1e-6
#: What recordings without a rate and without times get; the file needs one.
_DEFAULT_FPS = 30.0
#: When the first frame is due: what is dated 0 is about the whole file.
_FIRST_NS = 1000


def write_db3(sensor: Sensor, frames: Iterable[DepthFrame], path: Path, *, origin: str = "") -> Converted:
    """Write the frames of an open recording to `path`, which must not exist and end in .db3.

    Depth is kept bit for bit, times to the microsecond, intrinsics as float32; colour is kept where the first frame has
    it. origin: the camera's name. Raises SensorUnavailable without the SDK, LumbricalError for what cannot be written.
    """
    sdk = load_sdk()
    fps = measured_fps(sensor) or _DEFAULT_FPS
    sent = _Sent([], [])
    recorder: _Recorder | None = None
    try:
        for frame in frames:
            if recorder is None:
                recorder = _Recorder(sdk, path, frame, max(1, round(fps)), origin)
            sent.note(frame, with_color=recorder.add(frame))
        if recorder is None:
            raise LumbricalError("there are no frames to write: the recording is empty")
        recorder.wait()
    except RuntimeError as error:
        raise LumbricalError(f"the RealSense SDK cannot write {path} ({first_line(error)})") from error
    finally:
        if recorder is not None:
            recorder.close()
            # The SDK lets go of the file when the last of its objects is gone.
            del recorder
            gc.collect()
    _retime(path, sent, sent.offsets_ns(fps))
    _check(path, sent)
    return Converted(len(sent.entries))


def renew_bag(source: Path, path: Path) -> int:
    """Let the SDK convert an older .bag recording to `path`, with all streams that it has, and count its depth frames.
    Raises BadRecording, or SensorUnavailable without the SDK."""
    if not source.is_file():
        raise BadRecording(f"{source} does not exist, or is no file: check the path")
    try:
        load_sdk().context().convert_bag_to_db3(str(source), str(path))
    except RuntimeError as error:
        raise BadRecording(f"{source} cannot be converted ({first_line(error)}): record it again") from error
    frames = len(read_index(path))
    if not frames:
        raise BadRecording(f"{source} holds no depth frames: the recording is empty")
    return frames


@dataclass
class _Sent:
    """What was handed to the SDK: number and time of each frame, and the places among them of those with colour."""

    entries: list[tuple[int, float]]
    colored: list[int]

    def note(self, frame: DepthFrame, with_color: bool) -> None:
        if with_color:
            self.colored.append(len(self.entries))
        self.entries.append((frame.number, frame.device_time_s * 1000))

    def offsets_ns(self, fps: float) -> NDArray[np.int64]:
        """(N,) when each frame is due in the file, as the device's clock has it; where that stands still or runs back,
        by the rate."""
        gaps_ms = np.diff([time_ms for _, time_ms in self.entries], prepend=self.entries[0][1])
        gaps_ms[1:] = np.where(gaps_ms[1:] > 0, gaps_ms[1:], 1000 / fps)
        return _FIRST_NS + np.round(np.cumsum(gaps_ms) * 1e6).astype(np.int64)


class _Recorder:
    """A software device with a depth stream, and a colour stream in the same place, that is being recorded.

    Methods raise the SDK's RuntimeError, and LumbricalError when the disk is nearly full.
    """

    def __init__(self, sdk: Any, path: Path, first: DepthFrame, fps: int, origin: str) -> None:
        self._sdk, self._path = sdk, path
        self._unit_m = _unit_m(first)
        self._device = sdk.software_device()
        # The file keeps these as "key=value;…".
        name = re.sub(r"[;=\s]+", " ", origin).strip() or "Lumbrical"
        for field, value in (("name", name), ("serial_number", "0"), ("product_line", "D400")):
            self._device.register_info(getattr(sdk.camera_info, field), value)
        self._depth = self._device.add_sensor("Stereo Module")
        self._depth.add_read_only_option(sdk.option.depth_units, self._unit_m)
        self._depth_profile = self._depth.add_video_stream(
            _stream(sdk, sdk.stream.depth, sdk.format.z16, 2, fps, first.intrinsics), True
        ).as_video_stream_profile()
        self.has_color = first.color is not None
        if self.has_color:
            self._add_color(fps, first.intrinsics)
        self._recorder = sdk.recorder(str(path), self._device)
        self._running: list[Any] = []
        self._waiting_bytes = 0
        # Whoever plays a device must take its frames, though only the recorder is of interest.
        self._queue = sdk.frame_queue(1)
        for sensor in self._recorder.query_sensors():
            sensor.open(sensor.get_stream_profiles()[0])
            self._running.append(sensor)
            sensor.start(self._queue)

    def _add_color(self, fps: int, intrinsics: Intrinsics) -> None:
        """Colour is registered to depth: the same camera, at the same place."""
        sdk = self._sdk
        self._color = self._device.add_sensor("RGB Camera")
        self._color_profile = self._color.add_video_stream(
            _stream(sdk, sdk.stream.color, sdk.format.rgb8, 3, fps, intrinsics), True
        ).as_video_stream_profile()
        same_place = sdk.extrinsics()
        same_place.rotation, same_place.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
        self._depth_profile.register_extrinsics_to(self._color_profile, same_place)

    def add(self, frame: DepthFrame) -> bool:
        """Record a frame, and tell whether its colour went with it."""
        depth = self._frame(frame, frame.depth, self._depth_profile)
        depth.depth_units = self._unit_m
        self._depth.on_video_frame(depth)
        with_color = self.has_color and frame.color is not None
        if with_color:
            self._color.on_video_frame(self._frame(frame, frame.color, self._color_profile))
        self._waiting_bytes += frame.depth.nbytes + (frame.color.nbytes if frame.color is not None else 0)
        if self._waiting_bytes >= _MOST_WAITING_BYTES:
            self.wait()
            self._recorder.resume()
        return with_color

    def _frame(self, frame: DepthFrame, pixels: NDArray[Any] | None, profile: Any) -> Any:
        pixels = np.ascontiguousarray(pixels)
        made = self._sdk.software_video_frame()
        made.pixels, made.stride = pixels, pixels.strides[0]
        made.bpp = pixels.strides[1]
        made.timestamp, made.domain = frame.device_time_s * 1000, self._sdk.timestamp_domain.hardware_clock
        made.frame_number, made.profile = frame.number, profile
        return made

    def wait(self) -> None:
        """Until all frames are in the file, which takes no more until it is resumed: to pause is the only way to wait
        for the SDK's writing thread."""
        self._recorder.pause()
        self._waiting_bytes = 0
        if shutil.disk_usage(self._path.parent).free < _MIN_FREE_BYTES:
            raise LumbricalError(f"{self._path.parent} has under {_MIN_FREE_BYTES >> 20} MB left: make room")

    def close(self) -> None:
        """Stop, and let go of all that belongs to the SDK. Never raises."""
        for sensor in self._running:
            with suppress(RuntimeError):
                sensor.stop()
                sensor.close()
        self._running.clear()
        del self._recorder, self._queue, self._device


def _unit_m(frame: DepthFrame) -> float:
    """The depth unit in metres. Raises LumbricalError where the file would tell another one."""
    unit_mm = frame.depth_unit_mm
    told_mm = round(unit_mm * 1000) / 1000
    if abs(told_mm - unit_mm) > _UNIT_TOLERANCE * unit_mm:
        raise LumbricalError(
            f"its depth unit is {unit_mm:.9g} mm, but .db3 files hold whole micrometres: convert into a take or "
            "a folder"
        )
    return told_mm / 1000


def _stream(sdk: Any, kind: Any, pixel_format: Any, pixel_bytes: int, fps: int, camera: Intrinsics) -> Any:
    lens = sdk.intrinsics()
    lens.width, lens.height = camera.width, camera.height
    lens.fx, lens.fy, lens.ppx, lens.ppy = camera.fx, camera.fy, camera.cx, camera.cy
    lens.model, lens.coeffs = sdk.distortion.brown_conrady, [0.0] * 5
    stream = sdk.video_stream()
    stream.type, stream.fmt, stream.bpp, stream.fps = kind, pixel_format, pixel_bytes, fps
    stream.uid, stream.index = pixel_bytes, 0
    stream.width, stream.height, stream.intrinsics = camera.width, camera.height, lens
    return stream


def _retime(path: Path, sent: _Sent, offsets_ns: NDArray[np.int64]) -> None:
    """Date the messages of each frame by the device's clock.

    The SDK files frames by when it was handed them, and plays them at that pace: a conversion would play as fast as it
    was made, and not at the pace of the recording. Raises LumbricalError where frames are missing.
    """
    streams = {"Depth": offsets_ns, "Color": offsets_ns[sent.colored] + 1}
    try:
        with closing(sqlite3.connect(path)) as database:
            # No other program knows of the file yet, and without this it would be written twice.
            database.execute("PRAGMA journal_mode = OFF")
            for stream, due_ns in streams.items():
                times = _new_times(database, stream, due_ns, path)
                database.executemany("UPDATE messages SET timestamp = ? WHERE id = ?", times)
            database.commit()
    except sqlite3.Error as error:
        raise LumbricalError(f"{path} cannot be written ({error}): is the disk full?") from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _new_times(
    database: sqlite3.Connection, stream: str, due_ns: NDArray[np.int64], path: Path
) -> list[tuple[int, int]]:
    """(new time, message) of all messages about the stream's frames.

    Their order in the file tells what belongs together, an image first: the SDK's own times do not always rise, since
    it takes pauses off them late.
    """
    rows = database.execute(
        "SELECT m.id, t.name LIKE '%/image/data%' FROM messages m JOIN topics t ON m.topic_id = t.id"
        " WHERE t.name LIKE ? ORDER BY m.id",
        (f"/device_0/sensor_%/{stream}_0/%",),
    ).fetchall()
    frames = np.cumsum([is_image for _, is_image in rows], dtype=np.int64)
    count = int(frames[-1]) if len(frames) else 0
    if count != len(due_ns):
        raise _missing(stream, count, len(due_ns), path)
    return [(int(due_ns[frame - 1]), message) for frame, (message, _) in zip(frames, rows, strict=True) if frame]


def _missing(stream: str, found: int, expected: int, path: Path) -> LumbricalError:
    return LumbricalError(
        f"the RealSense SDK wrote {found} of {expected} {stream.lower()} frames to {path}: make room on the disk, or "
        "convert a part"
    )


def _check(path: Path, sent: _Sent) -> None:
    """The SDK says nowhere what it could not write. Raises LumbricalError where a frame is missing or not itself."""
    depth = sent.entries
    for stream, expected in (("Depth", depth), ("Color", [depth[place] for place in sent.colored])):
        found = read_index(path, stream)
        same = sum(map(_is_same, found, expected))
        if not len(found) == len(expected) == same:
            raise _missing(stream, same, len(expected), path)


def _is_same(found: Entry, expected: tuple[int, float]) -> bool:
    number, time_ms = expected
    return found.number == number and abs(found.time_ms - time_ms) < 1e-3
