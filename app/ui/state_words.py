"""The session's state in a word, for the status line, and the notes over the picture."""

from __future__ import annotations

from app.runtime.interfaces import LiveResult
from app.runtime.session import LiveSession
from app.runtime.worker import WorkerState
from app.ui import theme
from engine.types import TrackingState

DEMO_NOTE = (
    "No depth camera was found, so the demo take is playing. "
    "Plug a RealSense or an Azure Kinect into a USB 3 port: it takes over by itself, or press Refresh."
)
CLOSING_NOTE = "The take is being closed; the window goes when that is done. Close it again to leave at once."
_STATES = {
    TrackingState.TRACKING: ("tracking", theme.GOOD),
    TrackingState.SEARCHING: ("searching", theme.WARN),
    TrackingState.LOST: ("lost", theme.BAD),
}


def banner_words(session: LiveSession, closing: bool, alarm: str, note: str, plays_demo: bool) -> tuple[str, str]:
    """What the strip over the picture says, its kind first: the worst there is to say. closing: a take is being closed
    and the window after it; plays_demo: for want of a camera."""
    trouble, warnings = session.trouble(), session.capture.warnings
    if trouble:
        return "trouble", trouble
    if closing:
        return "note", CLOSING_NOTE
    if alarm:
        return "alarm", alarm
    if note or plays_demo:
        return "note", note or DEMO_NOTE
    return "note", warnings[0] if warnings else ""


def state_words(session: LiveSession, last: LiveResult | None, silent: bool) -> tuple[str, str]:
    """The state and its colour. last: the newest result; silent: whether it is old."""
    capture, tracking = session.capture, session.tracking
    playback = capture.playback
    if WorkerState.FAILED in (capture.state, tracking.state):
        return "failed", theme.BAD
    if capture.state is WorkerState.WAITING:
        return "no picture", theme.BAD
    if last is None:
        return ("no frames" if silent and tracking.state is WorkerState.RUNNING else "starting …"), theme.QUIET
    if playback is not None and playback.paused:
        return ("at the end" if playback.ended else "paused"), theme.ACCENT
    return ("no frames", theme.WARN) if silent else _STATES[last.result.state]
