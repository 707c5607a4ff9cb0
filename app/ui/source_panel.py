"""The source picker: cameras, the demo take, recordings opened before; refresh, open a file or a folder."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from app.runtime.sources import SourceChoice
from app.ui import theme


class SourcePanel(QWidget):
    """Emits chosen(spec) when the user picks a source."""

    chosen = Signal(str)
    refresh_wanted = Signal()
    file_wanted = Signal()
    folder_wanted = Signal()

    def __init__(self, testing: QMenu | None = None) -> None:
        """testing: a menu for those who try what the app does when a source misbehaves."""
        super().__init__()
        self._cameras: list[SourceChoice] = []
        self._recordings: list[SourceChoice] = []
        self._box = QComboBox()
        self._box.setMinimumContentsLength(10)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setToolTip("Where depth images come from")
        self._box.activated.connect(lambda index: self.chosen.emit(self._box.itemData(index)))
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for text, tip, signal in (
            ("Refresh", "Look for cameras again", self.refresh_wanted),
            ("File …", "Open a recording (.mkv, .db3, .bag)", self.file_wanted),
            ("Folder …", "Open a sequence folder", self.folder_wanted),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(signal)
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        top = QHBoxLayout()
        top.addWidget(theme.label("SOURCE", "title"), 1)
        if testing is not None:
            button = QPushButton("Testing", flat=True)
            button.setToolTip("Let the source misbehave on purpose")
            button.setMenu(testing)
            top.addWidget(button)
        layout.addLayout(top)
        layout.addWidget(self._box)
        layout.addLayout(buttons)

    def set_cameras(self, cameras: list[SourceChoice]) -> None:
        """Replace the list of cameras, keeping the choice."""
        self._cameras = cameras
        self._fill()

    def add_recording(self, recording: SourceChoice) -> None:
        """Add a recording to the list, once."""
        if all(recording.spec != known.spec for known in self._recordings):
            self._recordings.append(recording)
            self._fill()

    def choices(self) -> list[SourceChoice]:
        """What is on the list now."""
        return [*self._cameras, *self._recordings]

    def show_current(self, spec: str) -> None:
        """Mark the source that is in use."""
        self._box.setCurrentIndex(self._box.findData(spec))

    def _fill(self) -> None:
        current = self._box.currentData()
        self._box.clear()
        for choice in self.choices():
            self._box.addItem(choice.label, choice.spec)
        self._box.setCurrentIndex(self._box.findData(current))
