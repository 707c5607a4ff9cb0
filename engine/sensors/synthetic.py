"""A camera that is not there: depth images from a function of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import pixel_rays
from engine.sensors.protocol import SensorBase, SensorError
from engine.types import DepthFrame, FloatArray, Intrinsics, Side

Render = Callable[[float], NDArray[Any]]
DEFAULT_INTRINSICS = Intrinsics(640, 480, 475.0, 475.0, 319.5, 239.5)


def moving_sphere(intrinsics: Intrinsics = DEFAULT_INTRINSICS, period_s: float = 3.0) -> Render:
    """An analytic scene: a sphere of radius 60 mm circling 450 mm away before a plane at 800 mm."""
    rays = pixel_rays(intrinsics).astype(np.float64)
    ray_length2 = 1 + np.sum(rays**2, axis=-1)

    def render(time_s: float) -> FloatArray:
        angle = 2 * np.pi * time_s / period_s
        center = np.array([80 * np.cos(angle), 60 * np.sin(angle), 450 + 50 * np.sin(2 * angle)])
        # |z ray - center| = radius, solved for the nearer z.
        half_b = rays @ center[:2] + center[2]
        root = half_b**2 - ray_length2 * (center @ center - 60.0**2)
        hit = root > 0
        return np.where(hit, (half_b - np.sqrt(np.where(hit, root, 0))) / ray_length2, 800.0)

    return render


class SyntheticSensor(SensorBase):
    """Frames from `render(time_s) -> (height, width) depth in mm`, 0 or NaN where nothing is measured.

    Not live, frame k is rendered at k / fps whenever it is asked for: the same frames every time. Live, frames are
    due every 1 / fps seconds of the monotonic clock, and those nobody reads in time are lost, as a camera's are.
    Without duration_s it never ends; with it, it ends after that many seconds of its own time.
    """

    def __init__(
        self,
        render: Render | None = None,
        intrinsics: Intrinsics = DEFAULT_INTRINSICS,
        fps: float = 30.0,
        duration_s: float | None = None,
        *,
        live: bool = False,
        depth_unit_mm: float = 1.0,
        side: Side | None = None,
        name: str = "synthetic camera",
    ) -> None:
        super().__init__(name)
        if not 0 < fps <= 1000 or not 0 < depth_unit_mm <= 100:
            raise SensorError(f"a synthetic camera needs 0 < fps <= 1000 and a depth unit, not {fps}, {depth_unit_mm}")
        if duration_s is not None and not duration_s * fps >= 1:
            raise SensorError(f"{duration_s} s at {fps} fps holds no frame: make it longer")
        self._render = render or moving_sphere(intrinsics)
        self._camera = intrinsics
        self._rate = fps
        self._total = None if duration_s is None else round(duration_s * fps)
        self._live = live
        self._unit_mm = depth_unit_mm
        self._declared_side = side
        self._next = 0
        self._start_s = 0.0

    @property
    def is_live(self) -> bool:
        return self._live

    def _open(self) -> None:
        self._intrinsics, self._fps, self._side = self._camera, self._rate, self._declared_side
        self._frame_count = None if self._live else self._total
        self._next = 0
        self._start_s = time.monotonic()

    def _read(self, timeout_s: float) -> DepthFrame | None:
        if self._total is not None and self._next >= self._total:
            raise self._end_of_stream()
        if self._live and not self._wait(timeout_s):
            return None
        number = self._next
        self._next += 1
        time_s = number / self._rate
        return DepthFrame(
            self._quantise(self._render(time_s)), self._unit_mm, self._camera, number, time_s, time.monotonic()
        )

    def _wait(self, timeout_s: float) -> bool:
        """Sleep until a frame is due; False when that is after the time-out. Skips frames that were missed."""
        now = time.monotonic()
        newest = int((now - self._start_s) * self._rate)
        if self._total is not None:
            newest = min(newest, self._total - 1)
        self._next = max(self._next, newest)
        delay = self._start_s + self._next / self._rate - now
        time.sleep(max(0.0, min(delay, timeout_s)))
        return delay <= timeout_s

    def _quantise(self, depth_mm: NDArray[Any]) -> NDArray[np.uint16]:
        if depth_mm.shape != (self._camera.height, self._camera.width):
            raise SensorError(
                f"{self.name} rendered {depth_mm.shape}, not {(self._camera.height, self._camera.width)}: give it the"
                " renderer's own intrinsics"
            )
        steps = np.rint(np.nan_to_num(depth_mm, nan=0.0, posinf=0.0, neginf=0.0) / self._unit_mm)
        return np.where((steps > 0) & (steps <= 65535), steps, 0).astype(np.uint16)

    def _seek(self, index: int) -> None:
        self._next = index

    def _close(self) -> None:
        self._next = 0
