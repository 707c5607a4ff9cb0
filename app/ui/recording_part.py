"""Recording in the window: between the panel, the status line, the count-down and the recorder's own thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from app.config import AppConfig
from app.runtime.adaptation_worker import AdaptationWorker
from app.runtime.methods import DEFAULT_METHOD, PROFILE_METHOD, tracker_settings
from app.runtime.profile_choice import ProfileChoice, ProfileKey
from app.runtime.record_control import RecordControl, RecordPhase, RecordView, TakeWishes
from app.runtime.recording import RecorderConfig
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice
from app.take_words import alarm
from app.takes_folder import checked_takes_folder, default_takes_folder
from app.ui.controls import TrackingControls
from app.ui.record_panel import RecordPanel
from app.ui.record_status import CountdownOverlay, RecordStatus
from app.ui.settings import Memory, RecordChoices
from calibration.profiles import profile_as_json
from engine.runners.choose import FIRST_RUNNER
from engine.types import LumbricalError

_END_LIMIT_S = 70.0


class RecordingPart(QObject):
    """Owns the widgets and the RecordControl, which it starts; emits saved when a take was closed."""

    saved = Signal()
    folder_changed = Signal(Path)

    def __init__(
        self,
        session: LiveSession,
        config: AppConfig,
        memory: Memory,
        controls: TrackingControls,
        over: QWidget,
        trackers: TrackerChoice | None = None,
        profiles: ProfileChoice | None = None,
        adaptation: AdaptationWorker | None = None,
    ) -> None:
        """trackers, profiles, adaptation: what is tracked with, and whose hand is held, as takes tell."""
        super().__init__()
        self._trackers, self._profiles, self._adaptation = trackers, profiles, adaptation
        self._told: tuple[int, ProfileKey | None, str] = (0, None, self._runner)
        self._config, self._memory, self._controls, self._over = config, memory, controls, over
        settings = config.recording
        self.panel = RecordPanel(settings.countdown_s, settings.preroll_s)
        self.status = RecordStatus()
        self._overlay = CountdownOverlay(over)
        choices = memory.load_recording()
        self.panel.set_choices(choices)
        self._trouble = ""
        self._folder = self._remembered_folder(choices)
        self.panel.set_folder(self._folder)
        self._finished = 0
        recorder = RecorderConfig(preroll_bytes=settings.preroll_mb << 20)
        self.control = RecordControl(session, self._wishes(), recorder)
        self.control.start()
        self.panel.toggled.connect(self.toggle)
        self.panel.changed.connect(self._tell_wishes)
        self.panel.folder_wanted.connect(self._choose_folder)
        controls.smoothing_changed.connect(self._note_settings)
        controls.side_changed.connect(self._note_settings)

    @property
    def folder(self) -> Path:
        """Where takes go."""
        return self._folder

    @property
    def busy(self) -> bool:
        """Whether a take is counted down, recorded or closed."""
        return self.control.active

    @property
    def view(self) -> RecordView:
        """How the recording stands."""
        return self.control.view

    def toggle(self) -> None:
        """Begin a take or end it."""
        self._trouble = ""
        self._tell_wishes()
        self.control.toggle()

    def alarm(self) -> str:
        """What is wrong and what to do; empty while all is well."""
        return self._trouble or alarm(self.control.view)

    def refresh(self) -> None:
        """Show how things stand."""
        view = self.control.view
        now = self._trackers.changes if self._trackers else 0, self._held.used if self._held else None, self._runner
        if now != self._told:
            self._told = now
            self._tell_wishes()
            self._note_settings()
        self.panel.show_view(view)
        self.status.show_view(view)
        self._overlay.show_view(view)
        if view.finished != self._finished:
            self._finished = view.finished
            self.panel.clear_texts()
            self.saved.emit()

    def end(self) -> None:
        """End the take, if any, without waiting."""
        self.control.end()

    def stop(self, limit_s: float | None = None) -> None:
        """End the take, wait until it is closed, limit_s at most, and remember the choices."""
        choices = self.panel.choices
        self._memory.save_recording(RecordChoices(**{**vars(choices), "folder": self._memory.load_recording().folder}))
        self.control.stop(_END_LIMIT_S if limit_s is None else limit_s)

    def _remembered_folder(self, choices: RecordChoices) -> Path:
        for folder in (self._config.takes_folder, choices.folder):
            if folder:
                try:
                    return checked_takes_folder(folder)
                except LumbricalError as error:
                    self._trouble = str(error)
        return default_takes_folder()

    def _wishes(self) -> TakeWishes:
        settings, choices = self._config.recording, self.panel.choices
        return TakeWishes(
            folder=self._folder,
            name=self.panel.name.text().strip(),
            notes=self.panel.notes_text,
            user=choices.user,
            countdown_s=settings.countdown_s if choices.countdown else 0.0,
            preroll_s=settings.preroll_s if choices.preroll else 0.0,
            hand_only=choices.hand_only,
            side=self._controls.side,
            smoothing=self._controls.smoothing,
            method=self._method,
            runner=self._runner,
            profile=profile_as_json(self._held.profile) if self._held and self._held.profile else None,
        )

    @property
    def _held(self) -> ProfileChoice | None:
        """The choice of a profile, while one is held."""
        return self._profiles if self._profiles is not None and self._profiles.used is not None else None

    @property
    def _method(self) -> str:
        """By which the take could be tracked again: a hand that is held is in the take."""
        chosen = self._trackers.wish.method if self._trackers is not None else DEFAULT_METHOD
        return PROFILE_METHOD if self._held and chosen == DEFAULT_METHOD else chosen

    @property
    def _runner(self) -> str:
        """What computes the encoder, an adapted version's too."""
        adapted = self._adaptation.view.runner if self._adaptation is not None else ""
        return adapted or (self._trackers.used.runner if self._trackers is not None else FIRST_RUNNER)

    def _tell_wishes(self) -> None:
        self.control.wish(self._wishes())

    def _note_settings(self, *_: object) -> None:
        """A take says with which settings it began, and when they were changed."""
        if self.control.view.phase is RecordPhase.RECORDING:
            controls = self._controls
            now = tracker_settings(controls.side, controls.smoothing, self._method, self._runner)
            self.control.note("settings", now)

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self._over, "Where takes go", str(self._folder))
        if chosen:
            self.use_folder(Path(chosen))

    def use_folder(self, folder: Path) -> None:
        """Put takes there from now on, and remember it."""
        try:
            self._folder = checked_takes_folder(folder)
        except LumbricalError as error:
            self._trouble = str(error)
            return
        self._trouble = ""
        self._memory.save_recording(RecordChoices(**{**vars(self.panel.choices), "folder": str(self._folder)}))
        self.panel.set_folder(self._folder)
        self._tell_wishes()
        self.folder_changed.emit(self._folder)
