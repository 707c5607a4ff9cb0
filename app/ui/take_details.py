"""The selected take below the list: its name and notes to be changed, and what can be done with it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QStackedLayout, QVBoxLayout, QWidget

from app.take_notes import TakeNotes
from app.take_summary import TakeState
from app.take_words import facts, title
from app.takes_library import TakeEntry
from app.ui.status_bar import ElidedLabel

_NAME_LENGTH, _NOTES_LENGTH = 200, 2000


class TakeDetails(QWidget):
    """Emits described(path, TakeNotes), open_wanted, reveal_wanted, recover_wanted(path), delete_confirmed(path)."""

    described = Signal(Path, object)
    open_wanted = Signal()
    reveal_wanted = Signal()
    recover_wanted = Signal(Path)
    delete_confirmed = Signal(Path)

    def __init__(self) -> None:
        super().__init__()
        self._entry: TakeEntry | None = None
        #: The name that a take was just given: its file's name changes with it.
        self.awaited_name = ""
        self.name = QLineEdit(placeholderText="Name", maxLength=_NAME_LENGTH)
        self.name.setToolTip("The take's name, and part of its file's (F2)")
        self.notes = QLineEdit(placeholderText="Notes", maxLength=_NOTES_LENGTH)
        for field in (self.name, self.notes):
            field.editingFinished.connect(self._describe)
            field.installEventFilter(self)
            field.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        texts = QHBoxLayout()
        texts.setSpacing(8)
        texts.addWidget(self.name, 2)
        texts.addWidget(self.notes, 3)
        self._stack = QStackedLayout()
        self._stack.addWidget(self._actions())
        self._stack.addWidget(self._question())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(texts)
        layout.addLayout(self._stack)

    def _actions(self) -> QWidget:
        self._play = _button("Play", "Play it, with the poses that were recorded (Return)", self.open_wanted.emit)
        reveal = _button("Show in folder", "Open its folder in the file manager", self.reveal_wanted.emit)
        self._recover = _button("Write a clean copy", "All that can be read, in a new take", self._want_recovery)
        delete = _button("Delete …", "Delete it for good (Delete)", self.ask_to_delete)
        return _row(self._play, reveal, self._recover, None, delete)

    def _question(self) -> QWidget:
        self._asked = ElidedLabel()
        yes = _button("Delete for good", "There is no way back", self._confirm)
        yes.setProperty("role", "danger")
        no = _button("Keep it", "Do not delete it (Escape)", self.keep)
        return _row(self._asked, no, yes)

    @property
    def asking(self) -> bool:
        """Whether it waits to be told that the take shall be deleted."""
        return self._stack.currentIndex() == 1

    def show_entry(self, entry: TakeEntry) -> None:
        """Show a take; a text that is being typed stays."""
        other = self._entry is None or self._entry.path != entry.path
        self._entry = entry
        summary = entry.summary
        if other:
            self.keep()
        for field, text in (
            (self.name, summary.name if summary else ""),
            (self.notes, summary.notes if summary else ""),
        ):
            if other or not field.hasFocus():
                field.setText(" ".join(text.split()))
            field.setEnabled(summary is not None and not summary.recording)
        self._play.setEnabled(summary is None or summary.frames > 0)
        self._recover.setVisible(
            summary is not None and summary.state in (TakeState.DAMAGED, TakeState.RECOVERED) and summary.problem != ""
        )

    def begin_rename(self) -> None:
        """Put the cursor into the name."""
        self.name.setFocus()
        self.name.selectAll()

    def ask_to_delete(self) -> None:
        """Ask, before anything is lost."""
        if self._entry is None:
            return
        self._asked.set_full_text(f"Delete “{title(self._entry)[:40]}”, {facts(self._entry)}?")
        self._stack.setCurrentIndex(1)

    def keep(self) -> None:
        """Do not delete."""
        self._stack.setCurrentIndex(0)

    def _confirm(self) -> None:
        self.keep()
        if self._entry is not None:
            self.delete_confirmed.emit(self._entry.path)

    def _want_recovery(self) -> None:
        if self._entry is not None:
            self.recover_wanted.emit(self._entry.path)

    def _describe(self) -> None:
        entry = self._entry
        if entry is None or entry.summary is None:
            return
        notes = TakeNotes(self.name.text().strip(), self.notes.text().strip())
        old = TakeNotes(*(" ".join(text.split()) for text in (entry.summary.name, entry.summary.notes)))
        if notes == old:
            return
        if notes.notes == old.notes:
            # Only the name was changed: notes of several lines stay as they are.
            notes = TakeNotes(notes.name, entry.summary.notes)
        self.awaited_name = notes.name
        self.described.emit(entry.path, notes)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Return takes a text over and Escape leaves it as it was; both give the keys back to the window."""
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress and isinstance(watched, QLineEdit):
            if event.key() == Qt.Key.Key_Escape and self._entry is not None:
                summary = self._entry.summary
                self.name.setText(summary.name if summary else "")
                self.notes.setText(" ".join((summary.notes if summary else "").split()))
            if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
                watched.clearFocus()
                return True
        return super().eventFilter(watched, event)


def _button(text: str, tip: str, action: object) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.clicked.connect(lambda *_: action())  # type: ignore[operator]
    return button


def _row(*widgets: QWidget | None) -> QWidget:
    """Widgets in a row; None is a gap that grows."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(8)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget, 1 if isinstance(widget, ElidedLabel) else 0)
    return row
