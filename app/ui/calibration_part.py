"""The user's hand in the window: the picker of profiles, and the wizard that makes one."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.runtime.calibration_worker import CalibrationView, CalibrationWorker, Phase
from app.runtime.methods import runner_of
from app.runtime.profile_choice import ProfileChoice, ProfileKey
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice
from app.ui import theme
from app.ui.calibration_page import CalibrationPage
from app.ui.controls import TrackingControls
from engine.types import Side

_NONE = "No profile"


class HandPanel(QWidget):
    """The profiles, none first, and the button that begins a calibration; emits chosen(ProfileKey or None)."""

    chosen = Signal(object)
    calibrate_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[ProfileKey | None] = []
        self._box = QComboBox()
        self._box.setMinimumContentsLength(8)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setToolTip("Whose hand is tracked: a profile holds its shape, which makes poses steadier")
        self._box.activated.connect(lambda index: self.chosen.emit(self._keys[index]))
        self.button = QPushButton("Calibrate …")
        self.button.setToolTip("Learn the shape of your hand, in about a minute (C)")
        self.button.clicked.connect(self.calibrate_wanted)
        for widget in (self._box, self.button):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self._box, 1)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(theme.label("YOUR HAND", "title"))
        layout.addLayout(row)

    @property
    def texts(self) -> list[str]:
        """What is on the list."""
        return [self._box.itemText(index) for index in range(self._box.count())]

    def show_profiles(self, keys: list[ProfileKey], used: ProfileKey | None) -> None:
        """Show these, and which one is used."""
        wanted: list[ProfileKey | None] = [None, *keys]
        if wanted != self._keys:
            self._keys = wanted
            self._box.clear()
            for key in wanted:
                self._box.addItem(_NONE if key is None else key.words)
        place = wanted.index(used) if used in wanted else 0
        if self._box.currentIndex() != place and not self._box.view().isVisible():
            self._box.setCurrentIndex(place)


class CalibrationPart(QObject):
    """Owns the panel and the page. opened, closed: the page is to be shown, or no longer."""

    opened = Signal()
    closed = Signal()

    def __init__(
        self,
        session: LiveSession,
        choice: ProfileChoice | None,
        controls: TrackingControls,
        trackers: TrackerChoice | None = None,
    ) -> None:
        """choice: without it, as with a hand of the user's own mesh, there are no profiles, and no panel is shown.
        trackers: the weights that are tracked with, and calibrated with too."""
        super().__init__()
        self._session, self._choice, self._controls, self._trackers = session, choice, controls, trackers
        self.panel, self.page = HandPanel(), CalibrationPage()
        self.panel.setVisible(choice is not None)
        self._worker: CalibrationWorker | None = None
        self._shown: CalibrationView | None = None
        self._spec = ""
        self._before: ProfileKey | None = None
        self.panel.chosen.connect(self.choose)
        self.panel.calibrate_wanted.connect(self.toggle)
        controls.side_changed.connect(self._follow_side)
        page = self.page
        page.begin_wanted.connect(self._begin)
        page.skip_wanted.connect(lambda: self._worker.skip() if self._worker else None)
        page.finish_wanted.connect(lambda: self._worker.finish() if self._worker else None)
        page.accept_wanted.connect(lambda: self._worker.accept() if self._worker else None)
        page.take_back_wanted.connect(lambda: self._worker.take_back() if self._worker else None)
        page.closed.connect(self.close)
        self._list()

    @property
    def used(self) -> ProfileKey | None:
        """The profile that is held."""
        return self._choice.used if self._choice is not None else None

    @property
    def view(self) -> CalibrationView | None:
        """How the calibration stands that is under way, or was just ended; None without one."""
        return self._worker.view if self._worker is not None else None

    @property
    def trouble(self) -> str:
        """Why a profile could not be used."""
        return self._choice.trouble if self._choice is not None else ""

    def recall(self, key: ProfileKey | None) -> None:
        """Use the profile of last time, unless one was asked for already."""
        if self._choice is None:
            return
        if self._choice.used is None and key is not None:
            self._choice.choose(key)
        if self._choice.used is not None:
            self._controls.set_side(self._choice.used.side)
        self._list()

    def choose(self, key: ProfileKey | None) -> None:
        """Track with that profile from the next frame on."""
        if self._choice is None:
            return
        self._choice.choose(key)
        if key is not None and self._choice.used == key:
            self._controls.set_side(key.side)
        self._list()

    def toggle(self) -> None:
        """Open the wizard, or leave it."""
        if self._choice is None:
            return
        if self.page.isVisible():
            self.close()
            return
        used, seen = self._choice.used, self._controls.side
        self.page.ask_whose(used.user if used is not None else "", used.side if used is not None else seen,
                            not self._session.capture.is_live)  # fmt: skip
        self.opened.emit()

    def skip(self) -> None:
        """Leave the present pose out, while one is asked for."""
        if self._worker is not None:
            self._worker.skip()

    def close(self) -> None:
        """Leave the wizard. What was accepted stays, all else was never written."""
        self.stop()
        self.closed.emit()

    def refresh(self) -> None:
        """Show how the calibration stands."""
        worker = self._worker
        if worker is None:
            return
        if self._session.capture.spec != self._spec:
            self.close()  # another source is another camera, and maybe another hand
            return
        view = worker.view
        if worker.message and view.phase is not Phase.FAILED:
            self.stop()
            self.page.ask_whose(view.user, view.side, not self._session.capture.is_live)
            self.page.refuse(worker.message)
            return
        before, self._shown = self._shown, view
        if view is before:
            return
        self.page.show_view(view)
        if before is not None and before.phase is not view.phase:
            self._note_phase(view)

    def stop(self) -> None:
        """End the calibration that is under way, if any."""
        worker, self._worker, self._shown = self._worker, None, None
        if worker is not None:
            worker.stop()

    def _begin(self, user: str, side: Side) -> None:
        assert self._choice is not None
        self.stop()
        self._controls.set_side(side)
        weights = self._trackers.wish.weights if self._trackers is not None else None
        self._before, self._spec = self._choice.used, self._session.capture.spec
        self._worker = CalibrationWorker(self._session, self._choice.store, user, side, partial(runner_of, weights))
        self._worker.start()
        self.page.show_view(self._worker.view)

    def _note_phase(self, view: CalibrationView) -> None:
        """A profile was saved: it is used at once; taken back: what was used before."""
        assert self._choice is not None
        if view.phase is Phase.SAVED and view.saved is not None:
            self._choice.use(view.saved)
            self._controls.set_side(view.saved.side)
        elif view.phase is Phase.TAKEN_BACK:
            self._choice.choose(self._before)
        self._list()

    def _follow_side(self, side: Side | None) -> None:
        if self._choice is not None:
            self._choice.follow_side(side)
            self._list()

    def _list(self) -> None:
        if self._choice is not None:
            self.panel.show_profiles(self._choice.keys(), self._choice.used)
