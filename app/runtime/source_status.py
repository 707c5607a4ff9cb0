"""What there is to show of the source that is open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlaybackStatus:
    """Where a recording stands; position is the index of the frame shown last, -1 before the first. start, end: the
    frames between which it is repeated, once both are set."""

    position: int
    frame_count: int
    paused: bool
    ended: bool
    speed: float
    loop: bool
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class OpenedSource:
    """A source that was opened: its spec, what it is (the camera, for a recording of one), and its first epoch; frames
    of earlier ones came from another source."""

    spec: str
    description: str
    epoch: int
    is_live: bool
