"""A clean take from one that was cut off or damaged; the damaged file is left as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.takes import messages, schemas
from engine.takes.chunks import ChunkDamaged, RawMessage, unpack
from engine.takes.container import ChunkBuilder, Container, Scratch
from engine.takes.facts import Receipt, TakeError
from engine.takes.names import SUFFIX, final_path, is_part, part_path, publish
from engine.takes.reader import Take

_LEVEL = 1
_TOPICS = {topic.name: topic for topic in schemas.TOPICS}


@dataclass(frozen=True)
class Recovery:
    """What recover() did: the new file, what is in it, and what was wrong with the old one."""

    path: Path
    receipt: Receipt
    damage: tuple[str, ...]


def recovered_path(path: Path) -> Path:
    """Where recover() writes when it is not told: wave.mcap for wave.part.mcap, else wave-recovered.mcap."""
    return final_path(path) if is_part(path) else path.with_name(f"{_stem(path)}-recovered.mcap")


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() == SUFFIX else path.name


def recover(path: str | Path, out: Path | None = None, progress: Callable[[float], None] | None = None) -> Recovery:
    """Write every chunk that can be read into a new take; progress gets the share that is done, 0 to 1.

    Raises BadRecording when the file is no take, TakeError when nothing can be recovered or the new file not written.
    """
    with Take(path) as take:
        target = recovered_path(take.path) if out is None else out
        if take.recording:
            raise TakeError(f"{take.path} is being recorded now: stop the recording first")
        if take.frame_count == 0 and not take.layout.places:
            raise TakeError(f"{take.path} holds no frames: there is nothing to recover")
        if target.exists() or (part_path(target).exists() and part_path(target) != take.path):
            raise TakeError(f"{target} exists already: choose another name with --out; takes are never replaced")
        # Beside a part file of the same name, the new one is built under another.
        work = part_path(target.with_name(f"{_stem(target)}.recovering.mcap"))
        try:
            receipt = _write(take, work, progress or (lambda _: None))
            return Recovery(publish(work, target), receipt, tuple(take.damage))
        except OSError as error:
            raise TakeError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            work.unlink(missing_ok=True)


def _write(take: Take, work: Path, progress: Callable[[float], None]) -> Receipt:
    with open(work, "xb", buffering=0) as file:
        container = Container(file, take.info.software, {"lumbrical.take": take.info.as_metadata()})
        places, scratch = take.layout.places, Scratch()
        closing: Receipt | None = None
        for done, place in enumerate(places):
            try:
                found = unpack(take.file, place, take.layout.topics)
            except ChunkDamaged as error:
                take.note(error)
                continue
            closing = _receipt_in(found) or closing
            _copy(container, scratch, found)
            progress((done + 1) / len(places))
        receipt = _receipt(take, container, closing)
        _add_receipt(container, receipt)
        container.finish()
        os.fsync(file.fileno())
        return receipt


def _copy(container: Container, scratch: Scratch, found: list[RawMessage]) -> None:
    """Packed anew, because a damaged file's own indexes and channels are not to be trusted."""
    builder = ChunkBuilder(scratch)
    known = [message for message in found if message.topic in _TOPICS and message.topic != schemas.RECEIPT.name]
    for message in known:
        topic = _TOPICS[message.topic]
        builder.add(topic, message.log_ns, message.publish_ns, message.sequence, (message.data,))
    if known:
        container.add_chunk(builder.pack(_LEVEL))


def _receipt_in(found: list[RawMessage]) -> Receipt | None:
    for message in found:
        if message.topic == schemas.RECEIPT.name:
            try:
                return messages.decode_receipt(message.data)
            except messages.BadMessage:
                return None
    return None


def _receipt(take: Take, container: Container, closing: Receipt | None) -> Receipt:
    """The old receipt where there is one; frames that were in it and are not in the new file count as damaged."""
    old = closing or take.receipt()
    frames = container.counts[schemas.DEPTH.id]
    lost = max(0, old.frames_received - sum(old.dropped.values()) - frames)
    dropped = dict(old.dropped) | ({"damaged in the file": lost} if lost else {})
    return Receipt(
        reason=f"{old.reason}; recovered",
        frames_received=frames + sum(dropped.values()),
        frames_written=frames,
        dropped=dropped,
        camera_gaps=old.camera_gaps,
        poses_written=container.counts[schemas.POSE.id],
        poses_dropped=old.poses_dropped + max(0, old.poses_written - container.counts[schemas.POSE.id]),
        duration_s=take.duration_s,
        size_bytes=container.size,
        full_size_bytes=old.full_size_bytes,
        weights_versions=old.weights_versions,
    )


def _add_receipt(container: Container, receipt: Receipt) -> None:
    now_ns = container.last_ns + 1
    builder = ChunkBuilder()
    builder.add(schemas.RECEIPT, now_ns, now_ns, 0, (messages.receipt_message(receipt, now_ns),))
    container.add_chunk(builder.pack(_LEVEL))
