"""What the runtime asks of its parts, so that tests and benches can put their own in place."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.types import DepthFrame, Side, TrackingResult

if TYPE_CHECKING:
    from engine.fitting.state import KnownShape
    from engine.hand.hand import HandModel

T_contra = TypeVar("T_contra", contravariant=True)


class Listener(Protocol[T_contra]):
    """Where a worker sends everything it makes; put() must not wait. drop_queue.DropQueue is one."""

    def put(self, value: T_contra) -> bool: ...

    def close(self) -> None: ...


class FrameSource(Protocol):
    """The part of engine.sensors.protocol.Sensor that the capture thread uses; see there."""

    @property
    def name(self) -> str: ...

    @property
    def is_live(self) -> bool: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def frame_count(self) -> int | None: ...

    @property
    def fps(self) -> float: ...

    def open(self) -> None: ...

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None: ...

    def close(self) -> None: ...


@runtime_checkable
class Abortable(Protocol):
    """A source whose waits another thread can end, so that it need not wait for a driver; it is to be closed then."""

    def abort(self) -> None: ...


class FrameTracker(Protocol):
    """engine.tracker.Tracker as the tracking thread uses it."""

    side: Side | None

    @property
    def faces(self) -> NDArray[np.int32]: ...

    def track(self, frame: DepthFrame) -> TrackingResult: ...

    def reset(self) -> None: ...

    def set_smoothing(self, amount: float) -> None: ...

    def hold(self, model: HandModel | None, shape: KnownShape | None = None) -> None: ...


@dataclass(frozen=True)
class CapturedFrame:
    """A frame and its epoch; a new epoch begins with each source, seek or loop, and tracks do not go on across it.

    handed_on_s: when the capture thread was done with it, time.monotonic().
    """

    frame: DepthFrame
    epoch: int
    handed_on_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class LiveResult:
    """A tracking result on its way to listeners, with when it was done (time.monotonic()) and how long it took."""

    result: TrackingResult
    epoch: int
    finished_s: float
    latency_s: float
