"""Frames out of the messages of an unpacked chunk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.takes import messages, schemas
from engine.takes.chunks import RawMessage
from engine.types import DepthFrame, Intrinsics


@dataclass(frozen=True)
class TakenFrame:
    """A frame of a take. frame.number is its place in the take; number, device_time_s and host_time_s are as the camera
    and the host gave them when it was recorded; time_ns: the host's wall clock then, since 1970."""

    frame: DepthFrame
    number: int
    device_time_s: float
    host_time_s: float
    epoch: int
    time_ns: int


@dataclass
class Slot:
    """The messages of one frame in an unpacked chunk."""

    depth: RawMessage
    camera: Intrinsics | None
    fields: dict[str, Any] | None = None
    color: RawMessage | None = None

    def decode(self, index: int, color: bool) -> TakenFrame:
        """Raises BadRecording when what was written is no frame."""
        depth = messages.decode_depth(self.depth.data)
        height, width = depth.shape
        if self.camera is None or (self.camera.width, self.camera.height) != (width, height):
            raise messages.BadMessage("an image's calibration is missing or of another size")
        # Without its own message, a frame's times are what every MCAP message has, to the nanosecond.
        fields = self.fields or {}
        picture = messages.decode_color(self.color.data, width, height) if color and self.color else None
        device_time_s = messages.number(fields, "device_time_s", self.depth.publish_ns / 1e9)
        unit_mm = messages.number(fields, "depth_unit_mm", 1.0)
        if not 1e-4 <= unit_mm <= 100 or not np.isfinite(device_time_s):
            raise messages.BadMessage("a frame's time or depth unit is damaged")
        frame = DepthFrame(depth, unit_mm, self.camera, index, device_time_s, time.monotonic(), color=picture)
        return TakenFrame(
            frame=frame,
            number=messages.whole(fields, "number", self.depth.sequence),
            device_time_s=device_time_s,
            host_time_s=messages.number(fields, "host_time_s", 0.0),
            epoch=messages.whole(fields, "epoch"),
            time_ns=self.depth.log_ns,
        )


def slots_of(found: list[RawMessage]) -> list[Slot]:
    """The frames of a chunk; what belongs to one has its log time."""
    camera: Intrinsics | None = None
    fields: dict[int, dict[str, Any]] = {}
    colors: dict[int, RawMessage] = {}
    slots: list[Slot] = []
    for message in found:
        try:
            if message.topic == schemas.CALIBRATION.name:
                camera = messages.decode_calibration(message.data)
            elif message.topic == schemas.FRAME.name:
                fields[message.log_ns] = messages.decode_json(message.data)
            elif message.topic == schemas.COLOR.name:
                colors[message.log_ns] = message
            elif message.topic == schemas.DEPTH.name:
                slots.append(Slot(message, camera))
        except messages.BadMessage:
            # Its CRC is right, so it was written like this; the frames without it say so when they are decoded.
            continue
    for slot in slots:
        slot.fields, slot.color = fields.get(slot.depth.log_ns), colors.get(slot.depth.log_ns)
    return slots
