"""Recording what is captured and tracked, on a thread of its own; nothing that is lost is lost silently."""

from __future__ import annotations

import enum
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.record_queue import PreRoll, RecordedEvent
from app.runtime.recording import RecorderConfig, Recording
from app.runtime.session import LiveSession
from engine.takes.facts import Receipt, TakeError, TakeExists, TakeInfo
from engine.takes.names import take_path
from engine.takes.writer import TakeWriter

_DISK_LOOK_S = 1.0
_NAME_TRIES = 20


class RecorderState(enum.Enum):
    """What the recorder does, in the words the window shows."""

    IDLE = "idle"
    RECORDING = "recording"
    CLOSING = "closing"


@dataclass(frozen=True)
class RecorderStatus:
    """What there is to show while recording; of the last take when idle (path None: there was none yet).

    size_bytes of the file; disk_left_s: how long recording can go on at the rate so far, None when not yet known;
    dropped: frames by reason; backlog_s, backlog_bytes: how far writing lags behind; preroll_s: what would be taken
    along at a start; message: why the recording ended, when it was not stopped by its user; receipt: once it is closed.
    """

    state: RecorderState
    path: Path | None = None
    elapsed_s: float = 0.0
    size_bytes: int = 0
    disk_left_bytes: int | None = None
    disk_left_s: float | None = None
    frames_received: int = 0
    frames_written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    camera_gaps: int = 0
    backlog_s: float = 0.0
    backlog_bytes: int = 0
    preroll_s: float = 0.0
    message: str = ""
    receipt: Receipt | None = None


class Recorder:
    """Keeps the last seconds, and records from start() to stop(). All methods may be called from any thread.

    Give it what is captured and tracked by attach(), or by put_frame() and put_result(), which never wait.
    """

    def __init__(self, config: RecorderConfig | None = None) -> None:
        self.config = config or RecorderConfig()
        self._lock = threading.Lock()
        self._preroll = PreRoll(self.config.preroll_s, self.config.preroll_bytes)
        self._active: Recording | None = None
        self._disk: tuple[float, Path, int] | None = None

    def attach(self, session: LiveSession) -> None:
        """Get everything that the session captures and tracks from now on."""
        session.capture.add_listener(_Sink(self.put_frame))
        session.tracking.add_listener(_Sink(self.put_result))

    def put_frame(self, captured: CapturedFrame) -> bool:
        """A frame arrived. False when it was not taken while recording; it is counted then."""
        with self._lock:
            recording = self._recording()
            if recording is not None:
                return recording.put_frame(captured)
            self._preroll.add(captured)
            return True

    def put_result(self, live: LiveResult) -> bool:
        """A frame was tracked."""
        with self._lock:
            recording = self._recording()
            if recording is not None:
                return recording.put_result(live)
            self._preroll.add(live)
            return True

    def put_event(self, kind: str, details: Mapping[str, Any]) -> bool:
        """Note something in the take, such as a step of adaptation; False when nothing is being recorded."""
        with self._lock:
            recording = self._recording()
            return recording is not None and recording.queue.put(RecordedEvent(kind, details))

    def start(
        self, out: Path, info: TakeInfo, *, seconds: float | None = None, title: str | None = None, preroll: bool = True
    ) -> Path:
        """Begin a take in the folder `out`, or named so; returns the name that it will have.

        seconds: stop by itself after so long (the pre-roll not counted); title: part of the name, else info.name.
        Raises TakeError when one is being recorded or the file cannot be made; DiskFull when there is no room.
        """
        if self._active is not None and self._active.alive:
            raise TakeError("a take is being recorded already: stop it first")
        writer = self._writer(out, info, info.name if title is None else title)
        recording = Recording(writer, self.config, seconds)
        with self._lock:
            kept = self._preroll.take() if preroll else []
            self._preroll.clear()
            recording.begin(kept)
            self._active = recording
        return writer.path

    def _writer(self, out: Path, info: TakeInfo, title: str) -> TakeWriter:
        for _ in range(_NAME_TRIES):
            path = take_path(out, title)
            try:
                return TakeWriter(path, info, self.config.writer)
            except TakeExists:
                # Another recorder took the name at this moment; in a folder, there are others.
                if path == out:
                    raise
        raise TakeExists(f"{out}: too many recorders begin here at once; start again")

    def stop(self, timeout_s: float = 60.0) -> Receipt | None:
        """End the take, wait until all that waits is written, and return its receipt; None when there is no take or it
        could not be closed in time: see status().message."""
        recording = self._active
        if recording is None:
            return None
        recording.stop(timeout_s)
        return recording.receipt

    def request_stop(self) -> None:
        """End the take without waiting; status() tells when it is closed."""
        if self._active is not None:
            self._active.request_stop()

    @property
    def cpu_s(self) -> float:
        """Processor time that the present or last take's writing thread has used, seconds."""
        return self._active.cpu_s if self._active is not None else 0.0

    def status(self) -> RecorderStatus:
        """How the recording stands."""
        recording = self._active
        with self._lock:
            held_s = self._preroll.held_s
        if recording is None:
            return RecorderStatus(RecorderState.IDLE, preroll_s=held_s)
        size, elapsed_s = recording.writer.size, recording.elapsed_s
        left = self._disk_left(recording.writer.part.absolute().parent)
        rate = size / elapsed_s if elapsed_s > 1 else 0.0
        spare = max(0, left - self.config.writer.min_free_bytes) if left is not None else None
        return RecorderStatus(
            state=self._state(recording),
            path=recording.writer.path,
            elapsed_s=elapsed_s,
            size_bytes=size,
            disk_left_bytes=left,
            disk_left_s=spare / rate if spare is not None and rate > 0 else None,
            frames_received=recording.received,
            frames_written=recording.writer.frames_written,
            dropped=recording.dropped(),
            camera_gaps=recording.camera_gaps,
            backlog_s=recording.backlog_s(),
            backlog_bytes=recording.queue.waiting_bytes,
            preroll_s=held_s,
            message=recording.trouble or recording.message,
            receipt=recording.receipt,
        )

    def _recording(self) -> Recording | None:
        active = self._active
        return active if active is not None and not active.stopping else None

    @staticmethod
    def _state(recording: Recording) -> RecorderState:
        if not recording.alive:
            return RecorderState.IDLE
        return RecorderState.CLOSING if recording.stopping else RecorderState.RECORDING

    def _disk_left(self, folder: Path) -> int | None:
        now_s = time.monotonic()
        if self._disk is None or self._disk[1] != folder or now_s - self._disk[0] > _DISK_LOOK_S:
            try:
                self._disk = (now_s, folder, shutil.disk_usage(folder).free)
            except OSError:
                return None
        return self._disk[2]


class _Sink:
    """A listener of capture or tracking that hands on; whoever closes the session does not end the recording."""

    def __init__(self, take: Callable[[Any], bool]) -> None:
        self._take = take

    def put(self, value: Any) -> bool:
        return self._take(value)

    def close(self) -> None:
        """The recorder ends what it began itself."""
