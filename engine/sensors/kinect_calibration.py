"""The Azure Kinect's factory calibration, read from its JSON the way libk4a reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.sensors.protocol import BadRecording
from engine.sensors.registration import ColorCamera
from engine.sensors.undistort import Distort, rational
from engine.types import Intrinsics, LumbricalError

_MAX_BYTES = 1 << 20
_PARAMETERS = 14


@dataclass(frozen=True)
class DepthMode:
    """An operating mode: the image, and where it is cut out of the (binned) square sensor, in pixels."""

    width: int
    height: int
    sensor_size: int
    left: int
    top: int


DEPTH_MODES = {
    "NFOV_2X2BINNED": DepthMode(320, 288, 512, 96, 90),
    "NFOV_UNBINNED": DepthMode(640, 576, 1024, 192, 180),
    "WFOV_2X2BINNED": DepthMode(512, 512, 512, 0, 0),
    "WFOV_UNBINNED": DepthMode(1024, 1024, 1024, 0, 0),
}


@dataclass(frozen=True)
class KinectCalibration:
    """The depth camera of one mode, its lens, and the colour camera (None when it is off or of another shape)."""

    depth: Intrinsics
    distort: Distort
    color: ColorCamera | None


def _camera(source: dict[str, Any], purpose: str) -> dict[str, Any]:
    cameras = source["CalibrationInformation"]["Cameras"]
    return next(camera for camera in cameras if str(camera["Purpose"]).endswith(purpose))


def _lens(camera: dict[str, Any]) -> tuple[list[float], Distort]:
    """The 14 model parameters and the lens: cx cy fx fy (of a unit image), k1-k6, two unused, p2, p1."""
    lens = camera["Intrinsics"]
    values = [float(value) for value in lens["ModelParameters"]][:_PARAMETERS]
    if len(values) != _PARAMETERS or not np.all(np.isfinite(values)):
        raise ValueError("a camera needs 14 finite parameters")
    cross = 1.0 if str(lens["ModelType"]).endswith("Rational6KT") else 2.0
    # libk4a takes 0 to mean that the lens was not limited.
    radius = float(camera.get("MetricRadius") or 0) or np.inf
    return values, rational(values[4:10], p1=values[13], p2=values[12], cross=cross, max_radius=radius)


def parse_calibration(raw: bytes, mode: str, color_size: tuple[int, int] | None = None) -> KinectCalibration:
    """Calibration of a depth mode (a key of DEPTH_MODES) and, for color_size (width, height), the colour camera.

    Parameters are of a unit square image; pixels are counted from their centres, hence the half pixel. Raises
    BadRecording when the calibration or the mode cannot be used.
    """
    if mode not in DEPTH_MODES:
        raise BadRecording(f"the Kinect's depth mode {mode!r:.40} gives no depth image: record with NFOV or WFOV depth")
    if len(raw) > _MAX_BYTES:
        raise BadRecording("the Kinect's calibration is over 1 MB: it is damaged; record again")
    try:
        source = json.loads(raw.rstrip(b"\0"))
        values, distort = _lens(_camera(source, "Depth"))
        shape = DEPTH_MODES[mode]
        size = shape.sensor_size
        depth = Intrinsics(
            shape.width,
            shape.height,
            fx=values[2] * size,
            fy=values[3] * size,
            cx=values[0] * size - shape.left - 0.5,
            cy=values[1] * size - shape.top - 0.5,
        )
        color = _color_camera(_camera(source, "PhotoVideo"), *color_size) if color_size else None
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError, LumbricalError) as error:
        raise BadRecording("the Kinect's calibration is damaged: record again") from error
    return KinectCalibration(depth, distort, color)


def _color_camera(camera: dict[str, Any], width: int, height: int) -> ColorCamera | None:
    values, distort = _lens(camera)
    # The sensor is 4:3 and calibrated whole; 16:9 pictures are its middle, all scaled by the width.
    full_height = width * 3 / 4
    if height > full_height + 1:
        return None
    intrinsics = Intrinsics(
        width,
        height,
        fx=values[2] * width,
        fy=values[3] * full_height,
        cx=values[0] * width - 0.5,
        cy=values[1] * full_height - (full_height - height) / 2 - 0.5,
    )
    rotation = np.array(camera["Rt"]["Rotation"], np.float64).reshape(3, 3)
    translation_mm = np.array(camera["Rt"]["Translation"], np.float64).reshape(3) * 1000
    return ColorCamera(intrinsics, rotation, translation_mm, distort)
