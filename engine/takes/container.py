"""Writing MCAP in chunks, each with its CRC and its index right behind it, so that a file cut off anywhere is readable.

The mcap package lays out every record; its Writer is not used because a recording needs what that does not have: two
chunks open at a time, a compression level that can change, and undoing a chunk on a full disk.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from engine.takes.effort import Level
from engine.takes.schemas import TOPICS, Topic

MAGIC = b"\x89MCAP0\r\n"
MESSAGE_HEADER = struct.Struct("<BQHIQQ")
CHUNK_HEADER = struct.Struct("<BQQQQI")
_MESSAGE_FIELDS_SIZE = 22
#: The largest block of a zstd frame.
_BLOCK_BYTES = 128 << 10
Buffer = bytes | bytearray | memoryview


def record_bytes(record: McapRecord) -> bytes:
    """One record as it stands in a file."""
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())


@dataclass(frozen=True)
class PackedChunk:
    """A chunk ready to be written. indexes: (log time, offset) of every message in it, by channel."""

    compression: str
    data: bytes
    raw_size: int
    crc: int
    start_ns: int
    end_ns: int
    indexes: Mapping[int, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class _Written:
    """A chunk in the file: where it starts, the running CRC before it, and its line of the summary."""

    offset: int
    crc_before: int
    index: ChunkIndex
    counts: dict[int, int]


class ChunkBuilder:
    """A chunk that fills. since_s: time.monotonic() when it was begun; raw_size: bytes in it before compression.

    Messages are kept as they are until the chunk is packed all at once: each call into zlib or zstd gives up the
    interpreter's lock, and to get it back from a busy tracker takes longer than the call.
    """

    def __init__(self) -> None:
        self.since_s = time.monotonic()
        self.raw_size = 0
        self._parts: list[Buffer] = []
        self._indexes: dict[int, list[tuple[int, int]]] = {}

    def add(self, topic: Topic, log_ns: int, publish_ns: int, sequence: int, parts: Sequence[Buffer]) -> None:
        """Append a message, the concatenation of parts. A channel's record goes before its first message, so that the
        chunk can be read when all before it is lost."""
        if topic.id not in self._indexes:
            self._indexes[topic.id] = []
            self._add(record_bytes(channel_record(topic)))
        self._indexes[topic.id].append((log_ns, self.raw_size))
        size = sum(len(part) for part in parts)
        head = (Opcode.MESSAGE, _MESSAGE_FIELDS_SIZE + size, topic.id, sequence & 0xFFFFFFFF, log_ns, publish_ns)
        self._add(MESSAGE_HEADER.pack(*head))
        for part in parts:
            self._add(part)

    def _add(self, part: Buffer) -> None:
        self._parts.append(part)
        self.raw_size += len(part)

    def pack(self, level: Level) -> PackedChunk:
        """The whole chunk at a level of zstd."""
        raw = b"".join(self._parts)
        times = [log_ns for entries in self._indexes.values() for log_ns, _ in entries]
        data = stored(raw) if level is None else zstandard.ZstdCompressor(level=level).compress(raw)
        return PackedChunk("zstd", data, len(raw), zlib.crc32(raw), min(times), max(times), self._indexes)


def stored(raw: bytes) -> bytes:
    """A zstd frame (RFC 8878) that holds the data as it is, in blocks of type raw: no work to make or to read.

    MCAP could hold the chunk without compression, but a damaged file is searched for the word zstd.
    """
    view = memoryview(raw)
    # One segment, a size of four bytes.
    pieces: list[Buffer] = [b"\x28\xb5\x2f\xfd\xa0", struct.pack("<I", len(raw))]
    for at in range(0, len(raw), _BLOCK_BYTES):
        block = view[at : at + _BLOCK_BYTES]
        last = at + _BLOCK_BYTES >= len(raw)
        pieces += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(pieces)


def channel_record(topic: Topic) -> Channel:
    """The record that says what a channel carries; the same wherever it stands."""
    return Channel(
        id=topic.id, topic=topic.name, message_encoding=topic.message_encoding, metadata={}, schema_id=topic.id
    )


class Container:
    """An MCAP file under construction, with every channel that a take may have.

    file: opened for writing in binary, unbuffered, at its start. Whatever write fails is undone, so that the file ends
    with a whole record, and the OSError comes out. counts: messages in the file, by channel.
    """

    def __init__(self, file: BinaryIO, library: str, metadata: Mapping[str, Mapping[str, str]]) -> None:
        self._file = file
        self._crc = 0
        self.size = 0
        self._chunks: list[_Written] = []
        self.counts: Counter[int] = Counter()
        self._metadata: list[MetadataIndex] = []
        self._records = (
            [
                Schema(id=topic.id, data=topic.schema, encoding=topic.schema_encoding, name=topic.schema_name)
                for topic in TOPICS
            ],
            [channel_record(topic) for topic in TOPICS],
        )
        head = [MAGIC, record_bytes(Header(profile="", library=library))]
        head += [record_bytes(record) for group in self._records for record in group]
        offset = sum(map(len, head))
        for name, fields in metadata.items():
            head.append(record_bytes(Metadata(name=name, metadata=dict(fields))))
            self._metadata.append(MetadataIndex(offset=offset, length=len(head[-1]), name=name))
            offset += len(head[-1])
        self._append(b"".join(head))

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                # A file on a disk that fills up takes a part first and refuses the rest.
                view = view[self._file.write(view) :]
        except OSError:
            self._cut(self.size)
            raise
        self._crc = zlib.crc32(data, self._crc)
        self.size += len(data)

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)
        self._file.seek(size)

    def add_chunk(self, chunk: PackedChunk) -> None:
        """Write a chunk and its message indexes. OSError: nothing of it is in the file."""
        name = chunk.compression.encode()
        body_size = CHUNK_HEADER.size - 9 + 4 + len(name) + 8 + len(chunk.data)
        head = CHUNK_HEADER.pack(Opcode.CHUNK, body_size, chunk.start_ns, chunk.end_ns, chunk.raw_size, chunk.crc)
        pieces = [head, struct.pack("<I", len(name)), name, struct.pack("<Q", len(chunk.data)), chunk.data]
        length = sum(map(len, pieces))
        place, offsets = self.size + length, {}
        for channel, entries in chunk.indexes.items():
            offsets[channel] = place
            pieces.append(record_bytes(MessageIndex(channel, list(entries))))
            place += len(pieces[-1])
        index = ChunkIndex(
            chunk_length=length, chunk_start_offset=self.size, compression=chunk.compression,
            compressed_size=len(chunk.data), message_end_time=chunk.end_ns,
            message_index_length=place - self.size - length, message_index_offsets=offsets,
            message_start_time=chunk.start_ns, uncompressed_size=chunk.raw_size,
        )  # fmt: skip
        counts = {channel: len(entries) for channel, entries in chunk.indexes.items()}
        written = _Written(self.size, self._crc, index, counts)
        self._append(b"".join(pieces))
        self._chunks.append(written)
        self.counts.update(counts)

    def drop_last_chunk(self) -> bool:
        """Cut the last chunk off, which makes room for the summary on a full disk; False when there is none."""
        if not self._chunks:
            return False
        last = self._chunks.pop()
        self._cut(last.offset)
        self.size, self._crc = last.offset, last.crc_before
        self.counts.subtract(last.counts)
        return True

    @property
    def last_ns(self) -> int:
        """The latest log time in the file."""
        return max((chunk.index.message_end_time for chunk in self._chunks), default=0)

    def finish(self) -> None:
        """Write the summary and the end. OSError: nothing of it is in the file, and it may be tried again."""
        end = record_bytes(DataEnd(self._crc))
        start = self.size + len(end)
        groups: list[Sequence[McapRecord]] = [
            *self._records,
            [self._statistics()],
            [chunk.index for chunk in self._chunks],
            self._metadata,
        ]
        pieces, offsets, place = [], [], start
        for group in groups:
            encoded = b"".join(record_bytes(record) for record in group)
            if encoded:
                opcode = encoded[0]
                offsets.append(SummaryOffset(group_opcode=opcode, group_start=place, group_length=len(encoded)))
            pieces.append(encoded)
            place += len(encoded)
        pieces += [record_bytes(offset) for offset in offsets]
        summary = b"".join(pieces)
        # The CRC also covers the footer up to the CRC itself.
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, place)
        footer = Footer(start, place, zlib.crc32(head, zlib.crc32(summary)))
        self._append(b"".join((end, summary, record_bytes(footer), MAGIC)))

    def _statistics(self) -> Statistics:
        counts = +self.counts
        return Statistics(
            attachment_count=0, channel_count=len(TOPICS), channel_message_counts=dict(counts),
            chunk_count=len(self._chunks), message_count=sum(counts.values()),
            message_end_time=self.last_ns,
            message_start_time=min((chunk.index.message_start_time for chunk in self._chunks), default=0),
            metadata_count=len(self._metadata), schema_count=len(TOPICS),
        )  # fmt: skip
