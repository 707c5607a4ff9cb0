"""The main window: lays out the parts and wires them to the live session."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.config import AppConfig
from app.runtime.adaptation_worker import AdaptationWorker
from app.runtime.interfaces import LiveResult
from app.runtime.profile_choice import ProfileChoice, ProfileKey
from app.runtime.session import LiveSession
from app.runtime.sources import SourceChoice
from app.runtime.tracker_choice import TrackerChoice
from app.takes_folder import thumbnails_folder
from app.takes_library import TakesLibrary
from app.ui.adaptation_part import AdaptationPart
from app.ui.banner import Banner
from app.ui.calibration_part import CalibrationPart
from app.ui.controls import LAYERS, LayerSwitches, TrackingControls
from app.ui.depth_panel import DepthPanel
from app.ui.help_overlay import HelpOverlay
from app.ui.library_panel import LibraryPanel
from app.ui.playback_bar import PlaybackBar
from app.ui.recording_part import RecordingPart
from app.ui.replay_part import ReplayPart
from app.ui.result_signal import ResultSignal
from app.ui.settings import Choices, Memory
from app.ui.side_panel import side_panel
from app.ui.source_part import SourcePart
from app.ui.state_words import banner_words, state_words
from app.ui.status_bar import StatusBar
from app.ui.timing_overlay import TimingOverlay
from app.ui.view3d import View3D
from app.viewer.render_process import RenderProcess

_STATUS_INTERVAL_MS = 100
_NUMBERS_EVERY = 3
_SILENCE_S = 1.0
#: What a second click on the window's cross still grants the recorder.
_HASTE_S = 1.0


class MainWindow(QMainWindow):
    """Shows one LiveSession, which the caller starts and stops."""

    def __init__(
        self,
        session: LiveSession,
        config: AppConfig,
        memory: Memory,
        sources: list[SourceChoice] | None,
        trackers: TrackerChoice | None = None,
        profiles: ProfileChoice | None = None,
        adaptation: AdaptationWorker | None = None,
        drawing: RenderProcess | None = None,
    ) -> None:
        """sources: None to look for them once the window is open; trackers: what other weights and methods are tracked
        with; profiles: of users' hands; adaptation: what learns the user's hand, started and stopped by the caller.
        Without one of these three, it cannot be chosen. drawing: see View3D."""
        super().__init__()
        self.setWindowTitle("Lumbrical")
        self._session, self._memory = session, memory
        self._last: LiveResult | None = None
        self._last_at = time.monotonic()
        self._ticks = 0
        self._faces: NDArray[np.int32] | None = None
        self._closing = self._ended = False
        self.view = View3D(config.viewer, session.statistics.record_view, drawing)
        self.depth_panel = DepthPanel()
        self.sources = SourcePart(session, memory, sources, self, config.source is not None)
        self.replay = ReplayPart(session, trackers)
        self.layers = LayerSwitches(self.replay.switch)
        self.controls = TrackingControls(self.replay.picker)
        self.calibration = CalibrationPart(session, profiles, self.controls, trackers)
        self.adaptation = AdaptationPart(adaptation) if adaptation is not None else None
        self.playback = PlaybackBar()
        self.recording = RecordingPart(
            session, config, memory, self.controls, self.view, trackers, profiles, adaptation
        )
        self.takes = TakesLibrary(self.recording.folder, thumbnails_folder())
        self.takes.start()
        self.library = LibraryPanel(self.takes)
        self.status = StatusBar(self.recording.status)
        self.banner = Banner()
        self.timing = TimingOverlay(self.view)
        self.help = HelpOverlay(self._lay_out())
        self.setFocus()
        self._wire()
        self._bind_keys()
        self._recall(memory.load(Choices(smoothing=config.tracking.smoothing)))
        self._status_timer = self._every(_STATUS_INTERVAL_MS, self._refresh)

    def _lay_out(self) -> QWidget:
        central = QWidget()
        central.setObjectName("central")
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addWidget(self.banner)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.view)
        self._pages.addWidget(self.library)
        self._pages.addWidget(self.calibration.page)
        left.addWidget(self._pages, 1)
        left.addWidget(self.playback)
        top = QHBoxLayout()
        top.setSpacing(0)
        top.addLayout(left, 1)
        hand: list[QWidget] = [part for part in (self.calibration.panel, self.adaptation) if part is not None]
        panel = side_panel(self.sources.panel, self.recording.panel, self.depth_panel, hand, self.layers, self.controls)
        top.addWidget(panel)
        whole = QVBoxLayout(central)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(top, 1)
        whole.addWidget(self.status)
        self.playback.hide()
        self.setCentralWidget(central)
        self.setMinimumSize(860, 480)
        self.resize(1280, 800)
        if self._memory.geometry is not None:
            self.restoreGeometry(self._memory.geometry)
        return central

    def _wire(self) -> None:
        capture = self._session.capture
        self.sources.switched.connect(self._forget_result)
        self._results = ResultSignal(self)
        self._results.came.connect(self._show_newest)
        self._session.tracking.add_listener(self._results)
        self.view.due.connect(self._take_result)
        self.layers.changed.connect(self.view.set_layers)
        self.controls.smoothing_changed.connect(self._session.set_smoothing)
        self.controls.side_changed.connect(self._session.set_side)
        self.playback.play_toggled.connect(lambda on: capture.play() if on else capture.pause())
        self.playback.step_wanted.connect(capture.step_frames)
        self.playback.seek_wanted.connect(capture.seek)
        self.playback.speed_changed.connect(capture.set_speed)
        self.playback.loop_toggled.connect(capture.set_loop)
        self.playback.range_changed.connect(capture.set_range)
        self.replay.switch.toggled.connect(lambda *_: self._show_last())
        self.recording.panel.library_wanted.connect(self.toggle_library)
        self.recording.folder_changed.connect(self.takes.refresh)
        self.recording.saved.connect(self.takes.refresh)
        self.library.opened.connect(self._open_take)
        self.library.closed.connect(self.toggle_library)
        self.calibration.opened.connect(lambda: self._pages.setCurrentWidget(self.calibration.page))
        self.calibration.closed.connect(lambda: self._pages.setCurrentWidget(self.view))

    def _bind_keys(self) -> None:
        capture = self._session.capture
        keys: dict[str, Callable[[], object]] = {
            "Space": lambda: capture.pause() if self.playback.playing else capture.play(),
            "Left": lambda: capture.step_frames(-1),
            "Right": lambda: capture.step_frames(1),
            "Home": lambda: capture.seek(0),
            "End": self._seek_end,
            "R": self.recording.toggle,
            "L": self.toggle_library,
            "A": self.playback.toggle_start,
            "B": self.playback.toggle_end,
            "P": lambda: capture.set_loop(not (capture.playback is not None and capture.playback.loop)),
            "G": self.replay.toggle,
            "C": self.calibration.toggle,
            "N": self.calibration.skip,
            "V": self.view.reset_view,
            "T": self.timing.toggle,
            "F": self._toggle_fullscreen,
            "F11": self._toggle_fullscreen,
            "O": self.sources.open_folder,
            "?": self.help.toggle,
            "F1": self.help.toggle,
            "Escape": self._escape,
        }
        for number, (name, _) in enumerate(LAYERS, 1):
            keys[str(number)] = partial(self.layers.toggle, name)
        for key, action in keys.items():
            QShortcut(QKeySequence(key), self).activated.connect(action)
        # Keys belong to the window: a focused button or slider must not swallow the space bar or the arrows.
        for area in (self.playback, self.layers, self.controls, self.sources.panel):
            for widget in area.findChildren(QWidget):
                widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _every(self, interval_ms: int, action: Callable[[], None]) -> QTimer:
        timer = QTimer(self, interval=interval_ms)
        timer.timeout.connect(action)
        timer.start()
        return timer

    def _recall(self, choices: Choices) -> None:
        self.layers.set_layers(choices.layers)
        self.view.set_layers(choices.layers)
        self.controls.set_smoothing(choices.smoothing)
        asked = self.calibration.used
        self.controls.set_side(choices.side if asked is None else asked.side)
        self.calibration.recall(ProfileKey.parsed(choices.profile))

    def _forget_result(self) -> None:
        """Another source was asked for: what is shown is not of it."""
        self._last = None
        self._last_at = time.monotonic()
        self.depth_panel.clear()

    def _open_take(self, path: Path) -> None:
        self._pages.setCurrentWidget(self.view)
        self.sources.open_recording(str(path))

    def toggle_library(self) -> None:
        """Show the takes instead of the hand, or the hand again."""
        if self.calibration.page.isVisible():
            self.calibration.stop()
        page = self.view if self.library.isVisible() else self.library
        self._pages.setCurrentWidget(page)

    def _show_newest(self) -> None:
        self._results.heard()
        if self._session.catching_up:
            self.view.put_off()
            return
        self._take_result()
        self.view.ask()

    def _take_result(self) -> None:
        faces = self._session.tracking.faces
        if faces is not None and faces is not self._faces:
            self._faces = faces
            self.view.set_faces(faces)
        live = self._session.results.get()
        if live is None:
            return
        self._last, self._last_at = live, time.monotonic()
        self._show_last()

    def _show_last(self) -> None:
        live = self._last
        if live is not None:
            recorded = self.replay.recorded(live)
            self.view.show_result(live.result, recorded)
            self.depth_panel.show_result(live.result, recorded)

    def _refresh(self) -> None:
        self._ticks += 1
        playback = self._session.capture.playback
        self.playback.setVisible(playback is not None)
        if playback is not None:
            self.playback.show_status(playback)
        self.sources.refresh()
        self.recording.refresh()
        self.calibration.refresh()
        if self.adaptation is not None:
            self.adaptation.refresh()
        self.status.fit()
        self.view.show_comparison(self.replay.refresh())
        self._show_state()
        self._show_words()
        if self._ticks % _NUMBERS_EVERY == 0:
            numbers = self._session.statistics.snapshot()
            self.status.show_numbers(numbers)
            self.timing.show_numbers(numbers, self.replay.runner)
        if self._closing and not self.recording.busy:
            self.close()

    def _show_state(self) -> None:
        capture, now = self._session.capture, time.monotonic()
        if capture.playback is not None and capture.playback.paused:
            self._last_at = now  # it is held, not old; and when it goes on, the next result has its time
        silent = now - self._last_at > _SILENCE_S
        state = state_words(self._session, self._last, silent)
        self.status.show_state(*state, capture.source_name or capture.spec)
        self.view.set_stale(silent)
        self.depth_panel.set_stale(silent)

    def _show_words(self) -> None:
        adapting = self.adaptation.alarm() if self.adaptation is not None else ""
        alarm = self.recording.alarm() or self.replay.trouble or self.calibration.trouble or adapting
        plays_demo = self.sources.is_for_want_of_a_camera
        self.banner.say(*banner_words(self._session, self._closing, alarm, self.replay.note, plays_demo))

    def _seek_end(self) -> None:
        playback = self._session.capture.playback
        if playback is not None:
            self._session.capture.seek(playback.frame_count - 1)

    def _toggle_fullscreen(self) -> None:
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def _escape(self) -> None:
        writing = self.focusWidget()
        if self.help.isVisible():
            self.help.hide()
        elif isinstance(writing, QLineEdit | QPlainTextEdit):
            writing.clearFocus()
        elif self.library.details.isVisible() and self.library.details.asking:
            self.library.details.keep()
        elif self.library.isVisible():
            self.toggle_library()
        elif self.calibration.page.isVisible():
            self.calibration.close()
        elif self.isFullScreen():
            self.showNormal()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.help.cover_parent()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Close the take that is being recorded first; then remember the choices and end the drawing process."""
        if self.recording.busy and not self._closing:
            self._closing = True
            self.recording.end()
            event.ignore()
            return
        self.end(_HASTE_S if self.recording.busy else None)
        super().closeEvent(event)

    def end(self, limit_s: float | None = None) -> None:
        """End everything that the window began, a take included, once; its session goes on. limit_s: how long closing
        the take may take; what is not closed then can still be opened."""
        if self._ended:
            return
        self._ended = True
        used = self.calibration.used
        # A profile's side is the profile's: without it, it would stay although nobody chose it.
        side, profile = (self.controls.side, "") if used is None else (None, used.text)
        self._memory.save(Choices(self.layers.layers, self.controls.smoothing, side, profile))
        self.calibration.stop()
        self._memory.geometry = self.saveGeometry()
        self._session.tracking.remove_listener(self._results)
        self._status_timer.stop()
        self.view.stop()
        self.takes.stop()
        self.recording.stop(limit_s)
