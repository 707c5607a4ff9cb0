"""Reading a take: frames one by one, poses at once as arrays, and what is known of it; whatever state it is in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import BadRecording
from engine.sensors.sequence_folder import INDEX_NAME
from engine.takes import messages, schemas
from engine.takes.chunks import ChunkDamaged, Place, RawMessage, unpack
from engine.takes.facts import Receipt, TakeInfo
from engine.takes.frames import Slot, TakenFrame, slots_of
from engine.takes.layout import Layout, is_sum_right, read_layout
from engine.takes.lock import is_locked
from engine.takes.poses import PoseTable, pose_table
from engine.takes.words import counted

#: Unpacked chunks that are kept.
_KEPT_CHUNKS = 2
#: Frames of a take, at most: a month at 90 frames a second.
_MOST_FRAMES = 1 << 28
_KNOWN_TOPICS = {topic.name for topic in schemas.TOPICS}
_IMAGE_TOPICS = (schemas.DEPTH.name, schemas.CALIBRATION.name, schemas.FRAME.name, schemas.COLOR.name)


@dataclass(frozen=True)
class TakeEvent:
    """Something that happened while recording; time_ns as above."""

    time_ns: int
    kind: str
    details: Mapping[str, Any]


def _folder_words(path: Path) -> str:
    if (path / INDEX_NAME).is_file():
        return f"{path} is a sequence folder, no take: `convert {path} --out NAME.mcap` makes one of it"
    return f"{path} is a folder: give a take, a file ending in .mcap"


class Take:
    """An open take. Frames are read when asked for; memory stays bounded whatever the file says.

    damage: one line for each thing that is wrong with the file, growing as more of it is read. complete: it was closed
    and nothing is wrong so far. recording: another program is writing it now.
    """

    def __init__(self, path: str | Path) -> None:
        """Open it. Raises BadRecording when the file is missing, or is no take at all."""
        self.path = Path(path)
        self._file = self._opened()
        try:
            self.recording = is_locked(self._file)
            self.size = self._file.seek(0, 2)
            self._layout = read_layout(self._file, self.size, self.path)
            self._note_state()
            self._index()
            self.info = self._read_info()
        except OSError as error:
            self._file.close()
            raise BadRecording(f"{self.path} cannot be read: {error.strerror}") from error
        except BaseException:
            self._file.close()
            raise

    def _opened(self) -> BinaryIO:
        try:
            if self.path.is_dir():
                raise BadRecording(_folder_words(self.path))
            if not self.path.is_file():
                raise BadRecording(f"{self.path} does not exist, or is no file: give a take, a file ending in .mcap")
            return self.path.open("rb")
        except OSError as error:
            raise BadRecording(f"{self.path} cannot be read: {error.strerror}") from error

    def _note_state(self) -> None:
        self.damage = self._layout.damage
        if self.recording:
            self.damage[:] = ["it is being recorded now: this is what there is so far"]

    def _index(self) -> None:
        """Which frames are in which chunk, without unpacking any whose own index can be read."""
        self._cache: OrderedDict[int, list[Slot]] = OrderedDict()
        self._bulk: list[Place] = []
        self._light: list[Place] = []
        self._others: list[Place] = []
        #: Frames that could not be read: how many from which one on.
        self._lost: dict[int, int] = {}
        self._tried: set[int] = set()
        counts, times = [], []
        for place in self._layout.places:
            names = self._channels(place)
            if names is None or not names:
                continue
            if not any(name in _IMAGE_TOPICS for name in names):
                self._light.append(place)
            elif schemas.DEPTH.name in names:
                self._bulk.append(place)
                counts.append(len(names[schemas.DEPTH.name]))
                times.append(names[schemas.DEPTH.name])
            else:
                self._others.append(place)
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.frame_count = int(self._starts[-1])
        if self.frame_count > _MOST_FRAMES:
            raise BadRecording(f"{self.path} says that it has {self.frame_count} frames: its index is damaged")
        #: (N,) int64: when each frame arrived, nanoseconds since 1970 by the host's clock.
        self.times_ns = np.concatenate([np.zeros(0, np.int64), *(part.astype(np.int64) for part in times)])

    def _channels(self, place: Place) -> dict[str, NDArray[np.uint64]] | None:
        """The log times of each channel's messages in a chunk; None when it cannot be read."""
        topics = self._layout.topics
        if place.channels is not None and all(channel in topics for channel in place.channels):
            return {topics[channel]: times for channel, times in place.channels.items()}
        try:
            found: dict[str, list[int]] = {}
            for message in unpack(self._file, place, topics):
                found.setdefault(message.topic, []).append(message.log_ns)
        except ChunkDamaged as error:
            self.note(error)
            return None
        return {topic: np.array(times, np.uint64) for topic, times in found.items()}

    def _read_info(self) -> TakeInfo:
        source = self._layout.metadata.get("lumbrical.take")
        if source is not None:
            return TakeInfo.from_metadata(source, self.path)
        if not self._bulk and not self._light:
            raise BadRecording(f"{self.path} holds no take: nothing of it can be read")
        if not _KNOWN_TOPICS & set(self._layout.topics.values()):
            raise BadRecording(f"{self.path} holds no take: it is an MCAP file of another program")
        self.note("what it says of itself (user, notes, sensor) is lost")
        return TakeInfo(created="", software="")

    def note(self, problem: object) -> None:
        """Add a line to damage, once."""
        if str(problem) not in self.damage:
            self.damage.append(str(problem))

    @property
    def complete(self) -> bool:
        return self._layout.complete and not self.damage

    @property
    def duration_s(self) -> float:
        """From the first frame's arrival to the last one's."""
        return float(self.times_ns[-1] - self.times_ns[0]) / 1e9 if self.frame_count > 1 else 0.0

    @property
    def fps(self) -> float:
        """Frames a second: what the source declared, else the median of what came; 0 when neither is known."""
        if self.info.fps > 0 or self.frame_count < 2:
            return self.info.fps
        gap = float(np.median(np.diff(self.times_ns)))
        return min(1000.0, 1e9 / gap) if gap > 0 else 0.0

    def frame(self, index: int, color: bool = True) -> TakenFrame:
        """Frame `index`, from 0. Raises ChunkDamaged when its part of the file is, IndexError when there is none."""
        if not 0 <= index < self.frame_count:
            raise IndexError(f"{self.path} has frames 0 to {self.frame_count - 1}, not {index}")
        part = self._part(index)
        slots = self._slots(part)
        place = index - int(self._starts[part])
        if place >= len(slots):
            missing = ChunkDamaged(f"the chunk at byte {self._bulk[part].offset} has fewer frames than its index says")
            self.note(missing)
            self._lost[index] = 1
            raise missing
        try:
            return slots[place].decode(index, color)
        except BadRecording as error:
            self.note(error)
            self._lost[index] = 1
            raise ChunkDamaged(f"frame {index} is damaged: {error}") from error

    @property
    def readable_count(self) -> int:
        """Frames less those that could not be read so far; certain after verify(), or once all were asked for."""
        return self.frame_count - sum(self._lost.values())

    def frames_in_words(self) -> str:
        """How many frames are there, or can be read, as far as that is known."""
        whole, readable = self.frame_count, self.readable_count
        if readable == whole:
            return f"{counted(whole, 'frame')} {'is' if whole == 1 else 'are'} there"
        if len(self._tried) < len(self._bulk):
            return f"of {counted(whole, 'frame')}, {whole - readable} cannot be read, as far as they were tried"
        return f"{readable} of {counted(whole, 'frame')} can be read"

    def next_after_damage(self, index: int) -> int:
        """Where to go on after frame `index` could not be read: behind its chunk, or the next frame where only the
        frame itself is damaged."""
        part = self._part(index)
        if index - int(self._starts[part]) < len(self._cache.get(part, ())):
            return index + 1
        return int(self._starts[part + 1])

    def _part(self, index: int) -> int:
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def frames(self, color: bool = True) -> Iterator[TakenFrame]:
        """All frames that can be read, in order; the others are noted in damage."""
        index = 0
        while index < self.frame_count:
            try:
                taken = self.frame(index, color)
            except ChunkDamaged:
                index = self.next_after_damage(index)
                continue
            yield taken
            index += 1

    def _slots(self, part: int) -> list[Slot]:
        if part in self._cache:
            self._cache.move_to_end(part)
            return self._cache[part]
        self._tried.add(part)
        try:
            found = unpack(self._file, self._bulk[part], self._layout.topics)
        except ChunkDamaged as error:
            first, count = int(self._starts[part]), int(self._starts[part + 1] - self._starts[part])
            self._lost[first] = count
            self.note(f"{error}: {counted(count, 'frame')} {'is' if count == 1 else 'are'} lost")
            raise
        self._cache[part] = slots_of(found)
        if len(self._cache) > _KEPT_CHUNKS:
            self._cache.popitem(last=False)
        return self._cache[part]

    def _light_messages(self, *topics: str) -> Iterator[RawMessage]:
        for place in self._light:
            if place.channels is not None and not any(
                self._layout.topics.get(channel) in topics for channel in place.channels
            ):
                continue
            try:
                found = unpack(self._file, place, self._layout.topics)
            except ChunkDamaged as error:
                self.note(f"{error}: poses or events are lost")
                continue
            yield from (message for message in found if message.topic in topics)

    def poses(self) -> PoseTable:
        """Everything that was tracked, as arrays; images are not unpacked for it."""
        return pose_table(self._light_messages(schemas.POSE.name), self.times_ns, self.note)

    def events(self) -> tuple[TakeEvent, ...]:
        """Adaptation events and whatever else was noted, in order."""
        found = []
        for message in self._light_messages(schemas.EVENT.name):
            try:
                fields = messages.decode_json(message.data)
            except messages.BadMessage as error:
                self.note(error)
                continue
            details = fields.get("details")
            kind = messages.text(fields, "kind")
            found.append(TakeEvent(message.log_ns, kind, details if isinstance(details, dict) else {}))
        return tuple(found)

    def receipt(self) -> Receipt:
        """The receipt; of a take that was not closed what can be told: what is in it, and the last counts of drops."""
        last = None
        for message in self._light_messages(schemas.RECEIPT.name, schemas.DROPS.name):
            last = message if last is None or message.topic == schemas.RECEIPT.name else last
            if message.topic == last.topic:
                last = message
        try:
            if last is not None and last.topic == schemas.RECEIPT.name:
                return messages.decode_receipt(last.data)
            counts = messages.decode_json(last.data) if last is not None else {}
            dropped = messages.counts(counts, "dropped")
            gaps = messages.whole(counts, "camera_gaps")
        except messages.BadMessage as error:
            self.note(error)
            dropped, gaps = {}, 0
        return Receipt(
            reason="being recorded" if self.recording else "cut off",
            frames_received=self.frame_count + sum(dropped.values()),
            frames_written=self.frame_count,
            dropped=dropped,
            camera_gaps=gaps,
            poses_written=self._count(schemas.POSE.name),
            duration_s=self.duration_s,
            size_bytes=self.size,
        )

    def _count(self, topic: str) -> int:
        channels = [self._channels(place) or {} for place in self._light]
        return sum(len(names[topic]) for names in channels if topic in names)

    def verify(self) -> list[str]:
        """Read every message, compare every check sum, that of the whole file included, and return its damage."""
        for place in (*self._light, *self._others):
            try:
                unpack(self._file, place, self._layout.topics)
            except ChunkDamaged as error:
                self.note(f"{error}: poses or events are lost")
        for _ in self.frames():
            continue
        if self.complete and not is_sum_right(self._file, self.size):
            self.note("bytes between its frames and poses are damaged: the check sum of the whole file is wrong")
        return self.damage

    @property
    def layout(self) -> Layout:
        """Where its chunks lie, for recovery."""
        return self._layout

    @property
    def file(self) -> BinaryIO:
        """The open file, for recovery."""
        return self._file

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
