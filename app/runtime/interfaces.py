"""What the runtime asks of its parts, so that tests and benches can put their own in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.types import DepthFrame, Side, TrackingResult


class FrameSource(Protocol):
    """A sensor: see engine.sensors. read() waits no longer than timeout_s and returns None when nothing came."""

    @property
    def is_live(self) -> bool: ...

    @property
    def fps(self) -> float: ...

    @property
    def frame_count(self) -> int | None: ...

    def open(self) -> None: ...

    def read(self, timeout_s: float) -> DepthFrame | None: ...

    def close(self) -> None: ...


@runtime_checkable
class PlayableSource(Protocol):
    """A recording under a playback's control."""

    paused: bool
    speed: float
    loop: bool

    @property
    def position(self) -> int: ...

    def play(self) -> None: ...

    def pause(self) -> None: ...

    def step(self, frames: int = 1) -> None: ...

    def seek(self, index: int) -> None: ...


class FrameTracker(Protocol):
    """engine.tracker.Tracker as the tracking thread uses it."""

    side: Side | None

    def track(self, frame: DepthFrame) -> TrackingResult: ...

    def reset(self) -> None: ...

    def set_smoothing(self, amount: float) -> None: ...


@dataclass(frozen=True)
class CapturedFrame:
    """A frame and the epoch it belongs to; a new epoch begins with each source, seek or loop: tracks do not cross it."""

    frame: DepthFrame
    epoch: int


@dataclass(frozen=True)
class LiveResult:
    """A tracking result on its way to listeners, with when it was done (time.monotonic()) and how long it took."""

    result: TrackingResult
    epoch: int
    finished_s: float
    latency_s: float
