"""How long the app takes to start: `run --time-start` notes the moments and ends once a tracked hand is drawn."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.runtime.interfaces import LiveResult
    from app.runtime.session import LiveSession
    from app.ui.main_window import MainWindow

#: In the order in which they come; "hand drawn": a picture of the 3D view with the tracked hand has been painted.
MOMENTS = ("arguments read", "window shown", "first picture", "first result", "first tracked", "hand drawn")
_LOOK_MS = 5
LIMIT_S = 120.0
_NO_HAND = f"no tracked hand was drawn within {LIMIT_S:g} s"


def process_start_s() -> float:
    """When this process began, on the clock of time.monotonic(); where the system does not tell, now."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return time.monotonic()
    # The 22nd field of the line; the first two were cut off.
    age_s = uptime_s - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age_s


class StartTimes:
    """Notes each of MOMENTS once, with the processor time that this process had used by then.

    A listener of results: put() belongs to the tracking thread, the rest to the window's.
    """

    def __init__(self) -> None:
        self._began_s = process_start_s()
        self._noted: dict[str, tuple[float, float]] = {}
        self.trouble = ""
        self.note(MOMENTS[0])

    def note(self, moment: str) -> None:
        """It is now, unless it has been noted before."""
        self._noted.setdefault(moment, (time.monotonic() - self._began_s, time.process_time()))

    def put(self, live: LiveResult) -> bool:
        """A result is out."""
        self.note("first result")
        if live.result.geometry is not None:
            self.note("first tracked")
        return True

    def close(self) -> None:
        """Nobody waits here."""

    def watch(self, session: LiveSession, window: MainWindow) -> None:
        """Called when the window is up; closes it once all has been noted, or will not be."""
        from PySide6.QtCore import QTimer

        self.note("window shown")
        self._late_s = time.monotonic() + LIMIT_S
        self._session, self._window = session, window
        window.view.painted.connect(self._painted)
        self._timer = QTimer(window, interval=_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _painted(self) -> None:
        shown = self._window.view.shown
        if shown is not None:
            self.note("first picture")
            if shown.with_hand:
                self.note("hand drawn")

    def _look(self) -> None:
        late = time.monotonic() > self._late_s
        self.trouble = self._session.failure() or self._window.view.trouble or (_NO_HAND if late else "")
        if self.trouble or "hand drawn" in self._noted:
            self._timer.stop()
            self._window.close()

    def tell(self) -> None:
        """Print, as a JSON object, each moment's seconds since the process began, and the processor's; LumbricalError
        when no drawn hand came."""
        if self.trouble:
            from engine.types import LumbricalError

            raise LumbricalError(self.trouble)
        moments = sorted(self._noted.items(), key=lambda one: one[1][0])
        print(
            json.dumps(
                {
                    name: {"wall_s": round(wall_s, 3), "processor_s": round(cpu_s, 3)}
                    for name, (wall_s, cpu_s) in moments
                }
            )
        )
