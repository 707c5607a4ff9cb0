"""What every source of depth frames looks like: open, read, close.

Sensors have no threads of their own. One thread reads; the controls of `playback.Playback` may be used from another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from engine.types import DepthFrame, Intrinsics, LumbricalError, Side

#: A source that does not say how fast it was recorded is taken to be this fast.
DEFAULT_FPS = 10.0
#: Frames a second that cameras are asked for unless another rate is wanted, and the least and the most of these.
CAMERA_FPS, CAMERA_FPS_RANGE = 60, (5, 300)
#: No depth camera has more pixels on a side; larger images are refused before they are decoded.
MAX_IMAGE_SIDE = 4096


class SensorError(LumbricalError):
    """A source of frames does not work; the message says why and what to do."""


class SensorUnavailable(SensorError):
    """The sensor cannot be opened: its SDK is missing, none is attached, or another program holds it."""


class SensorDisconnected(SensorError):
    """The camera vanished while it was open. Close the sensor; opening it again works once it is back."""


class EndOfStream(SensorError):
    """A file has no more frames. Seek to go on reading."""


class BadRecording(SensorError):
    """A file or folder is not a recording that can be read."""


@runtime_checkable
class Sensor(Protocol):
    """A source of depth frames, live or from a file.

    Opening an open sensor and closing a closed one do nothing; a closed sensor can be opened again, and a file then
    starts at its first frame. Frames own their pixels.
    """

    @property
    def name(self) -> str:
        """A short name for people."""

    @property
    def intrinsics(self) -> Intrinsics:
        """The depth camera. Raises SensorError before the sensor was opened."""

    @property
    def is_live(self) -> bool:
        """True when frames arrive at their own pace and are lost when nobody reads them."""

    @property
    def fps(self) -> float:
        """Nominal frames a second; 0 when the source does not say."""

    @property
    def frame_count(self) -> int | None:
        """Frames in a file (after open); None for a source without an end."""

    @property
    def side(self) -> Side | None:
        """The hand the source declares to show, if it does."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know though the sensor works, one line each."""

    def open(self) -> None:
        """Start delivering. Raises SensorUnavailable or BadRecording."""

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        """The next frame, or None when none came within timeout_s seconds.

        A file's frames are numbered by their place in the file, from 0; a camera's as the camera numbers them.
        Raises EndOfStream, SensorDisconnected, BadRecording, or SensorError when the sensor is not open.
        """

    def seek(self, index: int) -> None:
        """Make frame `index` of a file the next one read. Raises SensorError when live or out of range."""

    def close(self) -> None:
        """Stop and release everything. Never raises."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SensorBase(ABC):
    """The bookkeeping that all sensors share; a sensor fills in _open, _read, _close and, for files, _seek."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_open = False
        self._intrinsics: Intrinsics | None = None
        self._fps = 0.0
        self._frame_count: int | None = None
        self._side: Side | None = None
        self._warnings: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def intrinsics(self) -> Intrinsics:
        if self._intrinsics is None:
            raise SensorError(f"{self._name} has not been opened: open it before asking for its intrinsics")
        return self._intrinsics

    @property
    @abstractmethod
    def is_live(self) -> bool: ...

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def frame_count(self) -> int | None:
        return self._frame_count

    @property
    def side(self) -> Side | None:
        return self._side

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def open(self) -> None:
        if self._is_open:
            return
        self._warnings = []
        try:
            self._open()
        except BaseException:
            # Whatever was half opened must not keep a camera or a file busy.
            self._close()
            raise
        self._is_open = True

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        self._require_open()
        return self._read(max(0.0, timeout_s))

    def seek(self, index: int) -> None:
        self._require_open()
        if self._frame_count is None:
            raise SensorError(f"{self._name} is live: there is nothing to seek in")
        if not 0 <= index < self._frame_count:
            raise SensorError(f"{self._name} has frames 0 to {self._frame_count - 1}: there is no frame {index}")
        self._seek(index)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise SensorError(f"{self._name} is not open: open it before reading")

    def _end_of_stream(self) -> EndOfStream:
        return EndOfStream(f"{self._name} is over: all {self._frame_count} frames were read")

    @abstractmethod
    def _open(self) -> None:
        """Set _intrinsics, _fps, _frame_count, _side and _warnings; raise SensorUnavailable or BadRecording."""

    @abstractmethod
    def _read(self, timeout_s: float) -> DepthFrame | None: ...

    @abstractmethod
    def _close(self) -> None:
        """Release everything; also called after a failed _open, so it must cope with half an opening."""

    def _seek(self, index: int) -> None:
        raise SensorError(f"{self._name} cannot seek")
