"""What a list of takes says of one: its facts in a few words, and a small picture."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.take_notes import read_notes
from app.viewer.depth_picture import depth_in_colors, nearest_mm
from engine.sensors.protocol import BadRecording
from engine.takes.chunks import ChunkDamaged
from engine.takes.names import is_part
from engine.takes.reader import Take
from engine.types import LumbricalError, Side
from engine.whole_file import write_whole

#: (H, W, 3) uint8 RGB.
Picture = NDArray[np.uint8]
THUMBNAIL_SIZE = (160, 120)
#: Colours span this much depth behind the nearest hundredth of the pixels.
_SPAN_MM = 700.0
_MOST_PICTURE_BYTES = 1 << 20
_MOST_TRIES = 3


class TakeState(enum.Enum):
    """In what state a take is, in the words the list shows."""

    COMPLETE = "complete"
    RECORDING = "recording"
    RECOVERED = "recovered"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class TakeSummary:
    """name, notes: as changed later, where they were. state RECOVERED: it was cut off, or rewritten after that, and all
    that is there can be read; DAMAGED: something in it, or all of it, cannot: problem says what. side: the hand that
    was looked for, None for either. dropped: frames that were received and not written. full_size: bytes that a take of
    the hand only would have with whole images, 0 where it is none."""

    name: str
    notes: str
    user: str
    sensor: str
    created: datetime | None
    duration_s: float
    frames: int
    poses: int
    dropped: int
    side: Side | None
    hand_only: bool
    state: TakeState
    problem: str = ""
    full_size: int = 0

    @property
    def recording(self) -> bool:
        """Whether it is being recorded now."""
        return self.state is TakeState.RECORDING


def read_summary(path: Path, go_on: Callable[[], bool] | None = None) -> TakeSummary:
    """A take's summary; of a file that is no take, or cannot be read, one that says so. Raises nothing of its own.

    Damage within a frame shows only when it is read: with go_on, all of them are, for as long as it says so.
    """
    changed = read_notes(path)
    try:
        with Take(path) as take:
            if go_on is not None:
                _read_all(take, go_on)
            receipt = take.receipt()
            state = _state(take, receipt.reason)
            info = take.info
            return TakeSummary(
                name=changed.name if changed else info.name,
                notes=changed.notes if changed else info.notes,
                user=info.user,
                sensor=info.sensor,
                created=_moment(info.created, path),
                duration_s=take.duration_s,
                frames=take.frame_count,
                poses=receipt.poses_written,
                dropped=receipt.frames_dropped,
                side=info.side,
                hand_only=info.hand_only,
                state=state,
                problem="" if state is TakeState.COMPLETE else "; ".join(take.damage) or receipt.reason,
                full_size=receipt.full_size_bytes,
            )
    except (LumbricalError, OSError) as error:
        name, notes = (changed.name, changed.notes) if changed else ("", "")
        nothing = TakeSummary(
            name, notes, "", "", _moment("", path), 0.0, 0, 0, 0, None, False, TakeState.DAMAGED, str(error)
        )
        return nothing


def _read_all(take: Take, go_on: Callable[[], bool]) -> None:
    take.poses()
    for _ in take.frames():
        if not go_on():
            return


def _state(take: Take, reason: str) -> TakeState:
    if take.recording:
        return TakeState.RECORDING
    if take.complete:
        return TakeState.RECOVERED if reason.endswith("recovered") else TakeState.COMPLETE
    # A file that only lacks its end is as good as one that was closed: it says of itself that it was cut off.
    cut_off = is_part(take.path) or reason == "cut off"
    return TakeState.RECOVERED if cut_off and len(take.damage) <= 1 and take.frame_count else TakeState.DAMAGED


def _moment(text: str, path: Path) -> datetime | None:
    """When it was made, local time."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    except (OSError, ValueError, OverflowError):
        return None


def make_thumbnail(path: Path, folder: Path) -> Picture | None:
    """A picture of a take's middle frame, kept in `folder` for the next time; None where no frame can be read."""
    try:
        state = path.stat()
    except OSError:
        return None
    key = f"{path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
    kept = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.png"
    picture = _read_picture(kept)
    if picture is None:
        picture = _middle_frame(path)
        if picture is not None:
            _write_picture(kept, picture)
    return picture


def _read_picture(path: Path) -> Picture | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_PICTURE_BYTES)
    except OSError:
        return None
    width, height = THUMBNAIL_SIZE
    # The header's size is looked at first: a file that was tampered with may claim to be huge.
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[16:24] != width.to_bytes(4, "big") + height.to_bytes(4, "big"):
        return None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape != (height, width, 3):
        return None
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _write_picture(path: Path, picture: Picture) -> None:
    """Keep it, if that is possible; without it, it is made again the next time."""
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data.tobytes())
    except OSError:
        return


def _middle_frame(path: Path) -> Picture | None:
    try:
        with Take(path) as take:
            index = take.frame_count // 2
            for _ in range(_MOST_TRIES):
                if index >= take.frame_count:
                    return None
                try:
                    frame = take.frame(index, color=False).frame
                except ChunkDamaged:
                    index = take.next_after_damage(index)
                    continue
                return depth_picture(frame.depth, frame.depth_unit_mm)
    except (BadRecording, OSError):
        return None
    return None


def depth_picture(depth: NDArray[np.uint16], unit_mm: float) -> Picture:
    """A depth image (H, W) in colours, near is bright, fitted into THUMBNAIL_SIZE."""
    width, height = THUMBNAIL_SIZE
    scale = max(width / depth.shape[1], height / depth.shape[0])
    step = max(1, int(0.5 / scale))
    small = depth[::step, ::step]
    near_mm = nearest_mm(small, unit_mm) or 0.0
    colors = depth_in_colors(small, unit_mm, near_mm, _SPAN_MM)[:, :, ::-1]
    scale = max(width / colors.shape[1], height / colors.shape[0])
    size = max(width, round(colors.shape[1] * scale)), max(height, round(colors.shape[0] * scale))
    whole = cv2.resize(colors, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(whole[top : top + height, left : left + width])
