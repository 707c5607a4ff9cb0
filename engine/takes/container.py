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

import numpy as np
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
from numpy.typing import NDArray

from engine.takes.effort import Level
from engine.takes.schemas import TOPICS, Topic

MAGIC = b"\x89MCAP0\r\n"
MESSAGE_HEADER = struct.Struct("<BQHIQQ")
CHUNK_HEADER = struct.Struct("<BQQQQI")
_MESSAGE_FIELDS_SIZE = 22
#: One call to the system writes so many pieces at most.
_MOST_PIECES = 1000
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
    """A chunk ready to be written: data in pieces. indexes: (log time, offset) of every message in it, by channel."""

    compression: str
    data: Sequence[Buffer]
    raw_size: int
    crc: int
    start_ns: int
    end_ns: int
    indexes: Mapping[int, Sequence[tuple[int, int]]]

    @property
    def size(self) -> int:
        """Bytes of data."""
        return sum(map(len, self.data))


@dataclass(frozen=True)
class _Written:
    """A chunk in the file: where it starts, the running CRC before it, and its line of the summary."""

    offset: int
    crc_before: int
    index: ChunkIndex
    counts: dict[int, int]


class Scratch:
    """Memory that chunks are put together in, one after the other: new memory each time would cost as much as packing,
    and while holding the interpreter's lock."""

    def __init__(self) -> None:
        self.bytes: NDArray[np.uint8] = np.empty(1 << 16, np.uint8)
        self._packers: dict[int, zstandard.ZstdCompressor] = {}

    def grow(self, size: int, kept: int) -> None:
        """Make it at least `size` large; its first `kept` bytes stay."""
        larger = np.empty(max(size, 2 * len(self.bytes)), np.uint8)
        larger[:kept] = self.bytes[:kept]
        self.bytes = larger

    def packer(self, level: int) -> zstandard.ZstdCompressor:
        """What packs at that level."""
        if level not in self._packers:
            self._packers[level] = zstandard.ZstdCompressor(level=level)
        return self._packers[level]


class ChunkBuilder:
    """A chunk that fills. since_s: time.monotonic() when it was begun; raw_size: bytes in it before compression.

    scratch: is used until the packed chunk is written, by this chunk alone. It is packed all at once: each call into
    zlib or zstd gives up the interpreter's lock, and to get it back from a busy tracker takes longer than the call.
    """

    def __init__(self, scratch: Scratch | None = None) -> None:
        self.since_s = time.monotonic()
        self.raw_size = 0
        self._scratch = scratch or Scratch()
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
        end = self.raw_size + len(part)
        if end > len(self._scratch.bytes):
            self._scratch.grow(end, self.raw_size)
        # Unlike bytes', numpy's copying of an image lets others run meanwhile.
        np.copyto(self._scratch.bytes[self.raw_size : end], np.frombuffer(part, np.uint8))
        self.raw_size = end

    def pack(self, level: Level) -> PackedChunk:
        """The whole chunk at a level of zstd."""
        raw = self._scratch.bytes.data[: self.raw_size]
        times = [log_ns for entries in self._indexes.values() for log_ns, _ in entries]
        data: list[Buffer] = stored(raw) if level is None else [self._scratch.packer(level).compress(raw)]
        return PackedChunk("zstd", data, len(raw), zlib.crc32(raw), min(times), max(times), self._indexes)


def stored(raw: memoryview) -> list[Buffer]:
    """The pieces of a zstd frame (RFC 8878) that holds the data as it is, in blocks of type raw: no work to make or to
    read.

    MCAP could hold the chunk without compression, but a damaged file is searched for the word zstd.
    """
    # One segment, a size of four bytes.
    pieces: list[Buffer] = [b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(raw))]
    for at in range(0, len(raw), _BLOCK_BYTES):
        block = raw[at : at + _BLOCK_BYTES]
        last = at + _BLOCK_BYTES >= len(raw)
        pieces += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return pieces


def _without(pieces: list[memoryview], size: int) -> list[memoryview]:
    """Pieces less their first `size` bytes."""
    for number, piece in enumerate(pieces):
        if size < len(piece):
            return [piece[size:], *pieces[number + 1 :]]
        size -= len(piece)
    return []


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
        self._append(head)

    def _append(self, pieces: Sequence[Buffer]) -> None:
        left = [memoryview(piece) for piece in pieces if len(piece)]
        try:
            while left:
                # A file on a disk that fills up takes a part first and refuses the rest.
                left = _without(left, self._write(left[:_MOST_PIECES]))
        except OSError:
            self._cut(self.size)
            raise
        for piece in pieces:
            self._crc = zlib.crc32(piece, self._crc)
            self.size += len(piece)

    def _write(self, pieces: list[memoryview]) -> int:
        """Write as much as goes, with one call where the system can; how many bytes that were."""
        if hasattr(os, "writev"):
            return os.writev(self._file.fileno(), pieces)
        return self._file.write(pieces[0])

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)
        self._file.seek(size)

    def add_chunk(self, chunk: PackedChunk) -> None:
        """Write a chunk and its message indexes. OSError: nothing of it is in the file."""
        name = chunk.compression.encode()
        body_size = CHUNK_HEADER.size - 9 + 4 + len(name) + 8 + chunk.size
        head = CHUNK_HEADER.pack(Opcode.CHUNK, body_size, chunk.start_ns, chunk.end_ns, chunk.raw_size, chunk.crc)
        pieces: list[Buffer] = [head + struct.pack("<I", len(name)) + name + struct.pack("<Q", chunk.size), *chunk.data]
        length = sum(map(len, pieces))
        place, offsets = self.size + length, {}
        for channel, entries in chunk.indexes.items():
            offsets[channel] = place
            pieces.append(record_bytes(MessageIndex(channel, list(entries))))
            place += len(pieces[-1])
        index = ChunkIndex(
            chunk_length=length, chunk_start_offset=self.size, compression=chunk.compression,
            compressed_size=chunk.size, message_end_time=chunk.end_ns,
            message_index_length=place - self.size - length, message_index_offsets=offsets,
            message_start_time=chunk.start_ns, uncompressed_size=chunk.raw_size,
        )  # fmt: skip
        counts = {channel: len(entries) for channel, entries in chunk.indexes.items()}
        written = _Written(self.size, self._crc, index, counts)
        self._append(pieces)
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
        self._append((end, summary, record_bytes(footer), MAGIC))

    def _statistics(self) -> Statistics:
        counts = +self.counts
        return Statistics(
            attachment_count=0, channel_count=len(TOPICS), channel_message_counts=dict(counts),
            chunk_count=len(self._chunks), message_count=sum(counts.values()),
            message_end_time=self.last_ns,
            message_start_time=min((chunk.index.message_start_time for chunk in self._chunks), default=0),
            metadata_count=len(self._metadata), schema_count=len(TOPICS),
        )  # fmt: skip
