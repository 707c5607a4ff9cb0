"""What is known of a take beside its frames: who, with what, and its receipt."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.sensors.protocol import BadRecording
from engine.takes.schemas import FORMAT
from engine.takes.words import counted
from engine.types import LumbricalError, Side
from engine.version import VERSION

#: Longer texts are not names or notes.
MAX_TEXT = 20_000
_MAX_PROFILE_BYTES = 1 << 20


class TakeError(LumbricalError):
    """A take cannot be written. reason: why in few words, as receipts count the frames that were lost by it."""

    reason = "it could not be written"


class DiskFull(TakeError):
    """There is no room for more; what was written so far can be closed and played."""

    reason = "the disk is nearly full"


class TakeExists(TakeError):
    """Another take has that name already."""


class ImageChanged(TakeError):
    """Frames came from another camera, or of another resolution, than the take's first one."""

    reason = "another camera or resolution"


def check_text(text: str, name: str) -> None:
    """Raise TakeError where a text cannot be written down: one that came of bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TakeError(f"{name} has characters that are none (it is no UTF-8): type it again") from error


def utc_now() -> str:
    """The present moment as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class TakeInfo:
    """What a take says of itself from its start.

    fps is 0 and side None where they are not known; profile: the user's calibrated hand, and settings: the tracker's
    (side, or None for either; smoothing, 0 to 1; method; runner), both as JSON can hold them;
    hand_only: everything but the hand was zeroed; created: UTC, ISO 8601.
    """

    sensor: str = ""
    fps: float = 0.0
    side: Side | None = None
    name: str = ""
    notes: str = ""
    user: str = ""
    profile: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
    weights_version: str = ""
    hand_only: bool = False
    software: str = f"Lumbrical {VERSION}"
    created: str = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        for name in ("sensor", "name", "notes", "user", "weights_version"):
            if len(getattr(self, name)) > MAX_TEXT:
                raise TakeError(f"{name} is longer than {MAX_TEXT} characters: shorten it")
            check_text(getattr(self, name), name)
        if not (math.isfinite(self.fps) and 0 <= self.fps <= 1000):
            raise TakeError(f"the frame rate must be from 0 to 1000, not {self.fps}")

    def as_metadata(self) -> dict[str, str]:
        """As the strings of a metadata record."""
        return {
            "format": FORMAT, "software": self.software, "created": self.created, "sensor": self.sensor,
            "fps": repr(float(self.fps)), "side": self.side.value if self.side else "unknown", "name": self.name,
            "notes": self.notes, "user": self.user,
            "profile": _as_json(self.profile), "settings": _as_json(self.settings),
            "weights_version": self.weights_version, "hand_only": "yes" if self.hand_only else "no",
        }  # fmt: skip

    @staticmethod
    def from_metadata(source: Mapping[str, str], path: object) -> TakeInfo:
        """Read it back. Raises BadRecording for another format; single damaged fields become unknown."""
        found = source.get("format", "")
        if found != FORMAT:
            raise BadRecording(
                f"{path} is a take of another version ({found!r:.40}, this program reads {FORMAT}): use the version of "
                "Lumbrical that recorded it, or a newer one"
            )
        texts = {name: source.get(name, "")[:MAX_TEXT] for name in ("sensor", "name", "notes", "user", "created")}
        return TakeInfo(
            fps=_rate(source.get("fps", "")),
            side=Side(source["side"]) if source.get("side") in ("right", "left") else None,
            profile=_from_json(source.get("profile", "")),
            settings=_from_json(source.get("settings", "")),
            weights_version=source.get("weights_version", "")[:MAX_TEXT],
            hand_only=source.get("hand_only") == "yes",
            software=source.get("software", "")[:MAX_TEXT],
            **texts,
        )


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1000 else 0.0


def _as_json(value: Mapping[str, Any] | None) -> str:
    text = json.dumps(dict(value)) if value is not None else ""
    if len(text) > _MAX_PROFILE_BYTES:
        raise TakeError("the user's profile is over 1 MB: it is not a profile")
    return text


def _from_json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if 0 < len(text) <= _MAX_PROFILE_BYTES else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class Receipt:
    """What came of a recording. frames_received = frames_written + the sum of dropped, which counts by reason.

    camera_gaps: frames that are missing in the camera's numbering, so that the recorder never received them.
    size_bytes: the file up to its receipt; full_size_bytes: for a hand-only take an estimate of what it would be with
    whole images, else 0.
    """

    reason: str
    frames_received: int
    frames_written: int
    dropped: Mapping[str, int]
    camera_gaps: int = 0
    poses_written: int = 0
    poses_dropped: int = 0
    duration_s: float = 0.0
    size_bytes: int = 0
    full_size_bytes: int = 0
    weights_versions: tuple[str, ...] = ()

    @property
    def frames_dropped(self) -> int:
        return sum(self.dropped.values())

    def sentence(self) -> str:
        """One line for people."""
        lost = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count)
        frames, poses = counted(self.frames_received, "frame"), counted(self.poses_written, "pose")
        words = f"{self.frames_written} of {frames} and {poses} written"
        words += f"; not written: {lost}" if lost else ""
        words += f"; {counted(self.poses_dropped, 'pose')} lost" if self.poses_dropped else ""
        words += f"; {self.camera_gaps} never came from the camera" if self.camera_gaps else ""
        return f"{words}; ended: {self.reason}"
