"""Playing a file like a camera: paced, paused, stepped, looped — and still a Sensor."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from engine.sensors.protocol import DEFAULT_FPS, EndOfStream, Sensor, SensorError
from engine.types import DepthFrame, Intrinsics, Side

#: Gaps in a recording longer than this are not waited out.
_LONGEST_GAP_S = 1.0
#: A reader that falls this far behind is not sent a burst of frames to catch up.
_LARGEST_LAG_S = 0.25


class Playback:
    """A file sensor with the controls of a player.

    One thread reads; pause, resume, step, seek and the settings may be used from any other. Waiting happens inside
    read, at most for its time-out. Frames are spaced by their own times divided by speed, or come as fast as they are
    read when real_time is False. While paused, read returns None, except for the frame that was sought or stepped to.
    Looping, numbers and times go on rising from round to round; `position` is the place in the file.
    """

    def __init__(self, sensor: Sensor, *, real_time: bool = True, loop: bool = False, speed: float = 1.0) -> None:
        if sensor.is_live:
            raise SensorError(f"{sensor.name} is live: only files can be played back")
        self._sensor = sensor
        self._changed = threading.Condition()
        self._real_time = real_time
        self._loop = loop
        self._speed = 1.0
        self._reset()
        self.speed = speed

    def _reset(self) -> None:
        self._paused = False
        self._target: int | None = None
        self._show_one = False
        self._ended = False
        self._position = -1
        self._round = 0
        self._time_offset_s = 0.0
        self._held: DepthFrame | None = None
        self._last_time_s: float | None = None
        self._due_s = 0.0

    @property
    def name(self) -> str:
        return self._sensor.name

    @property
    def intrinsics(self) -> Intrinsics:
        return self._sensor.intrinsics

    @property
    def is_live(self) -> bool:
        return False

    @property
    def fps(self) -> float:
        return self._sensor.fps or DEFAULT_FPS

    @property
    def frame_count(self) -> int | None:
        return self._sensor.frame_count

    @property
    def side(self) -> Side | None:
        return self._sensor.side

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._sensor.warnings

    @property
    def sensor(self) -> Sensor:
        """The file sensor that is played."""
        return self._sensor

    @property
    def position(self) -> int:
        """The place in the file of the last frame that was read; -1 before the first."""
        return self._position

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def ended(self) -> bool:
        """True once EndOfStream was raised, until the next seek."""
        return self._ended

    @property
    def speed(self) -> float:
        """How many times faster than recorded; 0.01 to 100."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        if not 0.01 <= value <= 100:
            raise SensorError(f"the speed must be from 0.01 to 100, not {value}")
        with self._changed:
            # What is left of the present wait shrinks or grows with the speed.
            now = time.monotonic()
            self._due_s = now + max(0.0, self._due_s - now) * self._speed / value
            self._speed = value
            self._changed.notify_all()

    @property
    def real_time(self) -> bool:
        return self._real_time

    @real_time.setter
    def real_time(self, value: bool) -> None:
        with self._changed:
            self._real_time = value
            self._changed.notify_all()

    @property
    def loop(self) -> bool:
        return self._loop

    @loop.setter
    def loop(self, value: bool) -> None:
        with self._changed:
            self._loop = value
            self._changed.notify_all()

    def pause(self) -> None:
        with self._changed:
            self._paused = True
            self._changed.notify_all()

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._due_s = time.monotonic()
            self._changed.notify_all()

    def step(self, frames: int = 1) -> None:
        """Pause and show the frame that many places on (or back); stops at the ends of the file."""
        with self._changed:
            self._paused = True
            start = self._target if self._target is not None else self._position
            self._set_target(start + frames)

    def seek(self, index: int) -> None:
        """Show frame `index` next, even while paused. Raises SensorError when there is no such frame."""
        count = self.frame_count
        if count is None or not 0 <= index < count:
            raise SensorError(f"{self.name} has {count} frames: there is no frame {index}")
        with self._changed:
            self._set_target(index)

    def _set_target(self, index: int) -> None:
        self._target = max(0, min(index, (self.frame_count or 1) - 1))
        self._ended = False
        self._changed.notify_all()

    def open(self) -> None:
        self._sensor.open()
        with self._changed:
            self._reset()

    def close(self) -> None:
        self._sensor.close()
        with self._changed:
            self._reset()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        """The next frame once it is due, or None when that is later than timeout_s or playback is paused.

        Raises what the file sensor raises; EndOfStream only when it does not loop, again and again until a seek.
        """
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        while True:
            with self._changed:
                waiting = self._paused and not self._show_one and self._target is None
                if waiting:
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0:
                        return None
                    self._changed.wait(left_s)
                    continue
            self._apply_target()
            if self._held is None and not self._fetch(max(0.0, deadline_s - time.monotonic())):
                return None
            with self._changed:
                if self._target is not None:
                    continue
                wait_s = self._wait_left_s()
                left_s = deadline_s - time.monotonic()
                if wait_s <= 0:
                    return self._release()
                if left_s <= 0:
                    return None
                self._changed.wait(min(wait_s, left_s))

    def _apply_target(self) -> None:
        with self._changed:
            target, self._target = self._target, None
            if target is None:
                return
            self._held = None
            self._last_time_s = None
            self._show_one = True
        self._sensor.seek(target)

    def _fetch(self, timeout_s: float) -> bool:
        """Read one frame ahead and work out when it is due."""
        try:
            frame = self._sensor.read(timeout_s)
        except EndOfStream:
            if not self._loop or not self.frame_count:
                self._ended = True
                raise
            self._sensor.seek(0)
            frame = self._sensor.read(timeout_s)
            if frame is not None:
                self._start_round(frame)
        if frame is None:
            return False
        gap_s = 1 / self.fps
        if self._last_time_s is not None:
            gap_s = min(max(frame.device_time_s - self._last_time_s, 0.0), _LONGEST_GAP_S)
        self._last_time_s = frame.device_time_s
        with self._changed:
            now_s = time.monotonic()
            due_s = self._due_s + gap_s / self._speed
            self._due_s = due_s if self._position >= 0 and due_s > now_s - _LARGEST_LAG_S else now_s
            self._held = frame
        return True

    def _start_round(self, first: DepthFrame) -> None:
        end_s = first.device_time_s if self._last_time_s is None else self._last_time_s + 1 / self.fps
        self._round += 1
        self._time_offset_s += end_s - first.device_time_s
        self._last_time_s = None

    def _wait_left_s(self) -> float:
        if self._show_one or not self._real_time:
            return 0.0
        return self._due_s - time.monotonic()

    def _release(self) -> DepthFrame:
        frame = self._held
        assert frame is not None
        now_s = time.monotonic()
        if self._show_one or not self._real_time:
            self._due_s = now_s
        self._held = None
        self._show_one = False
        self._position = frame.number
        count = self.frame_count or 0
        return replace(
            frame,
            number=frame.number + self._round * count,
            device_time_s=frame.device_time_s + self._time_offset_s,
            host_time_s=now_s,
        )
