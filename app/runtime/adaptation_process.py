"""The adaptation's process: lowest priority, one thread, asleep while no frames come.

Nothing heavy is imported before the number of threads is set.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.runtime.adaptation_round import Adapter, RoundConfig
    from calibration.frames import Build

NICENESS = 19
#: Without frames for so long the source has stopped: work waits for them.
_IDLE_S = 3.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_BELOW_NORMAL_PRIORITY_CLASS = 0x4000


@dataclass(frozen=True)
class WorkerSettings:
    """folder: of the versions. weights: that the tracker starts from, None for the shipped ones. known: (126,) numbers
    of the profile's hand, or None."""

    folder: Path
    weights: Path | None = None
    known: tuple[float, ...] | None = None
    config: RoundConfig | None = None


@dataclass(frozen=True)
class GoBack:
    """To the process: this version is used again (0: none), the last one has proved worse."""

    number: int


@dataclass(frozen=True)
class Said:
    """From the process: a candidate's fate. version: its number where it was promoted, else 0."""

    what: str
    promoted: bool
    reason: str
    version: int
    live_before: float
    live_after: float


@dataclass(frozen=True)
class Died:
    """From the process: it ends; line says why in words."""

    line: str
    detail: str


def live(settings: WorkerSettings, inbox: Any, outbox: Any) -> None:
    """The process's whole life. inbox: samples, GoBack, None to end; outbox: Said, Died."""
    with contextlib.suppress(ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides when it ends
    lower_priority()
    for name in _THREADS:
        os.environ[name] = "1"
    try:
        _serve(_adapter(settings), inbox, outbox)
    except Exception as error:  # the process ends here and must say of what
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        outbox.put(Died(line, traceback.format_exc()))


def lower_priority() -> None:
    """Everything else goes first."""
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "win32":
            import ctypes

            kernel = ctypes.windll.kernel32
            kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(NICENESS)


def _adapter(settings: WorkerSettings) -> Adapter:
    import cv2
    import numpy as np

    from app.runtime.adaptation_round import Adapter, RoundConfig
    from app.runtime.adaptation_trial import one_thread
    from calibration.frames import Build
    from engine.adaptation.versions import VersionStore
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights

    one_thread()
    cv2.setNumThreads(1)
    known: Build | None = None if settings.known is None else Build.of(np.array(settings.known))
    base = load_weights(settings.weights or DEFAULT_WEIGHTS)
    return Adapter(VersionStore(settings.folder), base, known, settings.config or RoundConfig())


def _serve(adapter: Adapter, inbox: Any, outbox: Any) -> None:
    last_s = -_IDLE_S
    while True:
        awake = time.monotonic() - last_s < _IDLE_S
        working = awake and adapter.busy
        try:
            # Without work the process sleeps here, and costs nothing until the next frame.
            message = inbox.get(timeout=0.001 if working else None)
        except queue.Empty:
            message = ...
        if message is None:
            return
        if isinstance(message, GoBack):
            adapter.rolled_back(message.number)
        elif message is not ...:
            last_s = time.monotonic()
            adapter.take(message)
            continue
        if working:
            outcome = adapter.work()
            if outcome is not None:
                verdict = outcome.verdict
                outbox.put(
                    Said(
                        outcome.what, verdict.promoted, verdict.reason, outcome.version, verdict.live_before,
                        verdict.live_after,
                    )
                )  # fmt: skip
