"""Solving in a process of its own, at a lower priority: it takes seconds, holds the interpreter's lock for most of
them, and neither the window nor tracking may wait for it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from engine.types import LumbricalError, Side

if TYPE_CHECKING:
    from calibration.frames import Build, CalibrationFrame
    from calibration.progress import Progress
    from calibration.session import CalibrationSession, Outcome

_NICENESS = 8
_STOP_TIMEOUT_S = 2.0
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class SolverSettings:
    """pose_size, heat_size: of pictures, pixels a side. side: of the hand in them."""

    pose_size: int = 360
    heat_size: int = 260
    side: Side = Side.RIGHT


@dataclass(frozen=True)
class PosePicture:
    """RGBA (size, size, 4) of the pose of that number in the catalogue."""

    index: int
    picture: Picture


@dataclass(frozen=True)
class Looked:
    """Progress, with the hand so far seen on its palm and on its back, coloured by the residual, RGBA."""

    progress: Progress
    heat: tuple[Picture, Picture]


@dataclass(frozen=True)
class Finished:
    """What a session came to, with the old hand and the new one, each from both sides, coloured by the residual."""

    outcome: Outcome
    before: tuple[Picture, Picture]
    after: tuple[Picture, Picture]


@dataclass(frozen=True)
class Refused:
    """There is no solution; line says why."""

    line: str
    detail: str = ""


Reply = PosePicture | Looked | Finished | Refused


@dataclass(frozen=True)
class _Ask:
    """new: frames that were not sent before. held: numbers of those, and of earlier ones, that are held. finish: solve
    for good, against the build `old`; offered, passed: see CalibrationSession."""

    new: list[CalibrationFrame]
    held: list[int]
    finish: bool = False
    old: Build | None = None
    offered: int = 0
    passed: int = 0
    frames: int = 0


class SolverProcess:
    """The process as its owner sees it: ask, poll, never wait. All methods belong to one thread."""

    def __init__(self, settings: SolverSettings = SolverSettings()) -> None:
        self._sent: dict[int, tuple[int, CalibrationFrame]] = {}
        self._count = 0
        self.busy = True
        self.failure = ""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, settings)
        self._process = context.Process(target=_solve_until_told, args=arguments, name="lumbrical-solver", daemon=True)
        self._process.start()
        theirs.close()

    def look(self, frames: tuple[CalibrationFrame, ...]) -> bool:
        """Ask what these frames say so far; False, and nothing asked, while busy."""
        return self._ask(frames)

    def finish(self, session: CalibrationSession) -> bool:
        """Ask for a session's outcome; False, and nothing asked, while busy."""
        return self._ask(session.frames, session)

    def poll(self) -> Reply | None:
        """The next answer; None while there is none. After the process has failed, failure says why."""
        try:
            if not self.failure and self._connection.poll(0):
                reply: Reply = self._connection.recv()
                if not isinstance(reply, PosePicture):
                    self.busy = False
                return reply
        except (EOFError, OSError):
            self._note_death()
        return None

    def stop(self) -> None:
        """End it at once: there is nothing in it to save."""
        self._connection.close()
        self._process.kill()
        self._process.join(_STOP_TIMEOUT_S)

    def _ask(self, frames: tuple[CalibrationFrame, ...], session: CalibrationSession | None = None) -> bool:
        if self.busy or self.failure:
            return False
        new = [frame for frame in frames if id(frame) not in self._sent]
        for frame in new:
            # The frame is kept along, so that its identity stays its own.
            self._sent[id(frame)] = self._count, frame
            self._count += 1
        held = [self._sent[id(frame)][0] for frame in frames]
        ask = _Ask(new, held)
        if session is not None:
            ask = _Ask(new, held, True, session.old, session.offered, session.passed, session.config.frames)
        try:
            self._connection.send(ask)
        except OSError:
            self._note_death()
            return False
        self.busy = True
        return True

    def _note_death(self) -> None:
        self._process.join(0.2)
        self.failure = f"the solver's process ended (exit {self._process.exitcode}): begin the calibration again"


def _solve_until_told(connection: Connection, settings: SolverSettings) -> NoReturn:
    """The solver's process: answers until its owner is gone. Ends the process, never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    try:
        _serve(connection, settings)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the owner is gone
    except Exception as error:
        # The last thing this process can do is to say what it died of.
        with contextlib.suppress(OSError):
            connection.send(Refused(f"solving stopped: {type(error).__name__}: {error}", traceback.format_exc()))
    os._exit(0)


def _receive(connection: Connection, asks: queue.SimpleQueue[_Ask | None]) -> None:
    """Take what comes at once: were both ends to wait until the other one has read, both would wait for ever."""
    try:
        while True:
            asks.put(connection.recv())
    except (EOFError, OSError):
        asks.put(None)


def _serve(connection: Connection, settings: SolverSettings) -> None:
    from app.viewer.hand_picture import HandPainter
    from calibration.frames import Build
    from calibration.poses import CATALOGUE
    from calibration.progress import ProgressSolver
    from calibration.session import CalibrationSession, SessionConfig
    from calibration.solver import ShapeSolver

    solver = ShapeSolver()
    progress, painter = ProgressSolver(solver), HandPainter(settings.side)
    first = progress.look([])
    pending = list(first.next_poses)

    def paint_next() -> None:
        """The picture of the pose that is likeliest to be asked for soon."""
        index = pending.pop(0)
        connection.send(PosePicture(index, painter.pose(CATALOGUE[index], settings.pose_size)))

    paint_next()
    connection.send(Looked(first, painter.heat(first.build, first.residual_map, settings.heat_size)))
    frames: list[CalibrationFrame] = []
    asks: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, asks), daemon=True).start()
    while True:
        while pending and asks.empty():
            paint_next()
        ask = asks.get()
        if ask is None:
            return
        frames.extend(ask.new)
        held = [frames[number] for number in ask.held]
        if not ask.finish:
            looked = progress.look(held)
            pending = [index for index in looked.next_poses if index in pending]
            for _ in pending[:1]:
                paint_next()
            connection.send(Looked(looked, painter.heat(looked.build, looked.residual_map, settings.heat_size)))
            continue
        session = CalibrationSession(solver, SessionConfig(frames=ask.frames), ask.old or Build.mean())
        session.resume(held, ask.offered, ask.passed)
        try:
            outcome = session.solve()
        except LumbricalError as error:
            connection.send(Refused(str(error)))
            continue
        before, after = (
            painter.heat(build, values, settings.heat_size)
            for build, values in ((session.old, outcome.before_map), (outcome.estimate.build, outcome.after_map))
        )
        connection.send(Finished(outcome, before, after))
