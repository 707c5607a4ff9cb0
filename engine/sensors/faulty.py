"""A camera that misbehaves on purpose: any sensor as a live camera, with faults by a timetable and on demand.

`faulty:FAULTS:SOURCE` names one, for example `faulty:unplug,stall:demo`; docs/faults.md lists the faults.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.sensors.faults import Fault, FaultControl, parse_timetable
from engine.sensors.playback import Playback
from engine.sensors.protocol import Sensor, SensorBase, SensorDisconnected, SensorError, SensorUnavailable
from engine.types import DepthFrame, Intrinsics

KIND = "faulty"
_CLOCK_JUMP_S = 100.0
_DROP_SHARE = 0.05
_BEHIND_S = 0.3
_USB2_KEEPS_ONE_OF = 3
#: A fault that begins while a frame is waited for is seen this soon.
_LOOK_S = 0.05
USB2_WARNING = "the camera is on a USB 2 link, which is slow: use a USB 3 port and its own cable"

#: The camera behind a name outlives the sensors that read it: one that is opened again is still unplugged.
_controls: dict[str, FaultControl] = {}


def split_spec(spec: str) -> tuple[str, str]:
    """The faults and the source of `faulty:FAULTS:SOURCE`. Raises SensorError with one line."""
    kind, _, rest = spec.partition(":")
    faults, _, source = rest.partition(":")
    if kind != KIND or not source:
        raise SensorError(
            f"{spec:.80}: a camera that misbehaves is {KIND}:FAULTS:SOURCE, for example {KIND}:unplug,stall:demo"
        )
    if is_faulty(source):
        raise SensorError(f"{spec:.80}: give all faults of a camera at once, as in {KIND}:unplug,stall:demo")
    return faults, source


def is_faulty(spec: str) -> bool:
    """Whether a spec names a camera that misbehaves on purpose."""
    return spec.partition(":")[0] == KIND


def control_of(spec: str) -> FaultControl:
    """What decides over the faults of the camera of that name, in this process. Raises SensorError as split_spec."""
    if spec not in _controls:
        _controls[spec] = FaultControl(parse_timetable(split_spec(spec)[0]))
    return _controls[spec]


def adopt_control(spec: str, control: FaultControl) -> None:
    """Let another process's control decide over the camera of that name here too."""
    _controls[spec] = control


def open_faulty(spec: str, open_source: Callable[[str], Sensor]) -> FaultySensor:
    """The camera that `faulty:FAULTS:SOURCE` names, not yet opened. open_source makes the sensor within."""
    control = control_of(spec)
    return FaultySensor(open_source(split_spec(spec)[1]), control)


class FaultySensor(SensorBase):
    """A sensor as a live camera that does wrong what its control says; a recording comes looped and at its own pace.

    Frames are numbered by it, from 0 at each opening. A read that hangs ends only when another thread closes it.
    """

    def __init__(self, sensor: Sensor, control: FaultControl | None = None, seed: int = 0) -> None:
        super().__init__(f"faulty {sensor.name}")
        self.control = control or FaultControl()
        self._is_file = not sensor.is_live
        self._sensor = Playback(sensor, loop=True) if self._is_file else sensor
        self._seed = seed
        self._let_go = threading.Event()
        self._reset()

    def _reset(self) -> None:
        self._dice = np.random.default_rng(self._seed)
        self._ready: deque[DepthFrame] = deque()
        self._held: DepthFrame | None = None
        self._came = 0
        self._opened_s = time.monotonic()
        self._clock_s = 0.0
        self._number = itertools.count()

    @property
    def is_live(self) -> bool:
        return True

    @property
    def warnings(self) -> tuple[str, ...]:
        slow = (USB2_WARNING,) if self.control.is_on(Fault.USB2) else ()
        return slow + self._sensor.warnings

    def _open(self) -> None:
        self._let_go.clear()
        self.control.begin()
        if self.control.is_on(Fault.HANG_OPEN):
            self._hang()
        if self.control.is_on(Fault.UNPLUG):
            raise SensorUnavailable(self._unplugged())
        self._sensor.open()
        self._reset()
        self._intrinsics, self._fps, self._side = self._sensor.intrinsics, self._sensor.fps, self._sensor.side

    def _read(self, timeout_s: float) -> DepthFrame | None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._fail()
            left_s = deadline_s - time.monotonic()
            if self.control.is_on(Fault.STALL):
                self._ready.clear()
                time.sleep(max(0.0, min(_LOOK_S, left_s)))
            elif self._ready:
                return self._sent(self._ready.popleft())
            elif (frame := self._sensor.read(max(0.0, min(_LOOK_S, left_s)))) is not None:
                self._ready.extend(self._disturbed(frame))
                continue
            if left_s <= 0:
                return None

    def _fail(self) -> None:
        if self.control.is_on(Fault.UNPLUG):
            raise SensorDisconnected(self._unplugged())
        if self.control.is_on(Fault.HANG_OPEN):
            raise SensorDisconnected(f"{self.name} is lost: open it again")
        if self.control.is_on(Fault.HANG):
            self._hang()

    def _unplugged(self) -> str:
        return f"{self.name} was unplugged: plug it in again (it is a test, and comes back by itself)"

    def _hang(self) -> None:
        self._let_go.wait()
        raise SensorDisconnected(f"{self.name} was closed while its driver hung")

    def _disturbed(self, frame: DepthFrame) -> list[DepthFrame]:
        """What the camera sends of a frame, in the order in which it sends it, numbered."""
        self._came += 1
        on = self.control.active()
        if Fault.USB2 in on and self._came % _USB2_KEEPS_ONE_OF:
            return []
        frame = replace(frame, number=next(self._number), device_time_s=self._device_time_s(frame))
        if Fault.DROP in on and self._dice.random() < _DROP_SHARE:
            return []
        frame = _bent(frame, on)
        self._intrinsics = frame.intrinsics
        frames = [frame]
        if Fault.DUPLICATE in on:
            frames.append(replace(frame, depth=frame.depth.copy()))
        if Fault.REORDER in on and self._held is None:
            self._held = frame
            return []
        if self._held is not None:
            frames.append(self._held)
            self._held = None
        return frames

    def _device_time_s(self, frame: DepthFrame) -> float:
        """A camera's clock goes on also while nobody reads, where a recording's stands still."""
        behind_s = time.monotonic() - self._opened_s - (frame.device_time_s + self._clock_s)
        if self._is_file and abs(behind_s) > _BEHIND_S:
            self._clock_s += behind_s
        return frame.device_time_s + self._clock_s

    def _sent(self, frame: DepthFrame) -> DepthFrame:
        return replace(frame, host_time_s=time.monotonic())

    def close(self) -> None:
        self._let_go.set()
        super().close()

    def _close(self) -> None:
        self._sensor.close()
        self._ready.clear()
        self._held = None


def _bent(frame: DepthFrame, on: tuple[Fault, ...]) -> DepthFrame:
    """The frame with the faults that change its times and pixels."""
    jump_s = _CLOCK_JUMP_S * ((Fault.CLOCK_AHEAD in on) - (Fault.CLOCK_BACK in on))
    frame = replace(frame, device_time_s=frame.device_time_s + jump_s)
    if Fault.RESIZE in on:
        frame = _at_half_size(frame)
    if Fault.ZERO in on:
        return replace(frame, depth=np.zeros_like(frame.depth))
    if Fault.HALF in on:
        half = frame.depth.copy()
        half[len(half) // 2 :] = 0
        return replace(frame, depth=half)
    return frame


def _at_half_size(frame: DepthFrame) -> DepthFrame:
    depth = np.ascontiguousarray(frame.depth[::2, ::2])
    color = None if frame.color is None else np.ascontiguousarray(frame.color[::2, ::2])
    was = frame.intrinsics
    # Every second pixel, from the first: with centres at whole numbers, everything is halved.
    camera = Intrinsics(depth.shape[1], depth.shape[0], was.fx / 2, was.fy / 2, was.cx / 2, was.cy / 2)
    return replace(frame, depth=depth, color=color, intrinsics=camera)
