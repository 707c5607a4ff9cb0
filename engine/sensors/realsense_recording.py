"""RealSense recordings: .db3 files, and the older .bag files, which the SDK converts first.

Depth and colour are played one by one through the SDK's sensors: a pipeline with both drops every frame set that its
matching leaves incomplete, and one that is not at the end of its file takes 10 s to seek or stop every now and then.
"""

from __future__ import annotations

import atexit
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import DEFAULT_FPS, BadRecording, SensorBase
from engine.sensors.realsense_sdk import camera_model, color_camera, load_sdk, to_unit_mm
from engine.sensors.registration import Registration
from engine.sensors.undistort import Undistorter
from engine.types import DepthFrame, first_line

#: Frames that are read ahead of the reader.
_READ_AHEAD = 3
_POLL_S = 0.02
_COLOR_TIMEOUT_S = 1.0
_NUMBER = re.compile(rb"Frame number=(\d+);")
_TIME = re.compile(rb";timestamp=(-?[\d.]+);")
_CLOCK = re.compile(rb";timestamp_domain=([^;]*);")


@dataclass(frozen=True)
class Entry:
    """Where a frame lies in the file (ns from its start), and by what the SDK's frame is recognised.

    time_ms is told by `clock`, in the SDK's words; empty where the file does not say.
    """

    offset_ns: int
    number: int
    time_ms: float
    clock: str = ""

    def matches(self, image: _Image) -> bool:
        return image.number == self.number and abs(image.time_ms - self.time_ms) < 0.01


def read_index(path: Path, stream: str = "Depth") -> list[Entry]:
    """The frames of one stream ("Depth", "Color") of a .db3 file, in order; none when it was not recorded.

    Raises BadRecording when the file is not such a database.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT m.timestamp, m.data FROM messages m JOIN topics t ON m.topic_id = t.id"
                " WHERE t.name LIKE ? ORDER BY m.timestamp, m.id",
                (f"/device_0/sensor_%/{stream}_0/image/metadata",),
            ).fetchall()
    except sqlite3.Error as error:
        raise BadRecording(f"{path} is not a whole RealSense recording ({error}): record it again") from error
    entries = []
    for offset_ns, data in rows:
        text = data if isinstance(data, bytes) else b""
        number, time_ms, clock = (pattern.search(text) for pattern in (_NUMBER, _TIME, _CLOCK))
        if number is None or time_ms is None or not isinstance(offset_ns, int):
            raise BadRecording(f"{path} has frames without number or time: record it with SDK 2.58 or later")
        entries.append(Entry(offset_ns, int(number[1]), float(time_ms[1]), clock[1].decode("latin-1") if clock else ""))
    return entries


def nearest_in_time(frames: list[Entry], others: list[Entry]) -> list[int]:
    """For each frame the place in `others` (not empty) of the one that was taken nearest to it.

    The camera's clock decides. When frames came to be written says less: on a busy computer one stream comes later
    than the other. It has to do where the two streams' times are of different clocks.
    """
    taken, taken_others = (np.array([entry.time_ms for entry in entries]) for entries in (frames, others))
    if not _one_clock(frames, others):
        taken, taken_others = (np.array([float(e.offset_ns) for e in entries]) for entries in (frames, others))
    order = np.argsort(taken_others, kind="stable")
    rising = taken_others[order]
    after = np.searchsorted(rising, taken).clip(0, len(rising) - 1)
    before = (after - 1).clip(0)
    nearer_before = np.abs(taken - rising[before]) <= np.abs(rising[after] - taken)
    return [int(place) for place in order[np.where(nearer_before, before, after)]]


def _one_clock(frames: list[Entry], others: list[Entry]) -> bool:
    """Whether both streams' times can be compared: told by one clock, they also overlap."""
    first, second = ([entry.time_ms for entry in entries] for entries in (frames, others))
    overlap = max(min(first), min(second)) <= min(max(first), max(second))
    return overlap and len({entry.clock for entry in (*frames, *others)}) == 1


@dataclass(frozen=True)
class _Image:
    """A frame's pixels, copied while the SDK still held them, in the SDK's own terms."""

    pixels: NDArray[Any]
    number: int
    time_ms: float
    unit_mm: float


class _Stream:
    """One stream of a recording. Errors of the SDK come out as RuntimeError.

    The SDK reads ahead in a thread of its own and hands every frame to _receive, which holds it back while enough
    frames lie ready. Held back, that thread makes seek and stop wait 10 s, so both open the gate first.
    """

    def __init__(self, sdk: Any, file: Path, kind: Any, index: list[Entry]) -> None:
        self._sdk = sdk
        self._file = file
        self._kind = kind
        self.index = index
        self.next = 0
        self._changed = threading.Condition()
        self._ready: deque[_Image] = deque()
        self._gate_open = False
        self._callback = self._receive
        self._start()

    def _start(self) -> None:
        self._context = self._sdk.context()
        self._playback = self._context.load_device(str(self._file))
        self._playback.set_real_time(False)
        for sensor in self._playback.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() == self._kind:
                    self.profile = profile.as_video_stream_profile()
                    self._sensor = sensor
        self._gate_open = False
        self._sensor.open(self.profile)
        self._sensor.start(self._callback)
        # An interpreter that ends while the SDK's thread waits in _receive aborts.
        atexit.register(self.stop)

    def beside(self, kind: Any) -> Any:
        """The profile of another stream of the same device."""
        profiles = (p for sensor in self._playback.query_sensors() for p in sensor.get_stream_profiles())
        return next((p for p in profiles if p.stream_type() == kind), None)

    def _receive(self, frame: Any) -> None:
        """Called by the SDK's thread."""
        unit_mm = to_unit_mm(frame.as_depth_frame().get_units()) if frame.is_depth_frame() else 1.0
        pixels = np.array(np.asanyarray(frame.as_video_frame().get_data()))
        image = _Image(pixels, int(frame.get_frame_number()), float(frame.get_timestamp()), unit_mm)
        with self._changed:
            while len(self._ready) >= _READ_AHEAD and not self._gate_open:
                self._changed.wait()
            self._ready.append(image)
            self._changed.notify_all()

    def _open_gate(self) -> None:
        with self._changed:
            self._gate_open = True
            self._ready.clear()
            self._changed.notify_all()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self._open_gate()
        # Not paused first, the SDK's reading thread can outlive its device, and the process dies of it.
        for release in (self._playback.pause, self._sensor.stop, self._sensor.close):
            # A playback that ended by itself says so by raising; nothing is left to stop then.
            with suppress(RuntimeError):
                release()
        self._ready.clear()

    @property
    def _stopped(self) -> bool:
        return bool(self._playback.current_status() == self._sdk.playback_status.stopped)

    def seek(self, index: int) -> None:
        self.next = index
        if self._stopped:
            self._restart()
        # Aiming between two frames spares the question whether the SDK counts its target in.
        before_ns = self.index[index - 1].offset_ns if index else -self.index[0].offset_ns
        self._open_gate()
        self._playback.seek(timedelta(microseconds=(before_ns + self.index[index].offset_ns) / 2000))
        with self._changed:
            self._gate_open = False

    def _restart(self) -> None:
        """A playback that reached the end of its file does not go on after a seek."""
        self.stop()
        self._start()

    def read(self, timeout_s: float) -> _Image | None:
        """Frame number `next`, or None when it did not come in time. Raises RuntimeError when the file lacks it.

        Frames that were on their way before a seek are recognised by their numbers and times, and passed over.
        """
        entry = self.index[self.next]
        deadline_s = time.monotonic() + timeout_s
        restarts = 0
        while True:
            with self._changed:
                if not self._ready:
                    left_s = deadline_s - time.monotonic()
                    self._changed.wait(max(0.0, min(_POLL_S, left_s)))
                image = self._ready.popleft() if self._ready else None
                self._changed.notify_all()
            if image is not None and entry.matches(image):
                self.next += 1
                return image
            if image is None and self._stopped and not self._ready:
                # A seek near the end of a file can lose the race against the SDK's reading thread, which is then over.
                # Reading on from the start cannot lose, and only a short file gets here.
                restarts += 1
                if restarts > 1:
                    raise RuntimeError(f"frame {self.next} cannot be found")
                self._restart()
            elif time.monotonic() >= deadline_s:
                return None


class RealSenseRecording(SensorBase):
    """Plays a RealSense recording through the SDK, frame by frame, as fast as it is read.

    color asks for the colour image of the nearest time, registered to depth. A .bag file is converted into a temporary
    .db3 file on open, which takes a while for long recordings. Frames are numbered by their place in the file.
    """

    def __init__(self, path: str | Path, *, color: bool = False) -> None:
        super().__init__(Path(path).name)
        self._path = Path(path)
        self._want_color = color
        self._converted: Path | None = None
        self._depth: _Stream | None = None
        self._color: _Stream | None = None
        self._color_places: list[int] = []
        self._registration: Registration | None = None
        self._undistorter: Undistorter | None = None

    @property
    def is_live(self) -> bool:
        return False

    def _open(self) -> None:
        if not self._path.is_file():
            raise BadRecording(f"{self._path} does not exist: check the path")
        sdk = load_sdk()
        try:
            file = self._convert(sdk) if self._path.suffix.lower() == ".bag" else self._path
            index = read_index(file)
            if not index:
                raise BadRecording(f"{self._path} holds no depth frames: the recording is empty")
            self._depth = _Stream(sdk, file, sdk.stream.depth, index)
            self._intrinsics, self._undistorter = camera_model(sdk, self._depth.profile.get_intrinsics())
            if self._want_color:
                self._open_color(sdk, file)
        except RuntimeError as error:
            raise self._bad(error) from error
        self._fps = float(self._depth.profile.fps()) or DEFAULT_FPS
        self._frame_count = len(index)

    def _open_color(self, sdk: Any, file: Path) -> None:
        index = read_index(file, "Color")
        if not index or self._depth is None:
            self._warnings.append(f"{self.name} holds no colour: showing depth alone")
            return
        self._color = _Stream(sdk, file, sdk.stream.color, index)
        self._color_places = nearest_in_time(self._depth.index, index)
        if self._color.profile.format() != sdk.format.rgb8:
            self._warnings.append(
                f"{self.name} holds {self._color.profile.format()} colour, not rgb8: showing depth alone"
            )
            self._drop_color()
            return
        try:
            # Places are known only within one device: the colour profile is that of the depth's own.
            camera = color_camera(sdk, self._depth.profile, self._depth.beside(sdk.stream.color))
        except RuntimeError:
            self._warnings.append(f"{self.name} does not say where its colour camera is: showing depth alone")
            self._drop_color()
            return
        self._registration = Registration(camera, self.intrinsics)

    def _drop_color(self) -> None:
        if self._color is not None:
            self._color.stop()
            self._color = None

    def _bad(self, error: RuntimeError) -> BadRecording:
        return BadRecording(f"{self._path} cannot be played ({first_line(error)}): record it again")

    def _convert(self, sdk: Any) -> Path:
        self._converted = Path(tempfile.mkdtemp(prefix="lumbrical-"))
        target = self._converted / "recording.db3"
        sdk.context().convert_bag_to_db3(str(self._path), str(target))
        return target

    def _read(self, timeout_s: float) -> DepthFrame | None:
        stream = self._depth
        if stream is None or stream.next >= len(stream.index):
            raise self._end_of_stream()
        number = stream.next
        try:
            source = stream.read(timeout_s)
            if source is None:
                return None
            pixels = self._undistorter(source.pixels) if self._undistorter else source.pixels
            frame = DepthFrame(pixels, source.unit_mm, self.intrinsics, number, source.time_ms / 1000, time.monotonic())
            return self._with_color(frame)
        except RuntimeError as error:
            raise self._bad(error) from error

    def _with_color(self, frame: DepthFrame) -> DepthFrame:
        stream, register = self._color, self._registration
        if stream is None or register is None:
            return frame
        nearest = self._color_places[frame.number]
        if nearest != stream.next:
            stream.seek(nearest)
        source = stream.read(_COLOR_TIMEOUT_S)
        if source is None:
            return frame
        return replace(frame, color=register(source.pixels, frame.depth_mm()))

    def _seek(self, index: int) -> None:
        if self._depth is not None:
            try:
                self._depth.seek(index)
            except RuntimeError as error:
                raise self._bad(error) from error

    def _close(self) -> None:
        for stream in (self._depth, self._color):
            if stream is not None:
                stream.stop()
        self._depth = self._color = self._registration = None
        if self._converted is not None:
            shutil.rmtree(self._converted, ignore_errors=True)
            self._converted = None
