"""What a take's channels carry, and the schemas that are embedded in the file so that any MCAP tool can decode it.

Images, calibration and joints use Foxglove's published protobuf schemas. What those do not have (a hand's parameters,
events, counts of dropped frames, the receipt) is JSON with the JSON schemas below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.PosesInFrame_pb2 import PosesInFrame
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from engine.types import BETA_SIZE, JOINT_COUNT, JOINT_NAMES, THETA_SIZE, THICKNESS_SIZE

#: Raised when a program that reads the older one would misunderstand the newer.
FORMAT = "lumbrical-take-1"
#: The name of the frame of coordinates of everything in a take: x right, y down, z forward.
CAMERA_FRAME = "depth_camera"


@dataclass(frozen=True)
class Topic:
    """A channel. id is that of its channel and of its schema in every take. bulk: large messages, in chunks of their
    own, so that poses can be read without unpacking images."""

    id: int
    name: str
    schema_name: str
    schema: bytes
    is_json: bool
    bulk: bool

    @property
    def schema_encoding(self) -> str:
        return "jsonschema" if self.is_json else "protobuf"

    @property
    def message_encoding(self) -> str:
        return "json" if self.is_json else "protobuf"


def _descriptor_set(message: Any) -> bytes:
    """The message's file descriptor and all it imports, as MCAP wants protobuf schemas."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files.setdefault(file.name, file)

    add(message.DESCRIPTOR.file)
    result = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(result.file.add())
    return bytes(result.SerializeToString())


def _numbers(count: int, what: str) -> dict[str, Any]:
    return {
        "type": ["array", "null"], "description": what, "minItems": count, "maxItems": count,
        "items": {"type": ["number", "null"]},
    }  # fmt: skip


def _object(title: str, what: str, properties: dict[str, Any]) -> bytes:
    schema = {"title": title, "description": what, "type": "object", "properties": properties}
    return json.dumps(schema, separators=(",", ":")).encode()


_NUMBER = {"type": "number"}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_INTEGER = {"type": "integer"}
_TEXT = {"type": "string"}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
_TIMESTAMP = {
    "type": "object", "title": "time", "properties": {"sec": _INTEGER, "nsec": _INTEGER},
    "description": "the host's clock when the frame arrived, since 1970",
}  # fmt: skip
_FRAME = {
    "timestamp": _TIMESTAMP,
    "number": {**_INTEGER, "description": "as the camera counts; gaps are frames that it or the app lost"},
    "device_time_s": {**_NUMBER, "description": "the camera's clock, seconds"},
    "host_time_s": {**_NUMBER, "description": "the host's monotonic clock when the frame arrived, seconds"},
    "epoch": {**_INTEGER, "description": "a new one begins with each source, seek or loop; tracks do not cross it"},
}

_FRAME_SCHEMA = _object(
    "lumbrical.Frame",
    "What a depth image's own message has no field for; it has the same log time as the image.",
    {
        **_FRAME,
        "depth_unit_mm": {**_NUMBER, "description": "a pixel's value times this is its distance along z in mm"},
    },
)
_POSE_SCHEMA = _object(
    "lumbrical.HandPose",
    "What the tracker says of one frame, at the frame's own log time. theta, beta and thickness are those of the "
    "canonical right hand; joints are on the hand's own side. Null where no hand was tracked. Joints: "
    + ", ".join(JOINT_NAMES),
    {
        **_FRAME,
        "state": {"enum": ["searching", "tracking", "lost"]},
        "side": {"enum": ["right", "left"]},
        "confidence": _NUMBER,
        "residual_mm": {**_MAYBE_NUMBER, "description": "median distance of the fitted surface from the depth"},
        "theta": _numbers(
            THETA_SIZE,
            "wrist in mm (3); Euler angles x, y, z in radians, R = Rz Rx Ry (3); per finger, thumb to little: flexion "
            "and abduction of the first joint, flexion of the second and of the third (20)",
        ),
        "beta": _numbers(BETA_SIZE, "coordinates in the space of bone lengths"),
        "thickness": _numbers(THICKNESS_SIZE, "extra flesh in mm: palm, thumb, index, middle, ring, little"),
        "joints_mm": {
            "type": ["array", "null"], "minItems": JOINT_COUNT, "maxItems": JOINT_COUNT, "items": _numbers(3, "x, y, z")
        },
        "joint_sigma_mm": _numbers(JOINT_COUNT, "how far each joint is expected to be off"),
        "crop_corners_uv": {"type": ["array", "null"], "items": _numbers(2, "u, v")},
        "latency_ms": {**_MAYBE_NUMBER, "description": "from the frame's arrival to its result"},
        "stage_ms": {"type": "object", "additionalProperties": _NUMBER},
        "weights_version": _TEXT,
        "message": _TEXT,
    },
)  # fmt: skip
_EVENT_SCHEMA = _object(
    "lumbrical.Event",
    "Something that happened, such as a step of adaptation, new weights, or a marker that the user set.",
    {"timestamp": _TIMESTAMP, "kind": _TEXT, "details": {"type": "object"}},
)
_DROPS_SCHEMA = _object(
    "lumbrical.Drops",
    "Frames so far: received by the recorder, and those of them that were not written, by reason.",
    {"timestamp": _TIMESTAMP, "frames_received": _INTEGER, "dropped": _COUNTS, "camera_gaps": _INTEGER},
)
_RECEIPT_SCHEMA = _object(
    "lumbrical.Receipt",
    "Written when a take is closed: what was received, what was written, what was not and why.",
    {
        "timestamp": _TIMESTAMP,
        "reason": {**_TEXT, "description": "why the recording ended"},
        "frames_received": _INTEGER,
        "frames_written": _INTEGER,
        "dropped": {**_COUNTS, "description": "by reason; received = written + dropped"},
        "camera_gaps": {**_INTEGER, "description": "missing in the camera's numbering: never reached the recorder"},
        "poses_written": _INTEGER,
        "poses_dropped": {**_INTEGER, "description": "made, but neither written nor any more in time to be"},
        "duration_s": _NUMBER,
        "size_bytes": {**_INTEGER, "description": "of the file up to the receipt"},
        "full_size_bytes": {
            **_INTEGER, "description": "of a hand-only take: its estimated size with whole images; else 0"
        },
        "weights_versions": {"type": "array", "items": _TEXT},
    },
)  # fmt: skip


def _published(id: int, name: str, message: Any, bulk: bool) -> Topic:
    return Topic(id, name, message.DESCRIPTOR.full_name, _descriptor_set(message), is_json=False, bulk=bulk)


def _own(id: int, name: str, title: str, schema: bytes, bulk: bool = False) -> Topic:
    return Topic(id, name, title, schema, is_json=True, bulk=bulk)


DEPTH = _published(1, "/depth/image", RawImage, bulk=True)
CALIBRATION = _published(2, "/depth/calibration", CameraCalibration, bulk=True)
FRAME = _own(3, "/depth/frame", "lumbrical.Frame", _FRAME_SCHEMA, bulk=True)
COLOR = _published(4, "/color/image", CompressedImage, bulk=True)
POSE = _own(5, "/hand/pose", "lumbrical.HandPose", _POSE_SCHEMA)
JOINTS = _published(6, "/hand/joints", PosesInFrame, bulk=False)
EVENT = _own(7, "/take/event", "lumbrical.Event", _EVENT_SCHEMA)
DROPS = _own(8, "/take/drops", "lumbrical.Drops", _DROPS_SCHEMA)
RECEIPT = _own(9, "/take/receipt", "lumbrical.Receipt", _RECEIPT_SCHEMA)
TOPICS = (DEPTH, CALIBRATION, FRAME, COLOR, POSE, JOINTS, EVENT, DROPS, RECEIPT)
