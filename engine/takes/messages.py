"""Frames, poses and the rest as messages, and back. What comes back is checked: nothing from a file is trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.PosesInFrame_pb2 import PosesInFrame
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from engine.sensors.images import decode_color_jpeg
from engine.sensors.protocol import MAX_IMAGE_SIDE, BadRecording
from engine.takes.container import Buffer
from engine.takes.facts import MAX_TEXT, Receipt
from engine.takes.schemas import CAMERA_FRAME
from engine.types import DepthFrame, FloatArray, Intrinsics, LumbricalError, TrackingResult

_JPEG_QUALITY = 95
_DEPTH_ENCODINGS = ("16UC1", "mono16")
_DATA_FIELD = bytes([RawImage.DESCRIPTOR.fields_by_name["data"].number << 3 | 2])
_MOST_STAGES = 100


class BadMessage(BadRecording):
    """A message that cannot be what it claims to be."""


def depth_parts(frame: DepthFrame, log_ns: int) -> tuple[Buffer, ...]:
    """A foxglove.RawImage in two parts, the second the frame's own pixels, which are not copied."""
    depth = np.ascontiguousarray(frame.depth, "<u2")
    height, width = depth.shape
    image = RawImage(frame_id=CAMERA_FRAME, width=width, height=height, encoding="16UC1", step=2 * width)
    image.timestamp.FromNanoseconds(log_ns)
    # Fields of a protobuf message may come in any order: the long one is put last by hand.
    head = image.SerializeToString() + _DATA_FIELD + _varint(depth.nbytes)
    return head, depth.data.cast("B")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_depth(data: Buffer) -> NDArray[np.uint16]:
    """The image (H, W) of a foxglove.RawImage, owning its pixels. Raises BadMessage."""
    image = _parsed(RawImage, data)
    width, height = image.width, image.height
    if image.encoding not in _DEPTH_ENCODINGS or not (0 < width <= MAX_IMAGE_SIDE and 0 < height <= MAX_IMAGE_SIDE):
        raise BadMessage(f"a depth image is {width} x {height}, encoding {image.encoding!r:.20}")
    if image.step != 2 * width or len(image.data) != 2 * width * height:
        raise BadMessage(f"a depth image of {width} x {height} has {len(image.data)} bytes")
    return np.frombuffer(image.data, "<u2").reshape(height, width).astype(np.uint16)


def _parsed(kind: Any, data: Buffer) -> Any:
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise BadMessage(f"a message is not a {kind.DESCRIPTOR.full_name}") from error


def calibration_message(camera: Intrinsics, log_ns: int) -> bytes:
    """A foxglove.CameraCalibration without distortion."""
    message = CameraCalibration(
        frame_id=CAMERA_FRAME, width=camera.width, height=camera.height, distortion_model="plumb_bob", D=[0.0] * 5,
        K=[camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1], R=[1, 0, 0, 0, 1, 0, 0, 0, 1],
        P=[camera.fx, 0, camera.cx, 0, 0, camera.fy, camera.cy, 0, 0, 0, 1, 0],
    )  # fmt: skip
    message.timestamp.FromNanoseconds(log_ns)
    return bytes(message.SerializeToString())


def decode_calibration(data: Buffer) -> Intrinsics:
    """The camera of a foxglove.CameraCalibration. Raises BadMessage."""
    message = _parsed(CameraCalibration, data)
    if len(message.K) != 9 or max(message.width, message.height) > MAX_IMAGE_SIDE:
        raise BadMessage("a camera's calibration is not one")
    fx, _, cx, _, fy, cy = message.K[:6]
    try:
        return Intrinsics(message.width, message.height, fx, fy, cx, cy)
    except LumbricalError as error:
        raise BadMessage(str(error)) from error


def color_message(color: NDArray[np.uint8], log_ns: int) -> bytes:
    """A foxglove.CompressedImage (JPEG) of (H, W, 3) RGB."""
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(color[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise LumbricalError(f"colour of {color.shape} {color.dtype} cannot be encoded")
    message = CompressedImage(frame_id=CAMERA_FRAME, data=data.tobytes(), format="jpeg")
    message.timestamp.FromNanoseconds(log_ns)
    return bytes(message.SerializeToString())


def decode_color(data: Buffer, width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a foxglove.CompressedImage of exactly this size. Raises BadRecording."""
    message = _parsed(CompressedImage, data)
    return decode_color_jpeg(bytes(message.data), "a take's colour image", width, height)


def joints_message(joints_mm: FloatArray, log_ns: int) -> bytes:
    """The joints as foxglove.PosesInFrame, in metres, for viewers."""
    message = PosesInFrame(frame_id=CAMERA_FRAME)
    message.timestamp.FromNanoseconds(log_ns)
    for x, y, z in (np.asarray(joints_mm, np.float64) / 1000).tolist():
        pose = message.poses.add()
        pose.position.x, pose.position.y, pose.position.z = x, y, z
        pose.orientation.w = 1.0
    return bytes(message.SerializeToString())


def timestamp(log_ns: int) -> dict[str, int]:
    """A moment as Foxglove's JSON has it."""
    return {"sec": log_ns // 1_000_000_000, "nsec": log_ns % 1_000_000_000}


def frame_fields(frame: DepthFrame, log_ns: int, epoch: int) -> dict[str, Any]:
    """What frame and pose messages both say of a frame. JSON keeps Python's floats to the last bit."""
    return {
        "timestamp": timestamp(log_ns), "number": int(frame.number), "device_time_s": float(frame.device_time_s),
        "host_time_s": float(frame.host_time_s), "epoch": epoch,
    }  # fmt: skip


def frame_message(frame: DepthFrame, log_ns: int, epoch: int) -> bytes:
    """A lumbrical.Frame."""
    fields = frame_fields(frame, log_ns, epoch) | {"depth_unit_mm": float(frame.depth_unit_mm)}
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def pose_message(result: TrackingResult, log_ns: int, epoch: int, latency_s: float | None) -> bytes:
    """A lumbrical.HandPose. float32 values keep all their bits: nine digits tell any two of them apart."""
    hand, geometry = result.parameters, result.geometry
    arrays = {
        "theta": hand.theta if hand else None,
        "beta": hand.beta if hand else None,
        "thickness": hand.thickness if hand else None,
        "joints_mm": geometry.joints if geometry else None,
        "joint_sigma_mm": result.joint_sigma_mm,
        "crop_corners_uv": result.crop_corners_uv,
    }
    fields = frame_fields(result.frame, log_ns, epoch) | {
        "state": result.state.value, "side": result.side.value, "confidence": _finite(result.confidence),
        "residual_mm": _finite(result.residual_mm), "latency_ms": _finite(1000 * latency_s) if latency_s else None,
        "stage_ms": {name: round(ms, 3) for name, ms in result.stage_ms.items()},
        "weights_version": result.weights_version, "message": result.message,
    }  # fmt: skip
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False)
    numbers = ",".join(f'"{name}":{_array_text(array)}' for name, array in arrays.items())
    return f"{text[:-1]},{numbers}}}".encode()


def to_json(fields: Mapping[str, Any]) -> bytes:
    """A JSON message; what JSON cannot hold becomes null (not-a-number) or its text."""
    return json.dumps(_jsonable(fields), separators=(",", ":"), allow_nan=False, default=str).encode()


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, np.generic | np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return [_jsonable(item) for item in value] if isinstance(value, list | tuple) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _array_text(array: FloatArray | None) -> str:
    if array is None:
        return "null"
    if array.ndim > 1:
        return "[" + ",".join(map(_array_text, array)) + "]"
    return "[" + ",".join(map(_number_text, array.tolist())) + "]"


def _number_text(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    # The sign of a zero would be lost: JSON reads -0 as a whole number.
    return f"{value:.9g}" if value else repr(value)


def decode_json(data: Buffer) -> dict[str, Any]:
    """A JSON message as a dict. Raises BadMessage."""
    try:
        fields = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise BadMessage("a message is not valid JSON") from error
    if not isinstance(fields, dict):
        raise BadMessage("a message is not a JSON object")
    return fields


def number(fields: Mapping[str, Any], name: str, missing: float = math.nan) -> float:
    """A number of a JSON message; `missing` where it is null or absent. Raises BadMessage."""
    value = fields.get(name)
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{name} of a message is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise BadMessage(f"{name} of a message is too large") from error


def whole(fields: Mapping[str, Any], name: str, missing: int = 0) -> int:
    """A whole number within 64 bits. Raises BadMessage."""
    value = fields.get(name, missing)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadMessage(f"{name} of a message is no whole number")
    return value


def text(fields: Mapping[str, Any], name: str) -> str:
    """A text, cut to a bearable length; empty where it is absent or something else."""
    value = fields.get(name)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def array(fields: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A float32 array of this shape, NaN where it or one of its values is null. Raises BadMessage."""
    value = fields.get(name)
    if value is None:
        return np.full(shape, np.nan, np.float32)
    try:
        values = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadMessage(f"{name} of a message is not an array of numbers") from error
    if values.shape != shape:
        raise BadMessage(f"{name} of a message has shape {values.shape}, not {shape}")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def counts(fields: Mapping[str, Any], name: str) -> dict[str, int]:
    """Whole numbers by name."""
    value = fields.get(name)
    if not isinstance(value, dict) or len(value) > _MOST_STAGES:
        return {}
    return {str(key)[:200]: count for key, count in value.items() if type(count) is int and 0 <= count < 2**63}


def receipt_message(receipt: Receipt, log_ns: int) -> bytes:
    """A lumbrical.Receipt."""
    return to_json({"timestamp": timestamp(log_ns)} | vars(receipt))


def decode_receipt(data: Buffer) -> Receipt:
    """Raises BadMessage."""
    fields = decode_json(data)
    versions = fields.get("weights_versions")
    return Receipt(
        reason=text(fields, "reason"),
        frames_received=whole(fields, "frames_received"),
        frames_written=whole(fields, "frames_written"),
        dropped=counts(fields, "dropped"),
        camera_gaps=whole(fields, "camera_gaps"),
        poses_written=whole(fields, "poses_written"),
        poses_dropped=whole(fields, "poses_dropped"),
        duration_s=number(fields, "duration_s", 0.0),
        size_bytes=whole(fields, "size_bytes"),
        full_size_bytes=whole(fields, "full_size_bytes"),
        weights_versions=tuple(str(v)[:200] for v in versions[:100]) if isinstance(versions, list) else (),
    )
