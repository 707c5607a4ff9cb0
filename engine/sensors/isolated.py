"""A sensor in a process of its own, so that a driver that hangs or crashes takes its process with it, not the app.

The process opens, reads and closes when it is asked to; pixels come back through shared memory, everything else through
a pipe. Nothing has a name that could be left behind, and the process ends with this one, however this one ends.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from engine.sensors.isolated_child import BLOCK_BYTES, Failed, Opened, Sent, serve, slot_views
from engine.sensors.protocol import Sensor, SensorBase, SensorDisconnected, SensorUnavailable
from engine.sensors.shared_block import SharedBlock
from engine.types import DepthFrame

#: Whether this system has the memory that it needs.
CAN_ISOLATE = sys.platform != "win32"
#: A process that does not answer for so long after the time that a read was given is taken to hang.
HANG_S = 1.0
#: Starting the process may take so long, where much else is going on.
START_S = 20.0
#: Loading a camera's library and opening it.
OPEN_S = 6.0
#: And closing it.
CLOSE_S = 0.8
#: An answer comes a little after a read's time is over.
_ANSWER_S = 0.05
#: One that is so late is not asked to close any more.
_OVERDUE_S = 0.3
_LOOK_S = 0.05
#: What becomes of a driver that was ended: words that hold where it is tried again, and where it is not.
_AFRESH = "starts afresh when it is opened next"


class IsolatedSensor(SensorBase):
    """Any sensor, in a child process. make: a picklable function that makes it, not yet opened; it is called here too,
    to know what it is before it is opened.

    A driver that does not return is killed, and read raises SensorDisconnected: opening it again starts another
    process. After an open that found no camera, the process stays until close(), so that trying again is cheap.
    abort() ends every wait, from any thread.
    """

    def __init__(self, make: Callable[[], Sensor], *, hang_s: float = HANG_S, open_s: float = OPEN_S) -> None:
        plain = make()
        super().__init__(plain.name)
        self._live = plain.is_live
        self._make = make
        self._hang_s, self._open_s = hang_s, open_s
        self._aborted = threading.Event()
        self._child: _Child | None = None
        self._asked: tuple[float, float] | None = None
        self._told: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        return self._live

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._told

    @property
    def process_id(self) -> int | None:
        """The child's, while there is one."""
        return self._child.process.pid if self._child is not None else None

    def abort(self) -> None:
        """End every wait for the child at once, from another thread; the sensor is then to be closed."""
        self._aborted.set()

    def open(self) -> None:
        if self._is_open:
            return
        if self._child is None:
            self._child = _Child(self._make)
            answered, _ = self._receive(time.monotonic() + START_S)
            if not answered:
                self._give_up(f"{self.name}: the process that reads it does not start: close other programs")
        opened = self._answer(("open",), self._open_s, "opening it")
        assert isinstance(opened, Opened)
        self._name, self._intrinsics, self._fps = opened.name, opened.intrinsics, opened.fps
        self._frame_count, self._side, self._told = opened.frame_count, opened.side, opened.warnings
        self._asked = None
        self._is_open = True

    def _open(self) -> None:
        """open() does it all: a failure must not end the process here."""

    def _read(self, timeout_s: float) -> DepthFrame | None:
        now_s = time.monotonic()
        if self._asked is None:
            self._ask(("read", timeout_s))
            self._asked = (now_s, timeout_s)
        answered, answer = self._receive(now_s + timeout_s + _ANSWER_S)
        if not answered:
            asked_s, given_s = self._asked
            if time.monotonic() > asked_s + given_s + self._hang_s:
                self._give_up(f"{self.name} does not answer: its driver was ended, and {_AFRESH}")
            return None
        self._asked = None
        if isinstance(answer, Failed):
            raise answer.error()
        return self._taken(answer) if isinstance(answer, Sent) else None

    def _taken(self, sent: Sent) -> DepthFrame:
        assert self._child is not None
        self._told, self._intrinsics = sent.warnings, sent.intrinsics
        depth, color = slot_views(self._child.block, sent.slot, sent.intrinsics)
        return DepthFrame(
            depth.copy(),
            sent.unit_mm,
            sent.intrinsics,
            sent.number,
            sent.device_time_s,
            sent.host_time_s,
            color.copy() if sent.has_color else None,
        )

    def _seek(self, index: int) -> None:
        while self._asked is not None:  # what was asked for before is of another place
            self._read(0.0)
        self._answer(("seek", index), self._open_s, "seeking")

    def _answer(self, request: tuple[Any, ...], within_s: float, doing: str) -> Any:
        """Ask and wait; a child that does not answer is killed. Raises what the sensor in it raised."""
        self._ask(request)
        answered, answer = self._receive(time.monotonic() + within_s)
        if not answered:
            self._give_up(f"{self.name} does not answer while {doing}: its driver was ended, and {_AFRESH}")
        if isinstance(answer, Failed):
            raise answer.error()
        return answer

    def _ask(self, request: tuple[Any, ...]) -> None:
        assert self._child is not None
        try:
            self._child.pipe.send(request)
        except OSError as error:
            self._lost(error)

    def _receive(self, until_s: float) -> tuple[bool, Any]:
        """Whether the child answered in time and was not given up, and what."""
        assert self._child is not None
        pipe = self._child.pipe
        while not self._aborted.is_set():
            left_s = until_s - time.monotonic()
            if pipe.poll(max(0.0, min(_LOOK_S, left_s))):
                try:
                    return True, pipe.recv()
                except (EOFError, OSError) as error:
                    self._lost(error)
            if left_s <= 0:
                break
        return False, None

    def _lost(self, error: Exception) -> None:
        assert self._child is not None
        self._child.process.join(_LOOK_S)
        code = self._child.process.exitcode
        self._give_up(
            f"{self.name}: its driver ended by itself (exit code {code}), and {_AFRESH}",
            error,
        )

    def _give_up(self, line: str, cause: Exception | None = None) -> None:
        self._end_child(0.0)
        was_open, self._is_open = self._is_open, False
        raise (SensorDisconnected if was_open else SensorUnavailable)(line) from cause

    def close(self) -> None:
        # Also a sensor that could not be opened has a child.
        self._is_open = False
        self._close()
        self._aborted.clear()

    def _close(self) -> None:
        overdue = self._asked is not None and time.monotonic() > sum(self._asked) + _OVERDUE_S
        self._end_child(0.0 if overdue else CLOSE_S)
        self._told = ()

    def _end_child(self, grace_s: float) -> None:
        child, self._child, self._asked = self._child, None, None
        if child is not None:
            child.end(grace_s)


class _Child:
    """The process, its pipe and the memory that it shares."""

    def __init__(self, make: Callable[[], Sensor]) -> None:
        context = multiprocessing.get_context("spawn")
        self.block = SharedBlock(BLOCK_BYTES)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(make, self.block, theirs), name="lumbrical-sensor")
        self.process.daemon = True
        self.process.start()
        theirs.close()
        # Also when nobody closes the sensor.
        self._ended = weakref.finalize(self, _end, self.process, self.pipe, 0.0)

    def end(self, grace_s: float) -> None:
        """Ask it to close the sensor and end; kill it when it takes longer."""
        if self._ended.detach() is not None:
            _end(self.process, self.pipe, grace_s)
        self.block.close()


def _end(process: SpawnProcess, pipe: Connection, grace_s: float) -> None:
    if grace_s > 0:
        try:
            pipe.send(("close",))
        except OSError:
            # It is gone already.
            grace_s = 0.0
        process.join(grace_s)
    if process.is_alive():
        process.kill()
        process.join(CLOSE_S)
    pipe.close()
    if not process.is_alive():  # else the system itself does not get it to end: it stays a zombie of ours
        process.close()
