"""Where everything lies in an MCAP file: from its summary, or, when that is missing or damaged, by walking the file.

Nothing is believed: every size is checked against the file and against fixed limits before anything is allocated.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Footer, Metadata
from numpy.typing import NDArray

from engine.sensors.protocol import BadRecording
from engine.takes.chunks import MAX_RECORD_BYTES, RECORD_HEADER, Place, parse
from engine.takes.container import CHUNK_HEADER, MAGIC

#: A chunk, packed or not, is at most this large; ours are a thirtieth, but a single image may be larger.
MAX_CHUNK_BYTES = 128 << 20
#: The summary of many hours.
_MAX_SUMMARY_BYTES = 256 << 20
_FOOTER_SIZE = 9 + 20
_SEARCH_BYTES = 1 << 20
#: What stands in a chunk record before its data: here, from its start, is the name of its compression.
_COMPRESSIONS = {"": b"\x00\x00\x00\x00", "zstd": b"\x04\x00\x00\x00zstd", "lz4": b"\x03\x00\x00\x00lz4"}
_INDEX_ENTRY = np.dtype("<u8")


@dataclass
class Layout:
    """complete: the file was closed, and its start and its summary are whole. damage: one line for each thing that is
    wrong."""

    places: list[Place] = field(default_factory=list)
    topics: dict[int, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    complete: bool = False
    damage: list[str] = field(default_factory=list)


def read_layout(file: BinaryIO, size: int, name: object) -> Layout:
    """The layout of an open file. Raises BadRecording when it is no MCAP file at all."""
    if size == 0:
        raise BadRecording(f"{name} is empty: nothing was recorded")
    file.seek(0)
    begins_well = file.read(len(MAGIC)) == MAGIC
    if not begins_well and not _has_chunk(file, size):
        raise BadRecording(f"{name} is not an MCAP file: it cannot be a take")
    layout = Layout()
    if not begins_well:
        layout.damage.append("its first bytes are damaged: it can be read here, but other programs refuse it")
    _read_head(file, size, layout)
    summary = _read_summary(file, size)
    if summary is not None and _apply_summary(file, size, summary, layout):
        layout.complete = begins_well
        return layout
    closed = _ends_with_magic(file, size)
    layout.damage.append("its index is damaged" if closed else "the recording was cut off before it was closed")
    layout.places = list(_walk(file, size, layout))
    return layout


def _record_at(file: BinaryIO, offset: int, size: int) -> tuple[int, int] | None:
    """Opcode and length of the record at offset, or None when it does not fit into the file."""
    if offset + RECORD_HEADER.size > size:
        return None
    file.seek(offset)
    head = file.read(RECORD_HEADER.size)
    if len(head) < RECORD_HEADER.size:
        return None
    opcode, length = RECORD_HEADER.unpack(head)
    return (opcode, length) if 0 < opcode < 0x80 and length <= size - offset - RECORD_HEADER.size else None


def _read_head(file: BinaryIO, size: int, layout: Layout) -> None:
    """Channels and metadata before the first chunk."""
    offset = len(MAGIC)
    while (found := _record_at(file, offset, size)) is not None:
        opcode, length = found
        if opcode == Opcode.CHUNK or length > MAX_RECORD_BYTES:
            return
        body = file.read(length)
        if opcode == Opcode.CHANNEL and (channel := parse(Channel, body)) is not None:
            layout.topics[channel.id] = channel.topic
        elif opcode == Opcode.METADATA and (metadata := parse(Metadata, body)) is not None:
            layout.metadata[metadata.name] = metadata.metadata
        offset += RECORD_HEADER.size + length


def _ends_with_magic(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - len(MAGIC)))
    return file.read(len(MAGIC)) == MAGIC


def _read_footer(file: BinaryIO, size: int) -> tuple[Footer, bytes, int] | None:
    """The footer, its bytes and where it stands, or None where it is not one that could be right."""
    at = size - len(MAGIC) - _FOOTER_SIZE
    if at < 0 or not _ends_with_magic(file, size) or _record_at(file, at, size) != (Opcode.FOOTER, 20):
        return None
    head = file.read(20)
    footer = parse(Footer, head)
    if footer is None or not 0 < footer.summary_start <= at or at - footer.summary_start > _MAX_SUMMARY_BYTES:
        return None
    return footer, head, at


def is_sum_right(file: BinaryIO, size: int) -> bool:
    """Whether all before the summary is what was written, by the check sum in front of it; True where there is none.

    Chunks have check sums of their own; this one covers what stands between them too.
    """
    found = _read_footer(file, size)
    if found is None:
        return False
    end = found[0].summary_start - RECORD_HEADER.size - 4
    if end < 0 or _record_at(file, end, size) != (Opcode.DATA_END, 4):
        return True
    expected = int.from_bytes(file.read(4), "little")
    if not expected:
        return True
    file.seek(0)
    crc = 0
    while end > 0 and (data := file.read(min(end, _SEARCH_BYTES))):
        crc = zlib.crc32(data, crc)
        end -= len(data)
    return crc == expected


def _read_summary(file: BinaryIO, size: int) -> bytes | None:
    """The summary section, whose CRC is right, or None."""
    found = _read_footer(file, size)
    if found is None:
        return None
    footer, head, at = found
    file.seek(footer.summary_start)
    summary = file.read(at - footer.summary_start)
    expected = zlib.crc32(RECORD_HEADER.pack(Opcode.FOOTER, 20) + head[:16], zlib.crc32(summary))
    return summary if footer.summary_crc in (0, expected) else None


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and body of each record in memory, as far as they are whole."""
    at = 0
    while at + RECORD_HEADER.size <= len(data):
        opcode, length = RECORD_HEADER.unpack_from(data, at)
        at += RECORD_HEADER.size
        if length > len(data) - at:
            return
        yield opcode, data[at : at + length]
        at += length


def _apply_summary(file: BinaryIO, size: int, summary: bytes, layout: Layout) -> bool:
    """Fill the layout from the summary; False when that points to what is not in the file."""
    places = []
    for opcode, body in _records(summary):
        if opcode == Opcode.CHANNEL and (channel := parse(Channel, body)) is not None:
            layout.topics[channel.id] = channel.topic
        if opcode != Opcode.CHUNK_INDEX:
            continue
        index = parse(ChunkIndex, body)
        if index is None or not _fits(index, size):
            return False
        places.append(_indexed_place(file, size, index, layout))
    layout.places = places
    return True


def _fits(index: ChunkIndex, size: int) -> bool:
    end = index.chunk_start_offset + index.chunk_length
    return index.compressed_size <= index.chunk_length <= size and end + index.message_index_length <= size


def _indexed_place(file: BinaryIO, size: int, index: ChunkIndex, layout: Layout) -> Place:
    """The place of an indexed chunk; one whose own header contradicts the index is damaged and has no channels."""
    end = index.chunk_start_offset + index.chunk_length
    place = _chunk_at(file, index.chunk_start_offset, size)
    if place is None or place.end != end:
        layout.damage.append(f"the chunk at byte {index.chunk_start_offset} is damaged")
        channels = {channel: np.zeros(0, np.uint64) for channel in index.message_index_offsets}
        return Place(index.chunk_start_offset, end, end, 0, 0, 0, "", 0, 0, channels)
    channels = _message_indexes(file, end, min(size, end + index.message_index_length))
    return Place(**{**vars(place), "channels": channels if set(channels) == set(index.message_index_offsets) else None})


def _message_indexes(file: BinaryIO, start: int, end: int) -> dict[int, NDArray[np.uint64]]:
    """The log times of each channel's messages, from the index records between two offsets."""
    if end - start > MAX_RECORD_BYTES:
        return {}
    file.seek(start)
    found = {}
    for opcode, body in _records(file.read(end - start)):
        if opcode != Opcode.MESSAGE_INDEX or len(body) < 6:
            break
        channel, length = struct.unpack_from("<HI", body)
        if length != len(body) - 6 or length % 16:
            break
        found[channel] = np.frombuffer(body, _INDEX_ENTRY, offset=6)[::2].copy()
    return found


def _chunk_at(file: BinaryIO, offset: int, size: int) -> Place | None:
    """The chunk record at offset, or None when there is none that could be right."""
    if offset < 0 or offset + CHUNK_HEADER.size + 12 > size:
        return None
    file.seek(offset)
    head = file.read(CHUNK_HEADER.size + 16)
    opcode, length, start_ns, end_ns, raw_size, crc = CHUNK_HEADER.unpack_from(head)
    compression = next((name for name, word in _COMPRESSIONS.items() if head[CHUNK_HEADER.size :].startswith(word)), "")
    at = CHUNK_HEADER.size + 4 + len(compression)
    if opcode != Opcode.CHUNK or len(head) < at + 8 or head[CHUNK_HEADER.size] != len(compression):
        return None
    (data_size,) = struct.unpack_from("<Q", head.ljust(at + 8, b"\x00"), at)
    end = offset + 9 + length
    if at + 8 + data_size != 9 + length or end > size or max(data_size, raw_size) > MAX_CHUNK_BYTES:
        return None
    return Place(offset, end, offset + at + 8, data_size, raw_size, crc, compression, start_ns, end_ns)


def _walk(file: BinaryIO, size: int, layout: Layout) -> Iterator[Place]:
    """Every chunk that is whole in the file, in order. Where records stop making sense, the next chunk is searched."""
    offset = len(MAGIC)
    while offset < size:
        found = _record_at(file, offset, size)
        place = _chunk_at(file, offset, size) if found is not None and found[0] == Opcode.CHUNK else None
        if place is None and not _is_sensible(file, found):
            if found is not None and found[0] == Opcode.DATA_END:
                return
            following = _next_chunk(file, offset + 1, size)
            if following is not None:
                layout.damage.append(f"bytes {offset} to {following} are damaged")
            offset = size if following is None else following
            continue
        assert found is not None
        offset += RECORD_HEADER.size + found[1]
        if place is not None:
            yield Place(**{**vars(place), "channels": _following_indexes(file, offset, size)})


def _is_sensible(file: BinaryIO, found: tuple[int, int] | None) -> bool:
    """Whether a record other than a chunk, whose header was just read, can be stepped over."""
    if found is None or found[1] > MAX_RECORD_BYTES:
        return False
    opcode, length = found
    if opcode == Opcode.MESSAGE_INDEX:
        # A wrong length would lead past good chunks: it is stated twice.
        return file.read(6)[2:] == struct.pack("<I", length - 6) if length >= 6 else False
    return opcode in (Opcode.HEADER, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA)


def _following_indexes(file: BinaryIO, offset: int, size: int) -> dict[int, NDArray[np.uint64]] | None:
    """The message indexes right behind a chunk, or None when not all of them may be there."""
    start = offset
    while (found := _record_at(file, offset, size)) is not None and found[0] == Opcode.MESSAGE_INDEX:
        offset += RECORD_HEADER.size + found[1]
    # Only when another record follows is it certain that none is missing.
    return _message_indexes(file, start, offset) if found is not None else None


def _has_chunk(file: BinaryIO, size: int) -> bool:
    return _next_chunk(file, 0, min(size, 4 * _SEARCH_BYTES)) is not None


def _next_chunk(file: BinaryIO, offset: int, size: int) -> int | None:
    """Where the next chunk record is, found by the name of its compression and checked by its sizes."""
    overlap = CHUNK_HEADER.size + 16
    end = os.fstat(file.fileno()).st_size
    while offset < size:
        file.seek(offset)
        window = file.read(_SEARCH_BYTES + overlap)
        hits = sorted(_hits(window))
        for hit in hits:
            start = offset + hit - CHUNK_HEADER.size
            if start >= offset and _chunk_at(file, start, end) is not None:
                return start
        offset += _SEARCH_BYTES
    return None


def _hits(window: bytes) -> Iterator[int]:
    for word in (_COMPRESSIONS["zstd"], _COMPRESSIONS["lz4"]):
        at = window.find(word)
        while at >= 0:
            yield at
            at = window.find(word, at + 1)
