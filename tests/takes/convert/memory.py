"""A recording that lies in memory."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sensors.protocol import SensorBase
from engine.types import DepthFrame


class MemoryRecording(SensorBase):
    """Plays frames that are given to it."""

    def __init__(self, frames: Sequence[DepthFrame], fps: float = 0.0) -> None:
        super().__init__("memory")
        self._frames, self._next = frames, 0
        self._declared_fps = fps

    @property
    def is_live(self) -> bool:
        return False

    def _open(self) -> None:
        self._fps, self._frame_count, self._next = self._declared_fps, len(self._frames), 0
        self._intrinsics = self._frames[0].intrinsics if self._frames else None

    def _read(self, timeout_s: float) -> DepthFrame:
        if self._next == len(self._frames):
            raise self._end_of_stream()
        self._next += 1
        return self._frames[self._next - 1]

    def _seek(self, index: int) -> None:
        self._next = index

    def _close(self) -> None:
        return
