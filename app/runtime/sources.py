"""What can be tracked: cameras that are attached, recordings, the demo take."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from app.config import DEMO_SOURCE
from app.runtime.interfaces import FrameSource
from engine.sensors.playback import Playback
from engine.sensors.sequence_folder import SequenceFolder
from engine.types import LumbricalError


@dataclass(frozen=True)
class SourceChoice:
    """A source as the picker shows it; spec is what open_source takes."""

    spec: str
    label: str
    is_live: bool


def demo_choice() -> SourceChoice:
    """The demo take."""
    return SourceChoice(str(DEMO_SOURCE), "Demo take", is_live=False)


def is_demo(spec: str) -> bool:
    """Whether the spec names the demo take."""
    return spec == str(DEMO_SOURCE)


def recording_choice(path: Path) -> SourceChoice:
    """A recording, by the last part of its path."""
    return SourceChoice(str(path), path.name or str(path), is_live=False)


def open_source(spec: str) -> FrameSource:
    """The source that spec names, not opened yet; recordings play in real time and start over at their end."""
    return Playback(SequenceFolder(Path(spec)), loop=True)


def open_recording(spec: str) -> FrameSource:
    """A recording to be read as fast as possible, once, not opened yet. LumbricalError when spec names a camera."""
    source = open_source(spec)
    if source.is_live or not isinstance(source, Playback):
        raise LumbricalError(f"{spec} is a camera; name a recording")
    source.real_time, source.loop = False, False
    return source


def check_source(spec: str) -> None:
    """Raise LumbricalError now, in words, if spec names a recording that cannot be played or no source at all."""
    source = open_source(spec)
    if not source.is_live:
        source.open()
        source.close()


def choose_source(wanted: str | None, cameras: list[SourceChoice]) -> str:
    """What is asked for, else the first camera, else the demo take."""
    if wanted is not None:
        return wanted
    return cameras[0].spec if cameras else str(DEMO_SOURCE)


def list_cameras() -> list[SourceChoice]:
    """The cameras attached now. Asks every driver, which can take a second."""
    return []


class CameraSearch:
    """Lists cameras on a thread of its own, because drivers take their time; one search at a time."""

    def __init__(self) -> None:
        self._found: queue.SimpleQueue[list[SourceChoice] | str] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a search is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin a search unless one is under way."""
        if not self.busy:
            self._thread = threading.Thread(target=self._search, name="lumbrical-cameras", daemon=True)
            self._thread.start()

    def result(self) -> list[SourceChoice] | str | None:
        """The cameras found, or one line on why the search failed; None when there is nothing new."""
        return None if self._found.empty() else self._found.get()

    def _search(self) -> None:
        try:
            self._found.put(list_cameras())
        except LumbricalError as error:
            self._found.put(str(error))
