"""Opens the main window on a synthetic recording and a fake tracker; finds widgets that lie over one another."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from PySide6.QtCore import QPoint, QRect
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSlider,
    QWidget,
)

from app.config import AppConfig
from app.runtime.interfaces import FrameSource, FrameTracker
from app.runtime.profile_choice import ProfileChoice
from app.runtime.session import LiveSession
from app.runtime.sources import demo_choice
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from app.ui.application import dispose, get_application
from app.ui.main_window import MainWindow
from app.ui.settings import Memory
from app.ui.status_bar import ElidedLabel
from calibration.profiles import ProfileStore
from engine.sensors.playback import Playback
from engine.sensors.synthetic import SyntheticSensor
from tests.app.fakes import CAMERA, FakeTracker


def recording() -> FrameSource:
    """A looped recording of a moving sphere."""
    return Playback(SyntheticSensor(intrinsics=CAMERA, fps=30, duration_s=2), loop=True)


@contextmanager
def open_window(
    memory: Memory | None = None,
    tracker: FakeTracker | None = None,
    open_source: Callable[[str], FrameSource] | None = None,
    config: AppConfig | None = None,
    make_tracker: Callable[[TrackerWish], FrameTracker] | None = None,
    profiles: Path | None = None,
) -> Iterator[MainWindow]:
    """The window, shown; closed, and its session stopped, on leaving."""
    get_application()
    session = LiveSession(open_source or (lambda _: recording()), demo_choice().spec, lambda: tracker or FakeTracker())
    trackers = TrackerChoice(session, make_tracker or (lambda _: FakeTracker()))
    choice = ProfileChoice(session, ProfileStore(profiles))
    window = MainWindow(session, config or AppConfig(), memory or Memory.forgetful(), [], trackers, choice)
    session.start()
    window.resize(1280, 800)
    window.show()
    window.activateWindow()
    QTest.qWaitForWindowActive(window)
    try:
        yield window
    finally:
        window.end()
        dispose(window)
        assert session.stop()


def pump(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Let Qt run until the condition holds; whether it came to hold in time."""
    application = get_application()
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        application.processEvents()
        time.sleep(0.005)
    return condition()


def faults(window: QWidget) -> list[str]:
    """Widgets whose areas meet, that leave the window, or whose words do not fit; not those scrolled out of view."""
    leaves = [
        widget
        for kind in (QLabel, QAbstractButton, QComboBox, QSlider, QLineEdit, QPlainTextEdit)
        for widget in window.findChildren(kind)
        if widget.isVisible()
        and not isinstance(widget.parent(), QComboBox | QLineEdit | None)
        and not _scrolled(widget)
    ]
    found = [f"{_name(a)} lies over {_name(b)}" for a, b in combinations(leaves, 2) if _area(a).intersects(_area(b))]
    found += [f"{_name(leaf)} leaves the window" for leaf in leaves if not window.rect().contains(_area(leaf))]
    return found + [f"{_name(leaf)} is cut off" for leaf in leaves if _is_cut(leaf)]


def _scrolled(widget: QWidget) -> bool:
    """Whether a widget is in an area that scrolls, and not wholly in view there."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent.parentWidget(), QScrollArea):
        parent = parent.parentWidget()
    return parent is not None and not _area(parent).contains(_area(widget))


def _is_cut(leaf: QWidget) -> bool:
    if isinstance(leaf, ElidedLabel) or not isinstance(leaf, QLabel | QAbstractButton) or not leaf.text():
        return False
    if isinstance(leaf, QLabel) and leaf.wordWrap():
        return leaf.heightForWidth(leaf.width()) > leaf.height()
    return leaf.sizeHint().width() > leaf.width() + 1


def _area(widget: QWidget) -> QRect:
    return QRect(widget.mapTo(widget.window(), QPoint(0, 0)), widget.size())


def _name(widget: QWidget) -> str:
    text = widget.text() if isinstance(widget, QLabel | QAbstractButton) else ""
    return f"{type(widget).__name__} {text!r} at {_area(widget).getRect()}"


def main() -> None:
    """Print the faults of the window at a size, as JSON; run apart, because the scale is fixed when Qt starts. A third
    argument: what it shows, "recording" or "library"."""
    width, height = int(sys.argv[1]), int(sys.argv[2])
    what = sys.argv[3] if len(sys.argv) > 3 else ""
    folder = Path(os.environ["TAKES"]) if what else Path()
    with open_window(config=AppConfig(takes_folder=str(folder) if what else None)) as window:
        window.resize(width, height)
        shown = pump(lambda: window.playback.isVisible() and window.status.state_text == "tracking")
        if what == "recording":
            window.recording.toggle()
            shown = shown and pump(lambda: "lost" in window.recording.status.text)
        elif what == "library":
            window.toggle_library()
            shown = shown and pump(lambda: window.library.list.model().rowCount() > 0)
            window.library.list.setCurrentIndex(window.library.list.model().index(0, 0))
            shown = shown and pump(window.library.details.isVisible)
            window.library.details.ask_to_delete()
        pump(lambda: False, 0.3)
        report = {"shown": shown, "banner": window.banner.text, "ratio": window.devicePixelRatioF()}
        print(json.dumps({**report, "faults": faults(window), "size": [window.width(), window.height()]}))


if __name__ == "__main__":
    main()
