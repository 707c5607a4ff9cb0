"""Azure Kinect recordings (.mkv), read with PyAV: no Kinect library is needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.kinect_calibration import DEPTH_MODES, KinectCalibration, parse_calibration
from engine.sensors.matroska import expected_size
from engine.sensors.protocol import MAX_IMAGE_SIDE, BadRecording, SensorBase, SensorUnavailable
from engine.sensors.registration import Registration
from engine.sensors.undistort import Undistorter
from engine.types import DepthFrame

_DEFAULT_FPS = 30.0


def load_av() -> Any:
    """The PyAV module. Raises SensorUnavailable with one line that says what to install."""
    try:
        import av
    except ImportError as error:
        raise SensorUnavailable("Azure Kinect recordings need PyAV: pip install av") from error
    return av


class KinectRecording(SensorBase):
    """Plays an Azure Kinect recording, frame by frame, as fast as it is read.

    The lens bends the image by up to a few pixels; frames are straightened, so that they fit `intrinsics`. A frame's
    number is its time in frame periods: where the camera dropped frames, numbers are missing, and frame_count counts
    the periods. Seeking to a missing frame gives the next one. color asks for the colour image laid over the depth.
    """

    def __init__(self, path: str | Path, *, color: bool = False) -> None:
        super().__init__(Path(path).name)
        self._path = Path(path)
        self._want_color = color
        self._container: Any = None
        self._depth: Any = None
        self._color: Any = None
        self._packets: Iterator[Any] = iter(())
        self._calibration: KinectCalibration | None = None
        self._undistorter: Undistorter | None = None
        self._registration: Registration | None = None
        self._first_pts = 0
        self._wanted = 0
        self._colors: list[tuple[int, Any]] = []

    @property
    def is_live(self) -> bool:
        return False

    def _open(self) -> None:
        if not self._path.is_file():
            raise BadRecording(f"{self._path} does not exist: check the path")
        av = load_av()
        try:
            self._container = av.open(str(self._path), format="matroska", metadata_errors="replace")
            self._open_streams()
            self._measure()
            missing = self._missing()
        except (av.FFmpegError, OSError) as error:
            raise self._damaged("is not a whole Azure Kinect recording") from error
        if missing:
            self._warnings.append(f"{self.name} is {missing}: playing what is there; copy it again")

    def _missing(self) -> str:
        """That the file is cut short, and how much of it is there; empty where it does not say so itself."""
        whole, there = expected_size(self._path), self._path.stat().st_size
        if whole is None or there >= whole:
            return ""
        return f"cut short ({there} of {whole} bytes are there)"

    def _damaged(self, what: str) -> BadRecording:
        """The error of a file that cannot be played, or not further: `what` is wrong with it as far as one can see."""
        try:
            missing = self._missing()
        except OSError:
            missing = ""
        if missing:
            return BadRecording(f"{self._path} is damaged, {missing}: copy it again, or record it again")
        return BadRecording(f"{self._path} {what}: record it again")

    def _open_streams(self) -> None:
        streams = {stream.metadata.get("title"): stream for stream in self._container.streams}
        self._depth = streams.get("DEPTH")
        attachments = [s for s in self._container.streams if s.metadata.get("filename") == "calibration.json"]
        if self._depth is None or not _is_readable(self._depth):
            raise BadRecording(f"{self._path} has no DEPTH track: it is not an Azure Kinect depth recording")
        if not attachments:
            raise BadRecording(f"{self._path} has no calibration.json inside: record it again with k4arecorder")
        mode = str(self._depth.metadata.get("K4A_DEPTH_MODE", ""))
        self._color = self._color_stream(streams)
        size = (self._color.width, self._color.height) if self._color is not None else None
        if size and max(size) > MAX_IMAGE_SIDE:
            raise BadRecording(f"{self._path}: colour of {size[0]} x {size[1]} is refused")
        self._calibration = parse_calibration(bytes(attachments[0].data), mode, size)
        self._intrinsics = self._calibration.depth
        shape = DEPTH_MODES[mode]
        if (self._depth.width, self._depth.height) != (shape.width, shape.height):
            raise BadRecording(
                f"{self._path}: depth of {self._depth.width} x {self._depth.height} does not fit mode {mode}:"
                " record again"
            )
        if self._depth.codec_context.name != "rawvideo" or self._depth.codec_context.pix_fmt != "gray16be":
            raise BadRecording(
                f"{self._path}: depth is {self._depth.codec_context.name}, not raw 16 bits: record again"
            )
        self._undistorter = Undistorter(self._intrinsics, self._calibration.distort)
        if self._calibration.color is not None:
            self._registration = Registration(self._calibration.color, self._intrinsics)
        elif self._want_color:
            self._warnings.append(f"{self.name} holds no colour: showing depth alone")
            self._color = None

    def _color_stream(self, streams: dict[str | None, Any]) -> Any:
        """The colour track, or None where it is not wanted, not there or of a kind that cannot be read."""
        stream = streams.get("COLOR") if self._want_color else None
        return stream if stream is not None and _is_readable(stream) else None

    def _measure(self) -> None:
        """The first frame's time, and from the last one's how many periods there are."""
        self._fps = float(self._depth.average_rate or 0) or _DEFAULT_FPS
        first = next((int(p.pts) for p in self._container.demux(self._depth) if p.pts is not None), None)
        if first is None:
            raise self._damaged("holds no depth frames")
        self._first_pts = first
        # Only the last stretch of the file is read: recordings run to 3 GB a minute.
        end = int((self._container.duration or 0) / 1e6 / self._depth.time_base)
        self._container.seek(max(self._first_pts, end), stream=self._depth, backward=True)
        times = [int(p.pts) for p in self._container.demux(self._depth) if p.pts is not None]
        self._frame_count = self._number_at(max([first, *times])) + 1
        self._seek(0)

    def _number_at(self, pts: int) -> int:
        return round(float((pts - self._first_pts) * self._depth.time_base) * self._fps)

    def _seek(self, index: int) -> None:
        period = 1 / (self._fps * float(self._depth.time_base))
        # Half a period early: the frame that is sought must not be passed over, an earlier one is skipped in _read.
        target = self._first_pts + round((index - 0.5) * period)
        self._container.seek(max(0, target), stream=self._depth, backward=True)
        streams = [self._depth] if self._color is None else [self._depth, self._color]
        self._packets = iter(self._container.demux(streams))
        self._colors = []
        self._wanted = index

    def _read(self, timeout_s: float) -> DepthFrame:
        av = load_av()
        try:
            for packet in self._packets:
                if packet.pts is None:
                    continue
                if packet.stream.index != self._depth.index:
                    self._colors = [*self._colors[-3:], (int(packet.pts), packet)]
                    continue
                number = self._number_at(int(packet.pts))
                if number >= self._wanted:
                    self._wanted = number + 1
                    return self._frame(packet, number)
        except (av.FFmpegError, OSError) as error:
            raise self._damaged(f"is damaged after frame {self._wanted - 1}") from error
        raise self._end_of_stream()

    def _frame(self, packet: Any, number: int) -> DepthFrame:
        width, height = self.intrinsics.width, self.intrinsics.height
        if packet.size != width * height * 2 or self._undistorter is None:
            raise self._damaged(f"has a frame, {number}, that is cut short")
        raw = np.frombuffer(bytes(packet), ">u2").reshape(height, width).astype(np.uint16)
        depth = self._undistorter(raw)
        time_s = float((packet.pts - self._first_pts) * self._depth.time_base)
        frame = DepthFrame(depth, 1.0, self.intrinsics, number, time_s, time.monotonic())
        color = self._registered_color(frame, int(packet.pts))
        return frame if color is None else replace(frame, color=color)

    def _registered_color(self, frame: DepthFrame, pts: int) -> NDArray[np.uint8] | None:
        """The colour picture nearest in time among those read so far (colour precedes depth of the same capture)."""
        if self._registration is None or not self._colors:
            return None
        _, packet = min(self._colors, key=lambda entry: abs(entry[0] - pts))
        pictures = packet.decode()
        if not pictures:
            return None
        pixels = np.asarray(pictures[0].to_ndarray(format="rgb24"), np.uint8)
        return self._registration(pixels, frame.depth_mm())

    def _close(self) -> None:
        self._packets = iter(())
        self._colors = []
        self._depth = self._color = self._registration = None
        if self._container is not None:
            self._container.close()
            self._container = None


def _is_readable(stream: Any) -> bool:
    """Whether it is a video track whose codec is known: others have no size."""
    return bool(stream.type == "video" and stream.codec_context is not None)
