"""Chunks of an MCAP file, unpacked and taken apart; every size is checked before anything is allocated."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import zstandard
from lz4.frame import LZ4FrameDecompressor
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel
from numpy.typing import NDArray

from engine.sensors.protocol import BadRecording
from engine.takes.container import MESSAGE_HEADER

RECORD_HEADER = struct.Struct("<BQ")
#: No record but a chunk is larger.
MAX_RECORD_BYTES = 16 << 20


class ChunkDamaged(BadRecording):
    """A chunk cannot be read; others can."""


@dataclass(frozen=True)
class Place:
    """A chunk in the file: the offset of its record, of its data, and sizes; channels: messages of each, if known."""

    offset: int
    end: int
    data_offset: int
    data_size: int
    raw_size: int
    crc: int
    compression: str
    start_ns: int
    end_ns: int
    channels: dict[int, NDArray[np.uint64]] | None = None


@dataclass(frozen=True)
class RawMessage:
    """A message of a chunk; data is a view into the unpacked chunk."""

    topic: str
    log_ns: int
    publish_ns: int
    sequence: int
    offset: int
    data: memoryview


def parse(kind: Any, body: bytes) -> Any:
    """A record of the mcap package from its bytes in memory, or None when they are not one."""
    try:
        return kind.read(ReadDataStream(io.BytesIO(body)))
    except (McapError, struct.error, ValueError):
        return None


def unpack(file: BinaryIO, place: Place, topics: dict[int, str]) -> list[RawMessage]:
    """The messages of a chunk. Raises ChunkDamaged when its bytes are not what was written."""
    raw = memoryview(_unpacked(file, place))
    if place.crc and zlib.crc32(raw) != place.crc:
        raise ChunkDamaged(f"the chunk at byte {place.offset} is damaged: its check sum is wrong")
    return list(_messages(raw, dict(topics), place))


def _unpacked(file: BinaryIO, place: Place) -> bytes:
    if place.data_size == 0:
        raise ChunkDamaged(f"the chunk at byte {place.offset} is damaged")
    file.seek(place.data_offset)
    data = file.read(place.data_size)
    try:
        raw = _decompress(data, place)
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise ChunkDamaged(f"the chunk at byte {place.offset} is damaged: it cannot be unpacked") from error
    if len(raw) != place.raw_size:
        raise ChunkDamaged(f"the chunk at byte {place.offset} is damaged: it has another size than it says")
    return raw


def _decompress(data: bytes, place: Place) -> bytes:
    if place.compression == "zstd":
        # A size in the data's own header would be allocated, whatever the limit.
        declared = zstandard.get_frame_parameters(data).content_size
        if declared not in (zstandard.CONTENTSIZE_UNKNOWN, place.raw_size):
            raise ChunkDamaged(f"the chunk at byte {place.offset} is damaged: it says two sizes")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=max(1, place.raw_size))
    if place.compression == "lz4":
        return bytes(LZ4FrameDecompressor().decompress(data, max_length=place.raw_size + 1))
    return data


def _messages(raw: memoryview, topics: dict[int, str], place: Place) -> Iterator[RawMessage]:
    at = 0
    while at < len(raw):
        if at + RECORD_HEADER.size > len(raw):
            raise ChunkDamaged(f"the chunk at byte {place.offset} ends in the middle of a record")
        opcode, length = RECORD_HEADER.unpack_from(raw, at)
        end = at + RECORD_HEADER.size + length
        if end > len(raw):
            raise ChunkDamaged(f"the chunk at byte {place.offset} ends in the middle of a record")
        if opcode == Opcode.CHANNEL and length <= MAX_RECORD_BYTES:
            channel = parse(Channel, bytes(raw[at + RECORD_HEADER.size : end]))
            if channel is not None:
                topics[channel.id] = channel.topic
        elif opcode == Opcode.MESSAGE and length >= MESSAGE_HEADER.size - RECORD_HEADER.size:
            _, _, channel_id, sequence, log_ns, publish_ns = MESSAGE_HEADER.unpack_from(raw, at)
            body = raw[at + MESSAGE_HEADER.size : end]
            yield RawMessage(topics.get(channel_id, ""), log_ns, publish_ns, sequence, at, body)
        at = end
