"""A camera for tests of what records."""

from __future__ import annotations

import time

from engine.sensors.protocol import SensorBase, SensorDisconnected
from engine.types import DepthFrame
from tests.takes.make import CAMERA, make_frame


class FakeCamera(SensorBase):
    """A camera that is unplugged, or something else happens, after some frames."""

    def __init__(self, frames: int, then: BaseException | None = None) -> None:
        super().__init__("fake camera")
        self._frames, self._then, self._next = frames, then, 0

    @property
    def is_live(self) -> bool:
        return True

    def _open(self) -> None:
        self._intrinsics, self._fps = CAMERA, 100.0

    def _read(self, timeout_s: float) -> DepthFrame | None:
        if self._next == self._frames:
            raise self._then or SensorDisconnected("the camera was unplugged: plug it in again")
        self._next += 1
        time.sleep(0.005)
        return make_frame(self._next)

    def _close(self) -> None:
        return
