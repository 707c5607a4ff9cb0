"""Starts Qt, runs the window for as long as it is open, and takes its picture if asked."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QBuffer, QCoreApplication, QEvent, QTimer
from PySide6.QtWidgets import QApplication, QWidget

from app.compiling import compile_loops
from app.config import AppConfig
from app.runtime.adaptation_worker import AdaptationWorker
from app.runtime.profile_choice import ProfileChoice
from app.runtime.session import LiveSession
from app.runtime.sources import SourceChoice
from app.runtime.tracker_choice import TrackerChoice
from app.runtime.tuning import SETTLED_S, keep_beside_tracking, low_latency, settle, use_all_cores
from app.ui.main_window import MainWindow
from app.ui.settings import Memory
from app.ui.theme import apply_theme
from app.viewer.render_process import RenderProcess
from app.whole_file import written_to
from engine.types import LumbricalError
from engine.whole_file import write_whole

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_PICTURE_WAIT_S = 20.0
_POLL_MS = 100
#: Held here until the interpreter ends: a QApplication that is collected before that takes the process down with it.
_applications: list[QApplication] = []


@dataclass(frozen=True)
class WindowRun:
    """How long the window stays: exit_after_s None until it is closed; screenshot: a file written just before."""

    exit_after_s: float | None = None
    screenshot: Path | None = None


def get_application() -> QApplication:
    """The one QApplication, dressed; made on the first call."""
    if _applications:
        return _applications[0]
    application = QApplication(["lumbrical"])
    _applications.append(application)
    application.setApplicationName("Lumbrical")
    application.setDesktopFileName("lumbrical")
    apply_theme(application)
    return application


def run_window(
    session: LiveSession,
    config: AppConfig,
    sources: list[SourceChoice] | None,
    run: WindowRun,
    memory: Memory | None = None,
    on_shown: Callable[[MainWindow], None] | None = None,
    trackers: TrackerChoice | None = None,
    profiles: ProfileChoice | None = None,
    adaptation: AdaptationWorker | None = None,
    drawing: RenderProcess | None = None,
) -> int:
    """Show the window until it is closed or its time is over: 0. For the arguments see MainWindow.

    Errors, once it is closed: LumbricalError when the screenshot could not be written or a worker had died.
    """
    compile_loops()
    application = get_application()
    window = MainWindow(session, config, memory or Memory(), sources, trackers, profiles, adaptation, drawing)
    previous_hook = sys.excepthook
    _route_errors(window)
    # Qt's loop is in C++: handlers run when one of the window's timers next enters Python, milliseconds later.
    asked_to_end = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda *_: window.close()) for number in asked_to_end]
    failures: list[LumbricalError] = []
    session.start()
    if adaptation is not None:
        adaptation.start()
    window.show()
    if on_shown is not None:
        on_shown(window)
    if run.exit_after_s is not None:
        QTimer.singleShot(
            round(1000 * run.exit_after_s), window, lambda: _finish(window, session, run.screenshot, failures)
        )
    QTimer.singleShot(round(1000 * SETTLED_S), window, settle)
    keep_beside_tracking()
    try:
        with low_latency():
            application.exec()
        failure = session.failure()
    finally:
        use_all_cores()
        for number, handler in zip(asked_to_end, previous, strict=True):
            signal.signal(number, handler)
        sys.excepthook = previous_hook
        window.end()
        dispose(window)
        if adaptation is not None:
            adaptation.stop()
        session.stop()
    if failures:
        raise failures[0]
    if failure:
        raise LumbricalError(failure)
    return 0


def dispose(widget: QWidget) -> None:
    """Destroy a top-level widget now.

    Left to the interpreter's last collection it would go after the QApplication, which crashes the process at its exit.
    """
    widget.close()
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete.value)


def save_picture(widget: QWidget, path: Path) -> None:
    """Write the widget's picture; the file appears whole or not at all. LumbricalError when it cannot be written."""
    file = QBuffer()
    file.open(QBuffer.OpenModeFlag.WriteOnly)
    if not widget.grab().save(file, path.suffix.removeprefix(".")):
        raise LumbricalError(f"cannot write the screenshot {path}: the name must end in {', '.join(PICTURE_SUFFIXES)}")
    with written_to("--screenshot", path):
        write_whole(path, bytes(file.data().data()))


def _finish(
    window: MainWindow,
    session: LiveSession,
    screenshot: Path | None,
    failures: list[LumbricalError],
    waited_s: float = 0.0,
) -> None:
    """Take the picture, once the 3D view shows a frame or none will come, and close the window."""
    drawn = window.view.shows_result or (window.view.has_picture and session.trouble() != "")
    if screenshot is not None and not drawn and waited_s < _PICTURE_WAIT_S:
        later = waited_s + _POLL_MS / 1000
        QTimer.singleShot(_POLL_MS, window, lambda: _finish(window, session, screenshot, failures, later))
        return
    try:
        if screenshot is not None:
            save_picture(window, screenshot)
    except LumbricalError as error:
        failures.append(error)
    window.close()
    if screenshot is not None and not failures:
        print(f"written to {screenshot}")


def _route_errors(window: MainWindow) -> None:
    """A slip in a slot is said in the window and on stderr; it ends neither tracking nor the window."""

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        window.banner.say("trouble", f"something went wrong in the window: {kind.__name__}: {error}")

    sys.excepthook = report
