"""Writing a take: frames, poses and events in; a file that is readable at any moment, and in the end a receipt."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.takes import messages, schemas
from engine.takes.clock import LogClock
from engine.takes.container import Buffer, ChunkBuilder, Container, Scratch
from engine.takes.effort import Effort
from engine.takes.facts import DiskFull, ImageChanged, Receipt, TakeError, TakeExists, TakeInfo
from engine.takes.hand_only import SavedSize
from engine.takes.lock import lock_file
from engine.takes.names import move_without_replacing, part_path, publish
from engine.takes.whereabouts import is_deleted, write_again
from engine.types import DepthFrame, Intrinsics, TrackingResult

DISK_FULL = "the disk is full"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STOPPED = "stopped"


@dataclass(frozen=True)
class WriterConfig:
    """chunk_s and chunk_bytes: a chunk is written when it is this old or (unpacked) this large; what is in it is what a
    killed process loses. level: zstd's. min_free_bytes: recording ends when the disk has less left."""

    chunk_s: float = 0.25
    chunk_bytes: int = 4 << 20
    level: int = 1
    min_free_bytes: int = 256 << 20


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class TakeWriter:
    """Writes PATH's part file and names it PATH on close. Not thread-safe, except for sync().

    Log times are the host's wall clock: of a frame's arrival, or, with by_device_clock (for frames that do not come
    from a camera now), spaced as the device's clock says. frame.host_time_s must be time.monotonic()'s then.
    Raises TakeError when the file cannot be made. Counts frames: received = written + dropped by reason, see receipt.
    """

    def __init__(
        self,
        path: Path,
        info: TakeInfo,
        config: WriterConfig | None = None,
        *,
        by_device_clock: bool = False,
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        self.path = path
        self.info = info
        self._config = config or WriterConfig()
        self.effort = Effort(self._config.level)
        self._free_bytes = free_bytes
        self._clock = LogClock(by_device_clock)
        self._camera: tuple[Intrinsics, float] | None = None
        self._bulk_scratch, self._light_scratch = Scratch(), Scratch()
        self._bulk: ChunkBuilder | None = None
        self._light: ChunkBuilder | None = None
        #: When what comes next came in (time.monotonic()), where that is longer ago than now; see unwritten_since_s.
        self.came_in_s: float | None = None
        self._unwritten: dict[bool, float] = {}
        self._received = 0
        self._dropped: Counter[str] = Counter()
        self._poses = 0
        self._told = 0
        self.camera_gaps = 0
        self._weights: dict[str, None] = {}
        self._lost_by = ""
        self._saved = SavedSize(self._config.level)
        self.receipt: Receipt | None = None
        self._open()

    def _open(self) -> None:
        self.part = part_path(self.path)
        if self.path.exists() or self.part.exists():
            raise TakeExists(f"{self.path} exists already: choose another name; takes are never replaced")
        self._check_space()
        # Under a name of its own first, so that what is called a take has its head whenever this process ends.
        hidden = self.part.with_name(f".{self.part.name}.{os.urandom(4).hex()}")
        try:
            self._file = open(hidden, "xb", buffering=0)  # noqa: SIM115 - it stays open until close()
            try:
                lock_file(self._file)
                self._container = Container(self._file, self.info.software, {"lumbrical.take": self.info.as_metadata()})
                move_without_replacing(hidden, self.part)
            except BaseException:
                self._file.close()
                raise
            finally:
                hidden.unlink(missing_ok=True)
        except FileExistsError as error:
            raise TakeExists(f"{self.part} exists already: choose another name; takes are never replaced") from error
        except OSError as error:
            raise TakeError(f"{self.part} cannot be written: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._container.size

    @property
    def frames_written(self) -> int:
        """Frames in the file; those of the chunk in progress are not yet among them."""
        return self._container.counts[schemas.DEPTH.id]

    @property
    def unwritten_since_s(self) -> float | None:
        """When the oldest thing came in (time.monotonic()) that is not in the file yet: in the chunks in progress, or
        being written at this moment. None where there is none. For other threads, too."""
        return min(list(self._unwritten.values()), default=None)

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were received and not written, by reason."""
        return dict(self._dropped)

    @property
    def received(self) -> int:
        """Frames that were handed over, written or dropped."""
        return self._received

    def write_frame(self, frame: DepthFrame, epoch: int = 0, whole: DepthFrame | None = None) -> None:
        """Add a frame. whole: the image it was before all but the hand was zeroed, to tell the difference in size.

        Raises DiskFull when there is no room, TakeError when the file cannot be written or the image's size, unit or
        intrinsics changed; the frame is then counted as dropped.
        """
        self._received += 1
        camera = (frame.intrinsics, frame.depth_unit_mm)
        if camera != (self._camera or camera):
            self._dropped[ImageChanged.reason] += 1
            raise ImageChanged("the image's size, unit or intrinsics changed: this take is closed; start another one")
        self._camera = camera
        log_ns = self._clock.frame_ns(frame)
        publish_ns = max(0, round(frame.device_time_s * 1e9))
        parts = messages.depth_parts(frame, log_ns)
        add: list[tuple[schemas.Topic, tuple[Buffer, ...]]] = []
        if self._bulk is None:
            # With each chunk, so that it can be read when all others are lost.
            add.append((schemas.CALIBRATION, (messages.calibration_message(frame.intrinsics, log_ns),)))
        add.append((schemas.FRAME, (messages.frame_message(frame, log_ns, epoch),)))
        if frame.color is not None:
            add.append((schemas.COLOR, (messages.color_message(frame.color, log_ns),)))
        add.append((schemas.DEPTH, parts))
        for topic, pieces in add:
            self._add(topic, log_ns, publish_ns, frame.number, pieces)
        if whole is not None:
            self._saved.note(frame, whole)
        self.tick()

    def write_pose(self, result: TrackingResult, epoch: int = 0, latency_s: float | None = None) -> None:
        """Add what the tracker says of a frame, whether or not the frame itself is in the take. Raises as write_frame
        does."""
        self._poses += 1
        frame = result.frame
        log_ns = self._clock.known_ns(frame)
        if result.weights_version:
            self._weights[result.weights_version] = None
        publish_ns = max(0, round(frame.device_time_s * 1e9))
        pose = messages.pose_message(result, log_ns, epoch, latency_s)
        self._add(schemas.POSE, log_ns, publish_ns, frame.number, (pose,))
        if result.geometry is not None:
            joints = messages.joints_message(result.geometry.joints, log_ns)
            self._add(schemas.JOINTS, log_ns, publish_ns, frame.number, (joints,))
        self.tick()

    def write_event(self, kind: str, details: Mapping[str, Any]) -> None:
        """Add an event, such as a step of adaptation; details: what JSON can hold. Raises as write_frame does."""
        now_ns = self._clock.now_ns()
        event = {"timestamp": messages.timestamp(now_ns), "kind": kind, "details": dict(details)}
        self._add(schemas.EVENT, now_ns, now_ns, 0, (messages.to_json(event),))
        self.tick()

    def note_dropped(self, reason: str, count: int = 1) -> None:
        """Count frames that were received but will not be written."""
        self._received += count
        self._dropped[reason] += count

    def note_poses_dropped(self, count: int) -> None:
        """Count poses that were made but will not be written."""
        self._poses += count

    def tick(self, caught_up: bool = False) -> None:
        """Write what has waited long enough; to be called a few times a second when nothing else comes. caught_up:
        nothing waits behind it, so count from when it came in."""
        now_s = time.monotonic()
        late = caught_up and now_s - (self.unwritten_since_s or now_s) >= self._config.chunk_s
        bulk, light = (
            chunk is not None and (late or self._is_due(chunk, now_s)) for chunk in (self._bulk, self._light)
        )
        if bulk or light:
            self._write_chunks(bulk, light)
            self._check()

    def _is_due(self, chunk: ChunkBuilder, now_s: float) -> bool:
        return chunk.raw_size >= self._config.chunk_bytes or now_s - chunk.since_s >= self._config.chunk_s

    def flush(self) -> None:
        """Hand everything to the operating system, from where no end of this process can take it."""
        self._write_chunks()
        self._check()

    def sync(self) -> None:
        """Wait until all that was flushed is on the disk, from where no power cut can take it. For another thread."""
        if not self._file.closed:
            # A file that is closed at this very moment was synced by whoever closed it.
            os.fsync(self._file.fileno())

    def close(self, reason: str = STOPPED) -> Receipt:
        """End the file, give it its name and return the receipt.

        On a full disk the last chunks make room for the end and count as dropped. A file that was deleted is written
        again. Raises TakeError when not even that can be written; the part file then stays, and opens as any take that
        was cut off.
        """
        if self.receipt is not None:
            return self.receipt
        try:
            with_receipt = self._finish(reason)
            os.fsync(self._file.fileno())
            if is_deleted(self._file):
                write_again(self._file, self.part)
        except OSError as error:
            raise TakeError(f"{self.part} could not be closed ({error.strerror}), but can still be opened") from error
        finally:
            self._file.close()
        try:
            self.path = publish(self.part, self.path)
        except FileNotFoundError as error:
            raise TakeError(f"{self.part} is whole, but its folder was moved or renamed: look for it there") from error
        except OSError as error:
            raise TakeError(f"{self.part} is whole but cannot be renamed: {error.strerror}") from error
        self.receipt = with_receipt
        return with_receipt

    def _finish(self, reason: str) -> Receipt:
        with suppress(TakeError):  # it is noted in _lost_by
            self._write_chunks()
        while True:
            receipt = self._receipt(self._lost_by or reason)
            try:
                self._write_receipt(receipt)
                self._container.finish()
                return receipt
            except OSError as error:
                self._give_way(error)
                self._lost_by = self._lost_by or DISK_FULL

    def _give_way(self, error: OSError) -> None:
        """Make room for the end by the receipt's own chunk, if it is there, and the last one before it."""
        if self._container.counts[schemas.RECEIPT.id]:
            self._container.drop_last_chunk()
        if not self._container.drop_last_chunk():
            raise error

    def _receipt(self, reason: str) -> Receipt:
        written = self._container.counts
        frames = written[schemas.DEPTH.id]
        dropped = +self._dropped
        lost = self._received - frames - sum(dropped.values())
        if lost:
            dropped[self._lost_by or DISK_FULL] += lost
        return Receipt(
            reason=reason,
            frames_received=self._received,
            frames_written=frames,
            dropped=dict(dropped),
            camera_gaps=self.camera_gaps,
            poses_written=written[schemas.POSE.id],
            poses_dropped=self._poses - written[schemas.POSE.id],
            duration_s=self._clock.span_s,
            size_bytes=self.size,
            full_size_bytes=self._saved.whole_size(self.size, frames),
            weights_versions=tuple(self._weights),
        )

    def _write_receipt(self, receipt: Receipt) -> None:
        now_ns = self._clock.now_ns()
        chunk = ChunkBuilder()
        chunk.add(schemas.RECEIPT, now_ns, now_ns, 0, (messages.receipt_message(receipt, now_ns),))
        self._container.add_chunk(chunk.pack(self._config.level))

    def _add(
        self, topic: schemas.Topic, log_ns: int, publish_ns: int, sequence: int, parts: tuple[Buffer, ...]
    ) -> None:
        if topic.bulk:
            chunk = self._bulk = self._bulk or ChunkBuilder(self._bulk_scratch)
        else:
            chunk = self._light = self._light or ChunkBuilder(self._light_scratch)
        self._unwritten.setdefault(topic.bulk, chunk.since_s if self.came_in_s is None else self.came_in_s)
        chunk.add(topic, log_ns, publish_ns, sequence, parts)

    def _write_chunks(self, bulk: bool = True, light: bool = True) -> None:
        # What was dropped is told at once: the process may not live to write the next chunk.
        light = self._tell_drops() or light
        if bulk and self._bulk is not None:
            chunk, self._bulk = self._bulk, None
            self._write_chunk(chunk)
            self._unwritten.pop(True, None)
        if light and self._light is not None:
            chunk, self._light = self._light, None
            self._write_chunk(chunk)
            self._unwritten.pop(False, None)

    def _write_chunk(self, chunk: ChunkBuilder) -> None:
        level = self.effort.level()
        start_s = time.perf_counter()
        packed = chunk.pack(level)
        packed_s = time.perf_counter()
        try:
            self._container.add_chunk(packed)
            self.effort.note(level, packed.raw_size, packed.size, packed_s - start_s, time.perf_counter() - packed_s)
        except OSError as error:
            folder = self.part.absolute().parent
            self._lost_by = DISK_FULL if error.errno in _NO_ROOM else TakeError.reason
            if error.errno in _NO_ROOM:
                raise DiskFull(f"{folder} is full ({error.strerror}): make room or record elsewhere") from error
            raise TakeError(f"{self.part} cannot be written: {error.strerror}") from error

    def _tell_drops(self) -> bool:
        """Say how many frames were dropped, when that has changed: a take that is cut off has no receipt."""
        drops = sum(self._dropped.values()) + self.camera_gaps
        if drops == self._told:
            return False
        self._told = drops
        now_ns = self._clock.now_ns()
        fields = {
            "timestamp": messages.timestamp(now_ns), "frames_received": self._received,
            "dropped": dict(self._dropped), "camera_gaps": self.camera_gaps,
        }  # fmt: skip
        self._add(schemas.DROPS, now_ns, now_ns, 0, (messages.to_json(fields),))
        return True

    def _check(self) -> None:
        if is_deleted(self._file):
            raise TakeError(f"{self.part} was deleted while it was recorded: record elsewhere")
        self._check_space()

    def _check_space(self) -> None:
        folder = self.part.absolute().parent
        try:
            free = self._free_bytes(folder)
        except OSError as error:
            raise TakeError(f"{folder} cannot be used: {error.strerror}") from error
        if free < self._config.min_free_bytes:
            raise DiskFull(
                f"{folder} has {free >> 20} MB left, under the {self._config.min_free_bytes >> 20} MB that are kept "
                "free: make room or record elsewhere"
            )
