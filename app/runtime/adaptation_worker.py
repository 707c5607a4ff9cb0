"""Adaptation beside a live session: hands samples to its process, watches the live residual, exchanges versions.

The tracking thread only drops every so-manieth result into a bounded queue. All else happens here, on a thread of its
own, and in the process, which is started when adaptation is first switched on. Whatever happens to the process,
tracking goes on.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from typing import Any

from app.runtime.adaptation_process import Died, GoBack, Said, WorkerSettings, live
from app.runtime.adaptation_tracker import MakeVersion
from app.runtime.drop_queue import DropQueue
from app.runtime.interfaces import LiveResult
from app.runtime.session import LiveSession
from app.runtime.tracking import went_on_with
from app.runtime.worker import Worker, WorkerState
from engine.adaptation.gate import LiveWatch
from engine.adaptation.samples import FrozenWatch, SamplePace, sample_of
from engine.adaptation.versions import VersionStore
from engine.types import LumbricalError, TrackingState

_WAITING = 4
_INBOX = 64
_WAIT_S = 0.1
_END_S = 1.0
_POINT_S = 1.0
_POINTS = 600
PROMOTED, ROLLED_BACK = "promoted", "rolled back"


@dataclass(frozen=True)
class AdaptationView:
    """How it stands. on: switched on. trouble: why it does not adapt though it is on. version: in use, 0 for none.
    note: the last decision in words. residuals: (time.monotonic(), mm), a point a second. marks: (time, PROMOTED or
    ROLLED_BACK). samples: handed over so far. doing: what is being made ready, in words. runner: the name of what
    computes the version, empty for version 0; instead: why that is another one than the one in use."""

    on: bool = False
    trouble: str = ""
    version: int = 0
    note: str = ""
    residuals: tuple[tuple[float, float], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    samples: int = 0
    doing: str = ""
    runner: str = ""
    instead: str = ""


class _Thinned:
    """A listener that keeps results at a pace, and of those what fits."""

    def __init__(self, target: DropQueue[LiveResult]) -> None:
        self._target = target
        self.pace, self.wanted = SamplePace(), False

    def put(self, value: LiveResult) -> bool:
        return self.wanted and self.pace.due(value.finished_s) and self._target.put(value)

    def close(self) -> None:
        self._target.close()


class AdaptationWorker(Worker):
    """Switch it with set_on; ask for the version before with roll_back; change whose hand it is with follow; read
    `view`. All from any one thread; tell it with `renew`, from any, that the session's tracker was exchanged."""

    def __init__(self, session: LiveSession, settings: WorkerSettings, make: MakeVersion) -> None:
        super().__init__("adaptation")
        self._session, self._settings, self._make = session, settings, make
        self._store = VersionStore(settings.folder)
        self._results: DropQueue[LiveResult] = DropQueue(_WAITING)
        self._listener = _Thinned(self._results)
        session.tracking.add_listener(self._listener)
        self._process: BaseProcess | None = None
        self._inbox: Any = None
        self._outbox: Any = None
        self._watch, self._frozen = LiveWatch(), FrozenWatch()
        self._epoch: int | None = None
        self._second: list[float] = []
        self._points: deque[tuple[float, float]] = deque(maxlen=_POINTS)
        self._view_lock = threading.Lock()
        self._view = AdaptationView()
        self._back_wanted, self._renewal_wanted = threading.Event(), threading.Event()
        self._followed: queue.SimpleQueue[tuple[WorkerSettings, MakeVersion]] = queue.SimpleQueue()
        self._recalled = self._exchanged = False

    @property
    def holds(self) -> bool:
        """Whether a version is in use, which it puts in again by another runner when told to renew."""
        return bool(self.view.version) and self.state is WorkerState.RUNNING

    @property
    def view(self) -> AdaptationView:
        """How it stands now."""
        with self._view_lock:
            return self._view

    def set_on(self, on: bool) -> None:
        """Learn from frames, or not; what was learnt stays in use."""
        self._listener.wanted = on
        self._show(on=on, trouble="" if on else self.view.trouble)

    def roll_back(self) -> None:
        """Track with the version before from soon on."""
        self._back_wanted.set()

    def renew(self) -> None:
        """The session tracks with another runner: the version in use is soon computed by it."""
        self._renewal_wanted.set()

    def follow(self, settings: WorkerSettings, make: MakeVersion) -> None:
        """Learn another hand from soon on, and track with what was learnt of it before."""
        self._followed.put((settings, make))

    def step(self) -> None:
        """Handle what came from the tracker, the process and the user."""
        while not self._followed.empty():
            self._change_hand(*self._followed.get())
        self._listener.pace.known = bool(self.view.version or self._settings.known)
        if self._renewal_wanted.is_set():
            self._renewal_wanted.clear()
            self._renew()
        if self._back_wanted.is_set():
            self._back_wanted.clear()
            self._go_back("on request")
        if self.view.on and not self._recalled:
            self._recall()
        live_result = self._results.get(_WAIT_S)
        if live_result is not None and self.view.on:
            self._hand_over(live_result)
        elif self._session.tracking.stopping:
            self.pause_step(_WAIT_S)  # its queue is closed and no longer waits
        self._hear()

    def tear_down(self) -> None:
        """End the process."""
        self._session.tracking.remove_listener(self._listener)
        self._end_process()

    def _change_hand(self, settings: WorkerSettings, make: MakeVersion) -> None:
        self._end_process()
        present = self.view.version
        self._settings, self._make, self._store = settings, make, VersionStore(settings.folder)
        self._watch.forget()
        self._recalled = False
        self._show(version=0, note="", trouble="")
        if present:
            self._exchange(0, remember=False)  # what was learnt of the other hand is not this one's

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        if process.is_alive():
            try:
                self._inbox.put_nowait(None)
            except queue.Full:
                process.terminate()
            process.join(_END_S)
        if process.is_alive():
            process.terminate()
            process.join(_END_S)
        self._release()

    def wake_waiters(self) -> None:
        """The thread itself waits for results."""
        if self.stopping:
            self._results.close()

    def _recall(self) -> None:
        """Go on with the version that was in use last."""
        self._recalled = True
        number = self._store.current
        if number:
            self._exchange(number)

    def _renew(self) -> None:
        """Put what it put in before in again, by the runner in use; where a version cannot be, what it began with."""
        if not self._exchanged:
            return
        number = self.view.version
        if not self._exchange(number, remember=False) and number and not self.stopping:
            self._exchange(0, remember=False)

    def _hand_over(self, live_result: LiveResult) -> None:
        result = live_result.result
        if live_result.epoch != self._epoch:
            self._epoch = live_result.epoch
            self._watch.forget()
        if self._frozen.repeats(result.frame):
            return
        if result.state is not TrackingState.SEARCHING:
            self._note_residual(result.residual_mm)
            if self._watch.add(result.residual_mm):
                self._go_back("because frames fitted worse")
        sample = sample_of(result)
        if sample is None or self.view.trouble:
            return
        if self._process is None:
            self._start_process()
        try:
            self._inbox.put_nowait(sample)
        except queue.Full:
            return
        self._show(samples=self.view.samples + 1)

    def _note_residual(self, residual_mm: float) -> None:
        if residual_mm == residual_mm:
            self._second.append(residual_mm)
        if len(self._second) >= self._listener.pace.rate_hz * _POINT_S:
            self._points.append((time.monotonic(), sorted(self._second)[len(self._second) // 2]))
            self._second.clear()
            self._show(residuals=tuple(self._points))

    def _start_process(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._inbox, self._outbox = context.Queue(_INBOX), context.Queue()
        self._process = context.Process(
            target=live, args=(self._settings, self._inbox, self._outbox), name="lumbrical-adaptation", daemon=True
        )
        self._process.start()

    def _hear(self) -> None:
        if self._process is None:
            return
        died = not self._process.is_alive()
        while True:
            try:
                said = self._outbox.get_nowait() if not died else self._outbox.get(timeout=_WAIT_S)
            except queue.Empty:
                break
            if isinstance(said, Died):
                self._lose(said.line)
                return
            if isinstance(said, Said):
                self._decide(said)
        if died:
            self._lose(f"its process ended ({self._process.exitcode})")

    def _lose(self, line: str) -> None:
        """Tracking goes on; the window says why nothing more is learnt."""
        process = self._process
        if process is not None:
            process.join(_END_S)
        self._release()
        self._show(trouble=f"adaptation stopped, tracking goes on: {line}; switch it off and on to start it again")

    def _release(self) -> None:
        for one in (self._inbox, self._outbox):
            if one is not None:
                one.cancel_join_thread()
                one.close()
        self._process = self._inbox = self._outbox = None

    def _decide(self, said: Said) -> None:
        if not said.promoted:
            self._show(note=f"kept what was: {said.reason}")
            return
        if self._exchange(said.version):
            self._watch.promoted()
            self._mark(PROMOTED)
            self._show(note=f"version {said.version}: {said.reason}")
        else:
            self._tell(GoBack(self.view.version))

    def _go_back(self, why: str) -> None:
        """Use the version before and let the present one go."""
        number = self.view.version
        if not number:
            self._show(note="there is no adapted version to go back from")
            return
        before = self._store.before(number)
        if not self._exchange(before):
            return
        self._store.discard(number)
        self._watch.forget()
        self._mark(ROLLED_BACK)
        self._show(note=f"back to {_named(before)} {why}")
        self._tell(GoBack(before))

    def _tell(self, message: GoBack) -> None:
        if self._inbox is None:
            return
        try:
            self._inbox.put(message, timeout=_END_S)
        except queue.Full:
            self._lose("its process does not answer")

    def _exchange(self, number: int, remember: bool = True) -> bool:
        """Put a version in use between two frames, the next time too if it is remembered; False, with words, where it
        cannot be."""

        def progress(done: float) -> bool:
            if 0 < done < 1:
                self._show(doing=f"getting {_named(number)} ready, {100 * done:.0f} % …")
            return not self.stopping

        try:
            made = self._make(self._store.load(number) if number else None, progress)
            if remember:
                self._store.use(number)
        except LumbricalError as error:
            self._show(note=str(error), doing="")
            return False
        self._session.tracking.between_frames(lambda present: went_on_with(present, made.tracker))
        self._exchanged = True
        self._show(version=number, doing="", runner=made.runner if number else "", instead=made.instead)
        return True

    def _mark(self, kind: str) -> None:
        self._show(marks=(*self.view.marks[-99:], (time.monotonic(), kind)))

    def _show(self, **changes: Any) -> None:
        with self._view_lock:
            self._view = replace(self._view, **changes)


def _named(number: int) -> str:
    return f"version {number}" if number else "the start"
