"""A source that plays frames out of memory at a fixed rate, for benches: no disk and no decoder in the path."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from app.runtime.interfaces import FrameSource
from engine.sensors.realsense import QUEUE_FRAMES
from engine.types import DepthFrame, LumbricalError

_READ_WAIT_S = 1.0


class PreloadedSource:
    """Repeats frames at fps, forwards and backwards in turn so that the hand never jumps.

    Behaves as a RealSense does that is read by engine.sensors.realsense: frames come at their time whether anybody
    reads or not, the last few wait for a late reader, of older ones the numbers show the gap; each read copies the
    pixels once. But host_time_s is when a frame came, not when it was read: being late is part of all latencies.
    """

    name = "frames in memory"
    is_live = True
    warnings: tuple[str, ...] = ()
    frame_count: int | None = None

    def __init__(self, frames: Sequence[DepthFrame], fps: float) -> None:
        if not frames:
            raise LumbricalError("there are no frames to play; give a recording that has some")
        self.fps = fps
        backwards = tuple(frames[-2:0:-1])
        self._frames = (*frames, *backwards)
        self._start_s = 0.0
        self._next = 0

    def open(self) -> None:
        """Start the clock."""
        self._start_s = time.monotonic()
        self._next = 0

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        """The oldest frame that waits, else the next one, waiting for it up to timeout_s."""
        now = time.monotonic()
        newest = math.floor((now - self._start_s) * self.fps)
        number = max(self._next, newest - QUEUE_FRAMES + 1)
        arrival = self._start_s + number / self.fps
        wait = arrival - now
        if wait > timeout_s:
            time.sleep(timeout_s)
            return None
        if wait > 0:
            time.sleep(wait)
        self._next = number + 1
        frame = self._frames[number % len(self._frames)]
        return replace(
            frame, depth=frame.depth.copy(), number=number, device_time_s=number / self.fps, host_time_s=arrival
        )

    def close(self) -> None:
        """Nothing is held."""


def load_frames(source: FrameSource, limit: int) -> list[DepthFrame]:
    """Up to limit frames of a recording, decoded into memory; the source is opened and closed.

    Errors: LumbricalError when the source cannot be read or has no frames.
    """
    source.open()
    try:
        frames: list[DepthFrame] = []
        wanted = min(limit, source.frame_count or limit)
        while len(frames) < wanted:
            frame = source.read(_READ_WAIT_S)
            if frame is None:
                break
            frames.append(frame)
    finally:
        source.close()
    if not frames:
        raise LumbricalError("the source gave no frames within a second; check it with `python main.py doctor`")
    return frames
