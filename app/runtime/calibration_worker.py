"""The wizard's own thread: it takes what tracking makes, leads through the session, and has it solved elsewhere.

Nothing is written before the user accepts, and then the file whole or not at all; so it can be stopped at any time.
"""

from __future__ import annotations

import enum
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from app.runtime.calibration_solver import Finished, Looked, PosePicture, Refused, SolverProcess, SolverSettings
from app.runtime.interfaces import LiveResult
from app.runtime.session import LiveSession
from app.runtime.slot import LatestSlot
from app.runtime.source_status import PlaybackStatus
from app.runtime.worker import Worker
from calibration.collecting import Collection, learnt_profile
from calibration.frames import Build, CalibrationFrame
from calibration.guide import Guide, GuideView
from calibration.poses import CATALOGUE
from calibration.profiles import Profile, ProfileStore
from calibration.session import SessionConfig
from engine.runners.protocol import Runner
from engine.types import LumbricalError, Side

_WAIT_S = 0.05
#: Frames of a camera are looked at no more often: tracking needs the cores.
_EVERY_S = 0.09
#: What is said so far is worked out again after so many new frames.
_NEW_FRAMES = 4
#: A recording of so few frames is gone through one by one, each searched for anew.
_SINGLE_FRAMES = 40
_STEP_LIMIT_S = 3.0


class Phase(enum.Enum):
    """Where a calibration is."""

    STARTING = "getting ready"
    GUIDING = "poses"
    SOLVING = "solving"
    COMPARING = "comparing"
    SAVED = "saved"
    TAKEN_BACK = "taken back"
    FAILED = "failed"


@dataclass(frozen=True)
class CalibrationView:
    """How a calibration stands, for the window. side: of the hand; guide: see GuideView, None before; looked: what the
    frames say by now; pictures: of poses, by their names; finished: the outcome, once solved; compared_with: in words;
    trouble: one line, where it failed; saved: the profile, once accepted; recording: done share of a recording.
    """

    phase: Phase = Phase.STARTING
    user: str = ""
    side: Side | None = None
    guide: GuideView | None = None
    looked: Looked | None = None
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    finished: Finished | None = None
    compared_with: str = "the mean hand"
    trouble: str = ""
    saved: Profile | None = None
    recording: float | None = None


class CalibrationWorker(Worker):
    """One calibration of one user, from the first pose to what the user decides. Methods are the window's; they only
    leave word, and `view` tells what came of it."""

    def __init__(
        self,
        session: LiveSession,
        store: ProfileStore,
        user: str,
        side: Side,
        make_runner: Callable[[], Runner],
        config: SessionConfig | None = None,
    ) -> None:
        """side: of the hand; what the tracker takes for the other one is left out."""
        super().__init__("calibration")
        self._session, self._store, self._config = session, store, config or SessionConfig()
        self._make_runner = make_runner
        self._side = side
        self._frames: LatestSlot[LiveResult] = LatestSlot()
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._view = CalibrationView(user=user, side=side)
        self._guide: Guide | None = None
        self._solver: SolverProcess | None = None
        self._runner: Runner | None = None
        self._looked_frames, self._finishing = 0, False
        self._last_s = 0.0
        self._old: Profile | None = None
        self._player: _Player | None = None

    @property
    def view(self) -> CalibrationView:
        """How it stands."""
        return self._view

    def skip(self) -> None:
        """Ask for another pose."""
        self._wishes.put(lambda: self._guide.skip(time.monotonic()) if self._guide is not None else None)

    def finish(self) -> None:
        """Ask for no more poses, and solve."""
        self._wishes.put(lambda: self._guide.end() if self._guide is not None else None)

    def accept(self) -> None:
        """Save the new profile."""
        self._wishes.put(self._accept)

    def take_back(self) -> None:
        """Put back what was there before the new profile was saved."""
        self._wishes.put(self._take_back)

    def set_up(self) -> None:
        """Load what reads frames, and start the solver."""
        user = self._view.user
        self._old = self._store.find(user, self._side)
        if self._old is not None:
            self._show(compared_with="the old profile")
        self._runner = self._make_runner()
        self._solver = SolverProcess(SolverSettings(side=self._side))
        collection = Collection(self._config)
        asks = self._session.capture.is_live
        self._guide = Guide(collection, asks)
        self._session.tracking.add_listener(self._frames)
        if not asks:
            self._player = _Player(self._session)

    def tear_down(self) -> None:
        """Leave nothing behind."""
        self._session.tracking.remove_listener(self._frames)
        if self._solver is not None:
            self._solver.stop()
        if self._player is not None:
            self._player.leave()

    def wake_waiters(self) -> None:
        """Wake the step that waits for a frame."""
        self._frames.close()

    def step(self) -> None:
        """Obey, look at one frame, hear what the solver says."""
        while not self._wishes.empty():
            self._wishes.get()()
        self._hear()
        if self._view.phase is Phase.GUIDING:
            self._lead()
        elif self._view.phase is Phase.SOLVING:
            self._ask_to_finish()
            self.pause_step(_WAIT_S)
        else:
            self.pause_step(_WAIT_S)

    def _lead(self) -> None:
        guide = self._guide
        assert guide is not None
        live = self._frames.get(_WAIT_S)
        now_s = time.monotonic()
        if live is not None and (self._player is not None or now_s - self._last_s >= _EVERY_S):
            self._last_s = now_s
            self._look_at(guide, live)
        now_s = time.monotonic()
        guide.tick(now_s)
        if self._player is not None and self._player.over:
            guide.end()
        self._show(guide=guide.view(now_s), recording=None if self._player is None else self._player.share)
        if guide.ended:
            self._show(phase=Phase.SOLVING)
            return
        held = self._held(guide)
        if self._solver is not None and len(held) >= self._looked_frames + _NEW_FRAMES and self._solver.look(held):
            self._looked_frames = len(held)

    def _look_at(self, guide: Guide, live: LiveResult) -> None:
        assert self._runner is not None
        result = live.result
        if self._player is not None and not self._player.take(live):
            return
        frame = guide.collection.read(result, self._runner) if result.side is self._side else None
        guide.see(result, frame, time.monotonic())

    def _held(self, guide: Guide) -> tuple[CalibrationFrame, ...]:
        sessions = guide.collection.sessions
        return sessions[self._side].frames if self._side in sessions else ()

    def _ask_to_finish(self) -> None:
        guide, solver = self._guide, self._solver
        assert guide is not None and solver is not None
        if self._finishing or solver.busy:
            return
        try:
            session = guide.collection.chosen()[1]
        except LumbricalError as error:
            self._fail_with(str(error))
            return
        session.old = self._old.build if self._old is not None else Build.mean()
        self._finishing = solver.finish(session)

    def _hear(self) -> None:
        solver = self._solver
        if solver is None:
            return
        while (reply := solver.poll()) is not None:
            if isinstance(reply, PosePicture):
                self._show(pictures={**self._view.pictures, CATALOGUE[reply.index].name: reply.picture})
            elif isinstance(reply, Looked):
                self._note_progress(reply)
            elif isinstance(reply, Finished):
                self._show(phase=Phase.COMPARING, finished=reply)
            elif isinstance(reply, Refused):
                self._fail_with(reply.line)
        if solver.failure and self._view.phase in (Phase.STARTING, Phase.GUIDING, Phase.SOLVING):
            self._fail_with(solver.failure)

    def _note_progress(self, looked: Looked) -> None:
        assert self._guide is not None
        self._guide.learn(looked.progress)
        self._show(looked=looked)
        if self._view.phase is Phase.STARTING:
            if self._player is not None:
                self._player.begin()
            self._show(phase=Phase.GUIDING)

    def _accept(self) -> None:
        finished = self._view.finished
        if self._view.phase not in (Phase.COMPARING, Phase.TAKEN_BACK) or finished is None:
            return
        opened = self._session.capture.opened
        sensor = opened.description if opened is not None else ""
        profile = learnt_profile(self._view.user, self._side, finished.outcome, sensor[:200])
        try:
            self._store.save(profile)
        except LumbricalError as error:
            self._show(trouble=str(error))
            return
        self._show(phase=Phase.SAVED, saved=profile, trouble="")

    def _take_back(self) -> None:
        if self._view.phase is not Phase.SAVED:
            return
        try:
            if self._old is not None:
                self._store.save(self._old)
            else:
                self._store.delete(self._view.user, self._side)
        except LumbricalError as error:
            self._show(trouble=str(error))
            return
        self._show(phase=Phase.TAKEN_BACK, saved=None, trouble="")

    def _fail_with(self, line: str) -> None:
        self._show(phase=Phase.FAILED, trouble=line)

    def _show(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]


class _Player:
    """Plays a recording once through from its start, a short one frame by frame; puts the player back as it was."""

    def __init__(self, session: LiveSession) -> None:
        self._capture = session.capture
        self._before: PlaybackStatus | None = None
        self._begun = False
        self._position = -1
        self._asked: int | None = None
        self._asked_s = 0.0
        self._ended = False

    def begin(self) -> None:
        """From the first frame on."""
        self._before = self._capture.playback
        self._capture.set_range(None, None)
        self._capture.set_loop(False)
        if self._single:
            self._capture.pause()
            self._go_to(0)
        else:
            self._capture.seek(0)
            self._capture.play()
        self._begun = True

    @property
    def _single(self) -> bool:
        return self._before is not None and self._before.frame_count <= _SINGLE_FRAMES

    def _go_to(self, index: int) -> None:
        self._asked, self._asked_s = index, time.monotonic()
        self._capture.seek(index)

    def take(self, live: LiveResult) -> bool:
        """Whether a result is of a frame that is new in this play."""
        status = self._capture.playback
        if not self._begun or status is None:
            return False
        index = live.result.frame.number % status.frame_count
        if self._single:
            if index != self._asked:
                return False
            self._position = index
            if index + 1 < status.frame_count:
                self._go_to(index + 1)
            else:
                self._ended = True
            return True
        if index <= self._position:
            return False
        self._position = index
        return True

    @property
    def share(self) -> float:
        """How much of it was played."""
        status = self._capture.playback
        return 0.0 if status is None else min(1.0, (self._position + 1) / max(1, status.frame_count))

    @property
    def over(self) -> bool:
        """Whether it came to its end."""
        status = self._capture.playback
        if not self._begun:
            return False
        if status is None:
            return True
        if self._single:
            if not self._ended and self._asked is not None and time.monotonic() - self._asked_s > _STEP_LIMIT_S:
                self._go_to(self._asked)
            return self._ended
        return status.ended and self._position >= 0

    def leave(self) -> None:
        """Play on as before."""
        if self._before is not None and self._capture.playback is not None:
            self._capture.set_loop(self._before.loop)
            self._capture.set_range(self._before.start, self._before.end)
            self._capture.play()
