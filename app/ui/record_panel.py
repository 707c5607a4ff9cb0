"""The record button, the take's name and, folded away, everything else that can be said of the next take."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QKeyEvent, QPainter, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.runtime.record_control import RecordPhase, RecordView
from app.take_words import folder_words
from app.ui import theme
from app.ui.settings import RecordChoices
from app.ui.status_bar import ElidedLabel
from engine.takes.facts import MAX_TEXT

_ICON_SIZE = 16
_NAME_LENGTH = 200
_NOTES_HEIGHT = 58


class RecordPanel(QWidget):
    """Emits toggled, library_wanted, folder_wanted, and changed when anything that is said of the take was changed."""

    toggled = Signal()
    library_wanted = Signal()
    folder_wanted = Signal()
    changed = Signal()

    def __init__(self, countdown_s: float, preroll_s: float) -> None:
        super().__init__()
        self._phase: RecordPhase | None = None
        self._icons = {kind: _record_icon(kind) for kind in ("record", "stop")}
        self._record = QPushButton()
        self._record.clicked.connect(self.toggled)
        self._library = QPushButton("Takes")
        self._library.setToolTip("What was recorded: play, rename, delete (L)")
        self._library.clicked.connect(self.library_wanted)
        self._more = theme.switch("…")
        self._more.setFixedWidth(34)
        self._more.setToolTip("Notes, count-down, pre-roll, the folder of takes")
        self.name = QLineEdit(placeholderText="Name of the take", maxLength=_NAME_LENGTH)
        self.name.setToolTip("Part of the file's name; it can be changed later, too")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self._record, 1)
        buttons.addWidget(self._library)
        buttons.addWidget(self._more)
        details = self._details(countdown_s, preroll_s)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(theme.label("RECORD", "title"))
        layout.addLayout(buttons)
        layout.addWidget(self.name)
        layout.addWidget(details)
        details.hide()
        self._more.toggled.connect(details.setVisible)
        for field in (self.name, self.user, self.notes):
            field.installEventFilter(self)
            # Only a click puts the cursor there: until then, letters are keys of the window.
            field.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            field.textChanged.connect(lambda *_: self.changed.emit())
        for button in self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.show_view(RecordView())

    def _details(self, countdown_s: float, preroll_s: float) -> QWidget:
        self.user = QLineEdit(placeholderText="Whose hand it is", maxLength=_NAME_LENGTH)
        self.notes = QPlainTextEdit(placeholderText="Notes")
        self.notes.setToolTip("Anything worth knowing later; what is typed while recording is kept, too")
        self.notes.setFixedHeight(_NOTES_HEIGHT)
        self.notes.setTabChangesFocus(True)
        self.countdown = theme.switch("Count-down")
        self.countdown.setToolTip(f"Wait {countdown_s:g} s before a take begins")
        self.preroll = theme.switch("Pre-roll")
        self.preroll.setToolTip(f"A take has the last {preroll_s:g} s before its start too; they are kept in memory")
        self.hand_only = theme.switch("Hand only")
        self.hand_only.setToolTip("Record nothing but the hand's pixels, and nothing while no hand is tracked")
        switches = QHBoxLayout()
        switches.setSpacing(6)
        for switch in (self.countdown, self.preroll, self.hand_only):
            switch.toggled.connect(lambda *_: self.changed.emit())
            switches.addWidget(switch)
        self._folder = ElidedLabel()
        self._folder.setProperty("role", "quiet")
        choose = QPushButton("Folder …")
        choose.setToolTip("Where takes go")
        choose.clicked.connect(self.folder_wanted)
        place = QHBoxLayout()
        place.setSpacing(6)
        place.addWidget(self._folder, 1)
        place.addWidget(choose)
        details = QWidget()
        column = QVBoxLayout(details)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.user)
        column.addWidget(self.notes)
        column.addLayout(switches)
        column.addLayout(place)
        return details

    @property
    def choices(self) -> RecordChoices:
        """What is to be remembered; without the folder."""
        return RecordChoices(
            user=self.user.text().strip(),
            countdown=self.countdown.isChecked(),
            preroll=self.preroll.isChecked(),
            hand_only=self.hand_only.isChecked(),
        )

    def set_choices(self, choices: RecordChoices) -> None:
        """Fill in what was remembered."""
        self.user.setText(choices.user)
        self.countdown.setChecked(choices.countdown)
        self.preroll.setChecked(choices.preroll)
        self.hand_only.setChecked(choices.hand_only)

    def set_folder(self, folder: Path) -> None:
        """Show where takes go."""
        self._folder.set_full_text(folder_words(folder))

    @property
    def notes_text(self) -> str:
        """The notes, no longer than a take can hold."""
        return self.notes.toPlainText()[:MAX_TEXT]

    def clear_texts(self) -> None:
        """The take is closed: the next one has another name."""
        self.name.clear()
        self.notes.clear()

    def show_view(self, view: RecordView) -> None:
        """Make the button say what it would do."""
        if view.phase is self._phase:
            return
        self._phase = view.phase
        texts = {
            RecordPhase.READY: ("Record", "record", "Begin a take (R)"),
            RecordPhase.COUNTDOWN: ("Cancel", "stop", "Do not begin (R)"),
            RecordPhase.RECORDING: ("Stop", "stop", "End the take (R)"),
            RecordPhase.CLOSING: ("Closing …", "stop", "What waits is being written"),
        }
        text, icon, tip = texts[view.phase]
        self._record.setText(text)
        self._record.setIcon(self._icons[icon])
        self._record.setToolTip(tip)
        self._record.setEnabled(view.phase is not RecordPhase.CLOSING)
        self._record.setProperty("role", "" if view.phase is RecordPhase.READY else "danger")
        self._record.style().unpolish(self._record)
        self._record.style().polish(self._record)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Return and Escape give the keys back to the window."""
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress and isinstance(watched, QWidget):
            leave = event.key() == Qt.Key.Key_Escape
            leave |= event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(watched, QLineEdit)
            if leave:
                watched.clearFocus()
                return True
        return super().eventFilter(watched, event)


def _record_icon(kind: str) -> QIcon:
    """A red dot or a pale square, at twice its size so that it stays sharp on dense screens."""
    pixmap = QPixmap(2 * _ICON_SIZE, 2 * _ICON_SIZE)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.RECORD if kind == "record" else theme.TEXT))
    if kind == "record":
        painter.drawEllipse(3, 3, 10, 10)
    else:
        painter.drawRoundedRect(3, 3, 10, 10, 1.5, 1.5)
    painter.end()
    return QIcon(pixmap)
