"""A RealSense made of the SDK's own software device, and the few failures that it cannot act out."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rs = pytest.importorskip("pyrealsense2")
WIDTH, HEIGHT = 64, 48


def pattern(k: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame k's depth: every pixel of every frame is different from its neighbours'."""
    v, u = np.mgrid[:height, :width]
    return (500 + 7 * k + u + 3 * v).astype(np.uint16)


class SoftwareCamera:
    """Feeds frames into the real SDK as a camera would."""

    def __init__(
        self,
        *,
        usb: str = "3.2",
        fps: tuple[int, ...] = (30,),
        size: tuple[int, int] = (WIDTH, HEIGHT),
        coeffs: tuple[float, ...] = (0.0,) * 5,
        model: Any = None,
        color: bool = False,
        serial: str = "SW001",
    ) -> None:
        self.size = size
        self.device = rs.software_device()
        for field, value in (("serial_number", serial), ("name", "Software D435"), ("usb_type_descriptor", usb),
                             ("product_line", "D400")):  # fmt: skip
            self.device.register_info(getattr(rs.camera_info, field), value)
        self.sensor = self.device.add_sensor("Stereo Module")
        self.sensor.add_read_only_option(rs.option.depth_units, 0.001)
        self.intrinsics = rs.intrinsics()
        self.intrinsics.width, self.intrinsics.height = size
        self.intrinsics.fx = self.intrinsics.fy = 0.75 * size[0]
        self.intrinsics.ppx, self.intrinsics.ppy = size[0] / 2, size[1] / 2
        self.intrinsics.model = model or rs.distortion.brown_conrady
        self.intrinsics.coeffs = list(coeffs)
        self.profiles = [
            self.sensor.add_video_stream(self._stream(rs.stream.depth, rs.format.z16, 2, rate, i), i == 0)
            for i, rate in enumerate(fps)
        ]
        self.color_profile = None
        if color:
            self.color_sensor = self.device.add_sensor("RGB Camera")
            self.color_profile = self.color_sensor.add_video_stream(
                self._stream(rs.stream.color, rs.format.rgb8, 3, fps[0], 50), True
            )
            same_place = rs.extrinsics()
            same_place.rotation, same_place.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
            self.profiles[0].register_extrinsics_to(self.color_profile, same_place)

    def _stream(self, kind: Any, fmt: Any, bpp: int, fps: int, uid: int) -> Any:
        stream = rs.video_stream()
        stream.type, stream.fmt, stream.bpp, stream.fps, stream.uid, stream.index = kind, fmt, bpp, fps, uid, 0
        stream.width, stream.height = self.size
        stream.intrinsics = self.intrinsics
        return stream

    def _push(self, sensor: Any, profile: Any, pixels: np.ndarray, k: int, bpp: int) -> None:
        frame = rs.software_video_frame()
        frame.pixels, frame.bpp, frame.stride = pixels, bpp, self.size[0] * bpp
        frame.timestamp, frame.domain, frame.frame_number = 1000 + k * 100 / 3, rs.timestamp_domain.hardware_clock, k
        frame.profile = profile.as_video_stream_profile()
        if bpp == 2:
            frame.depth_units = 0.001
        sensor.on_video_frame(frame)

    def push(self, k: int, profile: int = 0) -> None:
        self.push_depth(k, profile)
        self.push_color(k)

    def push_depth(self, k: int, profile: int = 0) -> None:
        self._push(self.sensor, self.profiles[profile], pattern(k, *self.size), k, 2)

    def push_color(self, k: int) -> None:
        if self.color_profile is not None:
            pixels = np.zeros((self.size[1], self.size[0], 3), np.uint8) + np.array([200, 100, k % 256], np.uint8)
            self._push(self.color_sensor, self.color_profile, pixels, k, 3)

    def context(self) -> Any:
        return Context([self.device])


class Context:
    """Stands in for pyrealsense2.context: software devices do not show up in the real one."""

    def __init__(self, devices: list[Any]) -> None:
        self.devices = devices

    def query_devices(self) -> list[Any]:
        return self.devices


class Wrapped:
    """A real SDK object of which some methods are replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self._inner = inner
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def record(
    path: Path, frames: int, *, color: bool = False, first: int = 100, color_lag: int = 0, **options: Any
) -> Path:
    """A .db3 recording made by the SDK's own recorder; frame i holds pattern(first + i).

    color_lag: so many frames later than its depth each colour picture arrives, as on a busy computer.
    """
    camera = SoftwareCamera(color=color, **options)
    recorder = rs.recorder(str(path), camera.device)
    queue = rs.frame_queue(4)
    sensors = list(recorder.query_sensors())
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(queue)
    for k in range(first, first + frames + color_lag):
        if k < first + frames:
            camera.push_depth(k)
        if k - color_lag >= first:
            camera.push_color(k - color_lag)
        # Frames are filed by the clock at which they arrive.
        time.sleep(0.002)
    # The recorder writes from a thread of its own and says nowhere when it is done.
    time.sleep(0.1)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    del recorder, sensors, sensor
    gc.collect()
    return path
