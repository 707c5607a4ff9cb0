"""RealSense recordings: .db3 files, and the older .bag files, which the SDK converts first."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.sensors.protocol import DEFAULT_FPS, BadRecording, SensorBase, SensorError
from engine.sensors.realsense_sdk import camera_model, first_line, load_sdk, to_frame
from engine.sensors.undistort import Undistorter
from engine.types import DepthFrame

#: Frames that were already on their way when the file was sought; more means that the seek did not work.
_MAX_STALE_FRAMES = 64
_POLL_MS = 100
_DEPTH_TOPIC = "/device_0/sensor_%/Depth_0/image/metadata"
_NUMBER = re.compile(rb"Frame number=(\d+);")
_TIME = re.compile(rb";timestamp=(-?[\d.]+);")


@dataclass(frozen=True)
class _Entry:
    """Where a frame lies in the file (ns from its start), and by what the SDK's frame is recognised."""

    offset_ns: int
    number: int
    time_ms: float

    def matches(self, depth: Any) -> bool:
        return int(depth.get_frame_number()) == self.number and abs(depth.get_timestamp() - self.time_ms) < 0.01


def read_index(path: Path) -> list[_Entry]:
    """The depth frames of a .db3 file in order. Raises BadRecording: not a database, no depth frames."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT m.timestamp, m.data FROM messages m JOIN topics t ON m.topic_id = t.id"
                " WHERE t.name LIKE ? ORDER BY m.timestamp, m.id",
                (_DEPTH_TOPIC,),
            ).fetchall()
    except sqlite3.Error as error:
        raise BadRecording(f"{path} is not a whole RealSense recording ({error}): record it again") from error
    entries = []
    for offset_ns, data in rows:
        number, time_ms = (pattern.search(data if isinstance(data, bytes) else b"") for pattern in (_NUMBER, _TIME))
        if number is None or time_ms is None or not isinstance(offset_ns, int):
            raise BadRecording(f"{path} has depth frames without numbers or times: record it again with SDK 2.58 or later")
        entries.append(_Entry(offset_ns, int(number[1]), float(time_ms[1])))
    if not entries:
        raise BadRecording(f"{path} holds no depth frames: the recording is empty")
    return entries


class RealSenseRecording(SensorBase):
    """Plays a RealSense recording through the SDK, frame by frame, as fast as it is read.

    color asks for the colour image registered to depth. A .bag file is converted into a temporary .db3 file on open,
    which takes a while for long recordings. Frames are numbered by their place in the file.
    """

    def __init__(self, path: str | Path, *, color: bool = False) -> None:
        super().__init__(Path(path).name)
        self._path = Path(path)
        self._want_color = color
        self._converted: Path | None = None
        self._file = self._path
        self._sdk: Any = None
        self._pipeline: Any = None
        self._playback: Any = None
        self._align: Any = None
        self._undistorter: Undistorter | None = None
        self._index: list[_Entry] = []
        self._next = 0

    @property
    def is_live(self) -> bool:
        return False

    def _open(self) -> None:
        if not self._path.is_file():
            raise BadRecording(f"{self._path} does not exist: check the path")
        self._sdk = load_sdk()
        self._file = self._convert() if self._path.suffix.lower() == ".bag" else self._path
        self._index = read_index(self._file)
        try:
            self._start()
        except RuntimeError as error:
            raise self._bad(error) from error
        self._frame_count = len(self._index)
        self._next = 0

    def _bad(self, error: RuntimeError) -> BadRecording:
        return BadRecording(f"{self._path} cannot be played ({first_line(error)}): record it again")

    def _convert(self) -> Path:
        self._converted = Path(tempfile.mkdtemp(prefix="lumbrical-"))
        target = self._converted / "recording.db3"
        try:
            self._sdk.context().convert_bag_to_db3(str(self._path), str(target))
        except RuntimeError as error:
            raise self._bad(error) from error
        return target

    def _start(self) -> None:
        sdk = self._sdk
        config = sdk.config()
        config.enable_device_from_file(str(self._file), repeat_playback=False)
        config.enable_stream(sdk.stream.depth)
        has_color = self._want_color and any(
            profile.stream_type() == sdk.stream.color
            for sensor in sdk.context().load_device(str(self._file)).query_sensors()
            for profile in sensor.get_stream_profiles()
        )
        if has_color:
            config.enable_stream(sdk.stream.color, sdk.format.rgb8)
            self._align = sdk.align(sdk.stream.depth)
        self._pipeline = sdk.pipeline(sdk.context())
        profile = self._pipeline.start(config)
        self._playback = profile.get_device().as_playback()
        self._playback.set_real_time(False)
        video = profile.get_stream(sdk.stream.depth).as_video_stream_profile()
        self._intrinsics, self._undistorter = camera_model(sdk, video.get_intrinsics())
        self._fps = float(profile.get_stream(sdk.stream.depth).fps()) or DEFAULT_FPS

    def _stop(self) -> None:
        if self._pipeline is None:
            return
        try:
            self._drain()
            self._pipeline.stop()
        except RuntimeError:
            # It was not started, or ended by itself: nothing is left to stop.
            pass
        self._pipeline = self._playback = self._align = None

    def _drain(self) -> None:
        """Take what the SDK has read ahead: its reading thread must not be stuck in a full queue, or it blocks 10 s."""
        for _ in range(_MAX_STALE_FRAMES):
            if not self._pipeline.poll_for_frames():
                return

    def _read(self, timeout_s: float) -> DepthFrame | None:
        if self._next >= len(self._index):
            raise self._end_of_stream()
        entry = self._index[self._next]
        deadline_s = time.monotonic() + timeout_s
        stale = 0
        while stale <= _MAX_STALE_FRAMES:
            left_ms = round((deadline_s - time.monotonic()) * 1000)
            try:
                ok, frames = self._pipeline.try_wait_for_frames(max(1, min(_POLL_MS, left_ms)))
                depth = frames.get_depth_frame() if ok else None
                if depth and entry.matches(depth):
                    return self._deliver(frames)
            except RuntimeError as error:
                raise self._bad(error) from error
            if depth:
                stale += 1
            elif self._playback.current_status() == self._sdk.playback_status.stopped:
                # A seek near the end can lose the race against the SDK's reading thread, which then has stopped.
                self._restart()
                self._seek(self._next)
                stale += _MAX_STALE_FRAMES // 4
            if not depth and time.monotonic() >= deadline_s:
                return None
        raise BadRecording(f"{self._path}: frame {self._next} cannot be found: record it again")

    def _deliver(self, frames: Any) -> DepthFrame:
        if self._align is not None and frames.get_color_frame():
            frames = self._align.process(frames)
        depth = frames.get_depth_frame()
        color = frames.get_color_frame() if self._align is not None else None
        frame = to_frame(depth, color, self.intrinsics, self._undistorter, self._next)
        self._next += 1
        return frame

    def _restart(self) -> None:
        self._stop()
        try:
            self._start()
        except RuntimeError as error:
            raise self._bad(error) from error

    def _seek(self, index: int) -> None:
        # Aiming between two frames spares the question whether the SDK counts its target in.
        before_ns = self._index[index - 1].offset_ns if index else 0
        target = timedelta(microseconds=(before_ns + self._index[index].offset_ns) / 2000 if index else 0)
        try:
            if self._playback.current_status() == self._sdk.playback_status.stopped:
                self._restart()
            self._drain()
            self._playback.seek(target)
        except RuntimeError as error:
            raise SensorError(f"{self.name} cannot seek to frame {index} ({first_line(error)}): open it again") from error
        self._next = index

    def _close(self) -> None:
        self._stop()
        self._index = []
        if self._converted is not None:
            shutil.rmtree(self._converted, ignore_errors=True)
            self._converted = None
