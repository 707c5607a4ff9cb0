"""What runs in an isolated sensor's own process, and what the two processes say to each other.

The parent's side is engine.sensors.isolated.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import (
    MAX_IMAGE_SIDE,
    BadRecording,
    EndOfStream,
    Sensor,
    SensorDisconnected,
    SensorError,
    SensorUnavailable,
)
from engine.sensors.shared_block import SharedBlock
from engine.types import Intrinsics, LumbricalError

#: One slot is filled while the other is read. Only the part that images take costs memory.
_SLOTS = 2
_SLOT_BYTES = MAX_IMAGE_SIDE * MAX_IMAGE_SIDE * 5
#: What the two processes share.
BLOCK_BYTES = _SLOTS * _SLOT_BYTES
#: A child whose driver hangs so hard that not even another thread runs ends itself after this; it looks so often.
_DEAD_S, _ALIVE_EVERY_S = 30.0, 5.0
_ERRORS: dict[str, type[LumbricalError]] = {
    kind.__name__: kind
    for kind in (SensorUnavailable, SensorDisconnected, EndOfStream, BadRecording, SensorError, LumbricalError)
}


@dataclass(frozen=True)
class Opened:
    """The sensor is open, and this is what it is."""

    name: str
    intrinsics: Intrinsics
    fps: float
    frame_count: int | None
    side: Any
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Sent:
    """A frame without its pixels, which lie in the slot: depth, then colour if there is any."""

    slot: int
    unit_mm: float
    intrinsics: Intrinsics
    number: int
    device_time_s: float
    host_time_s: float
    has_color: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """The sensor raised an error."""

    kind: str
    line: str

    def error(self) -> LumbricalError:
        """The same error again, to be raised where it was asked for."""
        return _ERRORS[self.kind](self.line)


def slot_views(block: SharedBlock, slot: int, intrinsics: Intrinsics) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """A slot's depth (H, W) and colour (H, W, 3); views, to be copied from or into at once."""
    height, width = intrinsics.height, intrinsics.width
    start, count = slot * _SLOT_BYTES, height * width
    depth = np.frombuffer(block.memory, np.uint16, count, start).reshape(height, width)
    color = np.frombuffer(block.memory, np.uint8, 3 * count, start + 2 * count).reshape(height, width, 3)
    return depth, color


def serve(make: Callable[[], Sensor], block: SharedBlock, pipe: Connection) -> None:
    """The child: does what it is asked to until it is told to close, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which tells us
    os.setpgid(0, 0)  # and so is what ends all that a terminal started
    _end_with_parent()
    alive = _Alive()
    served = _Served(make(), block)
    try:
        pipe.send(None)
        while True:
            if not pipe.poll(_ALIVE_EVERY_S):
                alive.renew()
                continue
            request = pipe.recv()
            if request[0] == "close":
                break
            alive.renew()
            pipe.send(served.answer(request))
    except (EOFError, OSError):
        # The parent let go of us.
        pass
    finally:
        served.sensor.close()


class _Served:
    """The sensor in the child."""

    def __init__(self, sensor: Sensor, block: SharedBlock) -> None:
        self.sensor = sensor
        self._block = block
        self._slot = 0

    def answer(self, request: tuple[Any, ...]) -> Any:
        """What the parent gets for a request; the sensor's errors as words."""
        try:
            if request[0] == "open":
                return self._open()
            if request[0] == "read":
                return self._read(request[1])
            self.sensor.seek(request[1])
            return None
        except LumbricalError as error:
            kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in _ERRORS), "LumbricalError")
            return self._failed(kind, str(error))
        except Exception as error:
            # Whatever a driver raises, its process is what ends of it, and the app goes on.
            kind = "SensorUnavailable" if request[0] == "open" else "SensorDisconnected"
            line = " ".join(f"{type(error).__name__}: {error}".split("\n")[0].split())
            return self._failed(kind, f"{self.sensor.name} fails ({line}): plug it in again")

    def _failed(self, kind: str, line: str) -> Failed:
        if kind == "SensorDisconnected":
            self.sensor.close()
        return Failed(kind, line)

    def _open(self) -> Opened:
        sensor = self.sensor
        sensor.open()
        return Opened(sensor.name, sensor.intrinsics, sensor.fps, sensor.frame_count, sensor.side, sensor.warnings)

    def _read(self, timeout_s: float) -> Sent | None:
        frame = self.sensor.read(timeout_s)
        if frame is None:
            return None
        if max(frame.depth.shape) > MAX_IMAGE_SIDE:
            raise SensorError(f"{self.sensor.name} sends images of {frame.depth.shape}: choose smaller ones")
        self._slot = (self._slot + 1) % _SLOTS
        depth, color = slot_views(self._block, self._slot, frame.intrinsics)
        depth[:] = frame.depth
        if frame.color is not None:
            color[:] = frame.color
        return Sent(
            self._slot,
            frame.depth_unit_mm,
            frame.intrinsics,
            frame.number,
            frame.device_time_s,
            frame.host_time_s,
            frame.color is not None,
            self.sensor.warnings,
        )


class _Alive:
    """Ends the process unless it is renewed: by a timer of the interpreter's own in C, which runs also while a driver
    holds the interpreter's lock for ever."""

    def __init__(self) -> None:
        self._nowhere = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process runs
        self._next_s = 0.0
        self.renew()

    def renew(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            faulthandler.dump_traceback_later(_DEAD_S, exit=True, file=self._nowhere)
            self._next_s = now_s + _ALIVE_EVERY_S


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(0)

    threading.Thread(target=watch, name="lumbrical-parent", daemon=True).start()
