"""An Azure Kinect without one: a recording made with PyAV, and a stand-in for the C library."""

from __future__ import annotations

import ctypes
import json
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT = 640, 576


def calibration(k1: float = 0.0) -> bytes:
    """A calibration whose depth lens is straight unless k1 says otherwise."""

    def camera(purpose: str, rows: int, columns: int, translation: list[float]) -> dict[str, Any]:
        parameters = [0.5, 0.5, 0.49, 0.49, k1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        return {
            "Intrinsics": {"ModelParameters": parameters, "ModelType": "CALIBRATION_LensDistortionModelBrownConrady"},
            "Purpose": f"CALIBRATION_CameraPurpose{purpose}",
            "MetricRadius": 1.74,
            "Rt": {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": translation},
            "SensorHeight": rows,
            "SensorWidth": columns,
        }

    cameras = [camera("Depth", 1024, 1024, [0, 0, 0]), camera("PhotoVideo", 3072, 4096, [-0.032, 0, 0])]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}}).encode() + b"\0"


def pattern(k: int) -> np.ndarray:
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return (500 + 7 * k + u + 3 * v).astype(np.uint16)


def write_mkv(path: Path, numbers: list[int], *, raw: bytes | None = None, mode: str = "NFOV_UNBINNED",
              title: str = "DEPTH", attach: bool = True) -> Path:  # fmt: skip
    """A depth-only recording with frames at these places of a 30-a-second clock."""
    import av

    with av.open(str(path), "w", format="matroska", options={"allow_raw_vfw": "1"}) as container:
        stream = container.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray16be"
        stream.time_base = Fraction(1, 1000)
        stream.metadata["title"] = title
        stream.metadata["K4A_DEPTH_MODE"] = mode
        if attach:
            container.add_attachment("calibration.json", "application/octet-stream", raw or calibration())
        for k in numbers:
            packet = av.Packet(pattern(k).astype(">u2").tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(k * 1000 / 30)
            packet.is_keyframe = True
            container.mux(packet)
    # The muxer knows no tag for big-endian grey, the recorder's format: write it into the bitmap header by hand.
    data = path.read_bytes()
    at = next(i for h in (HEIGHT, -HEIGHT) if (i := data.find(struct.pack("<iihh", WIDTH, h, 1, 16))) >= 0)
    header = struct.pack("<iihh4s", WIDTH, HEIGHT, 1, 16, b"b16g")
    path.write_bytes(data[:at] + header + data[at + len(header) :])
    return path


class FakeLibrary:
    """The functions of libk4a that the sensor calls, on ctypes' own arguments."""

    def __init__(self, count: int = 1) -> None:
        self.count, self.busy, self.gone, self.waiting, self.open_handles, self.held = count, False, False, 0, 0, 0
        self.pixels = (ctypes.c_uint16 * (WIDTH * HEIGHT))()
        self.sent = 0

    def k4a_device_get_installed_count(self) -> int:
        return self.count

    def k4a_device_open(self, index: int, handle: Any) -> int:
        if self.busy:
            return 1
        handle._obj.value = 77
        self.open_handles += 1
        return 0

    def k4a_device_close(self, handle: Any) -> None:
        self.open_handles -= 1

    def k4a_device_start_cameras(self, handle: Any, configuration: Any) -> int:
        return 0 if configuration._obj.depth_mode == 2 and configuration._obj.camera_fps == 2 else 1

    def k4a_device_stop_cameras(self, handle: Any) -> None:
        pass

    def k4a_device_get_raw_calibration(self, handle: Any, buffer: Any, size: Any) -> int:
        raw = calibration()
        if buffer is None:
            size._obj.value = len(raw)
            return 2
        buffer[: len(raw)] = raw
        return 0

    def k4a_device_get_capture(self, handle: Any, capture: Any, timeout_ms: int) -> int:
        if self.gone:
            return 1
        if not self.waiting:
            time.sleep(timeout_ms / 1000)
            return 2
        self.waiting -= 1
        # One buffer for all frames, as a driver that recycles its memory has.
        self.pixels[:] = pattern(self.sent).ravel().tolist()
        self.sent += 1
        self.held += 1
        capture._obj.value = 5
        return 0

    def k4a_capture_get_depth_image(self, capture: Any) -> int:
        self.held += 1
        return 6

    def k4a_image_get_size(self, image: Any) -> int:
        return ctypes.sizeof(self.pixels)

    def k4a_image_get_buffer(self, image: Any) -> int:
        return ctypes.addressof(self.pixels)

    def k4a_image_get_device_timestamp_usec(self, image: Any) -> int:
        return self.sent * 33333

    def k4a_image_release(self, image: Any) -> None:
        self.held -= 1

    def k4a_capture_release(self, capture: Any) -> None:
        self.held -= 1
