"""Recording in a live session: count-down, start, stop and what there is to show, all on a thread of its own."""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.methods import DEFAULT_METHOD, tracker_settings
from app.runtime.recorder import Recorder, RecorderState, RecorderStatus
from app.runtime.recording import RecorderConfig
from app.runtime.session import LiveSession
from app.runtime.worker import Worker
from app.take_notes import TakeNotes, write_notes
from app.take_profile import profile_of_user
from engine.runners.choose import FIRST_RUNNER
from engine.takes.facts import TakeInfo
from engine.types import DEFAULT_SMOOTHING, LumbricalError, Side

_POLL_S = 0.05
#: Longer than the recorder itself takes to give up on a disk.
_CLOSE_LIMIT_S = 60.0
SOURCE_CHANGED = "another source was opened: the take was closed before it"
_CLOSED = "The take was closed and can be played."
_NOT_CLOSED = "The take could not be closed, but what there is of it can be opened."


class RecordPhase(enum.Enum):
    """Where a recording is."""

    READY = "ready"
    COUNTDOWN = "count-down"
    RECORDING = "recording"
    CLOSING = "closing"


@dataclass(frozen=True)
class TakeWishes:
    """What the user wants of the next take. folder: where it goes; side, smoothing, method, runner: the tracker's;
    hand_only: zero everything but the hand; profile: the user's that is in use, else the one kept under that name is
    taken. countdown_s and preroll_s are 0 where they are switched off."""

    folder: Path
    name: str = ""
    notes: str = ""
    user: str = ""
    countdown_s: float = 0.0
    preroll_s: float = 0.0
    hand_only: bool = False
    side: Side | None = None
    smoothing: float = DEFAULT_SMOOTHING
    method: str = DEFAULT_METHOD
    runner: str = FIRST_RUNNER
    profile: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RecordView:
    """What there is to show. countdown_s: left of it; trouble: in words, why no take was begun, or why one ended;
    finished: takes that were closed so far; path: of the present or last one."""

    phase: RecordPhase = RecordPhase.READY
    countdown_s: float = 0.0
    status: RecorderStatus = field(default_factory=lambda: RecorderStatus(RecorderState.IDLE))
    trouble: str = ""
    finished: int = 0

    @property
    def path(self) -> Path | None:
        return self.status.path


class RecordControl(Worker):
    """Records the session's frames and results. No method waits for the disk; `view` says how things stand.

    Keeps the last seconds in memory while wishes.preroll_s is above 0, and forgets them with each change of source.
    """

    def __init__(self, session: LiveSession, wishes: TakeWishes, config: RecorderConfig | None = None) -> None:
        super().__init__("record control")
        self._session = session
        self._config = config or RecorderConfig()
        self._wishes = wishes
        self._recorder = self._new_recorder()
        self._view = RecordView()
        self._begun: TakeWishes | None = None
        self._deadline_s: float | None = None
        self._spec = session.capture.spec
        self._weights = ""
        self._ended_by_source = False
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._woken = threading.Event()
        self._sinks = (_Sink(self._put_frame), _Sink(self._put_result))
        session.capture.add_listener(self._sinks[0])
        session.tracking.add_listener(self._sinks[1])

    @property
    def view(self) -> RecordView:
        """How things stand, at most a twentieth of a second ago."""
        return self._view

    @property
    def active(self) -> bool:
        """Whether a take is counted down, recorded or closed."""
        return self._view.phase is not RecordPhase.READY or not self._commands.empty()

    def wish(self, wishes: TakeWishes) -> None:
        """What the next take is to be; name and notes are still taken up by one that is being recorded."""
        self._command(lambda: self._take_up(wishes))

    def toggle(self) -> None:
        """Begin a take, with its count-down, or end the present one."""
        self._command(lambda: self._begin() if self._view.phase is RecordPhase.READY else self._end())

    def end(self) -> None:
        """End the present take, or its count-down; nothing when there is none."""
        self._command(self._end)

    def note(self, kind: str, details: Mapping[str, Any]) -> None:
        """Put an event into the present take, if any."""
        self._recorder.put_event(kind, details)

    def step(self) -> None:
        """Obey, count down, look after the recorder."""
        self._woken.clear()
        if self._session.capture.spec != self._spec:
            self._spec = self._session.capture.spec
            self._part_with_source()
        while not self._commands.empty():
            self._commands.get()()
        if self._deadline_s is not None:
            left_s = self._deadline_s - time.monotonic()
            if left_s <= 0:
                self._deadline_s = None
                self._start()
            else:
                self._view = replace(self._view, countdown_s=left_s)
        self._look()
        self._woken.wait(_POLL_S)

    def tear_down(self) -> None:
        """Close the present take properly, whatever ends this thread."""
        self._session.capture.remove_listener(self._sinks[0])
        self._session.tracking.remove_listener(self._sinks[1])
        self._deadline_s = None
        if self._begun is not None:
            self._recorder.stop(_CLOSE_LIMIT_S)
            self._look()

    def wake_waiters(self) -> None:
        """End the pause of a step."""
        self._woken.set()

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        self._woken.set()

    def _new_recorder(self) -> Recorder:
        return Recorder(replace(self._config, preroll_s=self._wishes.preroll_s))

    def _take_up(self, wishes: TakeWishes) -> None:
        changed = wishes.preroll_s != self._wishes.preroll_s
        self._wishes = wishes
        if changed and self._begun is None:
            self._recorder = self._new_recorder()

    def _begin(self) -> None:
        if self._wishes.countdown_s > 0:
            self._deadline_s = time.monotonic() + self._wishes.countdown_s
            self._view = replace(
                self._view, phase=RecordPhase.COUNTDOWN, countdown_s=self._wishes.countdown_s, trouble=""
            )
        else:
            self._start()

    def _start(self) -> None:
        wishes = self._wishes
        try:
            self._recorder.start(wishes.folder, self._info(wishes), preroll=wishes.preroll_s > 0)
        except LumbricalError as error:
            self._view = replace(self._view, phase=RecordPhase.READY, countdown_s=0.0, trouble=str(error))
            return
        self._begun, self._ended_by_source = wishes, False
        self._view = replace(self._view, phase=RecordPhase.RECORDING, countdown_s=0.0, trouble="")

    def _info(self, wishes: TakeWishes) -> TakeInfo:
        opened = self._session.capture.opened
        return TakeInfo(
            sensor=opened.description if opened is not None else "",
            side=wishes.side,
            name=wishes.name,
            notes=wishes.notes,
            user=wishes.user,
            profile=wishes.profile or profile_of_user(wishes.user, wishes.side),
            settings=tracker_settings(wishes.side, wishes.smoothing, wishes.method, wishes.runner),
            weights_version=self._weights,
            hand_only=wishes.hand_only,
        )

    def _end(self) -> None:
        if self._deadline_s is not None:
            self._deadline_s = None
            self._view = replace(self._view, phase=RecordPhase.READY, countdown_s=0.0)
        self._recorder.request_stop()

    def _look(self) -> None:
        """Publish how the recorder stands; note the end of a take."""
        status = self._recorder.status()
        view = replace(self._view, status=status)
        if self._begun is not None:
            if status.state is RecorderState.IDLE:
                view = self._finished(view)
            elif status.state is RecorderState.CLOSING:
                view = replace(view, phase=RecordPhase.CLOSING)
        self._view = view

    def _finished(self, view: RecordView) -> RecordView:
        begun, self._begun = self._begun, None
        trouble = SOURCE_CHANGED if self._ended_by_source else ""
        if view.status.message:
            trouble = f"{view.status.message}. {_CLOSED if view.status.receipt is not None else _NOT_CLOSED}"
        wishes = self._wishes
        assert begun is not None
        if (wishes.name, wishes.notes) != (begun.name, begun.notes) and view.path is not None:
            # They were typed while it ran; its own head was written before.
            try:
                write_notes(view.path, TakeNotes(wishes.name, wishes.notes))
            except LumbricalError as error:
                trouble = trouble or str(error)
        if wishes.preroll_s != self._recorder.config.preroll_s:
            self._recorder = self._new_recorder()
        return replace(view, phase=RecordPhase.READY, trouble=trouble, finished=view.finished + 1)

    def _put_frame(self, captured: CapturedFrame) -> bool:
        return self._is_wanted(captured.epoch) and self._recorder.put_frame(captured)

    def _put_result(self, live: LiveResult) -> bool:
        self._weights = live.result.weights_version or self._weights
        return self._is_wanted(live.epoch) and self._recorder.put_result(live)

    def _is_wanted(self, epoch: int) -> bool:
        """Whether what comes is of the source that was asked for last, and not of one that is being left. The same
        camera, plugged in again, goes on with its take."""
        capture = self._session.capture
        opened = capture.opened
        if opened is None or opened.spec != capture.spec or capture.spec != self._spec:
            return False
        return epoch >= opened.epoch or self._begun is not None

    def _part_with_source(self) -> None:
        if self._begun is not None:
            self._ended_by_source = True
            self._recorder.request_stop()
            return
        # What is kept from before a start is of another source.
        self._recorder = self._new_recorder()


class _Sink:
    """A listener that hands on; the session's end does not end the recording."""

    def __init__(self, take: Callable[[Any], bool]) -> None:
        self._take = take

    def put(self, value: Any) -> bool:
        return self._take(value)

    def close(self) -> None:
        """What was begun here is ended here."""
