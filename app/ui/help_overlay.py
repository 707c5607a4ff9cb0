"""What the keys and the mouse do, over the window."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from app.ui import theme

_KEYS = (
    ("R", "record, and stop recording"),
    ("L", "the takes that were recorded"),
    ("Space", "play or pause a recording"),
    ("← →", "one frame back or on"),
    ("Home  End", "first or last frame"),
    ("A  B", "repeat from here, up to here"),
    ("P", "start over at the end, or stop there"),
    ("C", "learn the shape of your hand"),
    ("G", "the pose that a take holds, beside the new one"),
    ("1  2  3  4  5", "skeleton, Gaussians, mesh, point cloud, uncertainty"),
    ("V", "reset the view"),
    ("T", "where the time of a frame goes, in ms"),
    ("F", "full screen"),
    ("O", "open a sequence folder"),
    ("?", "this help"),
    ("Drag", "turn the view"),
    ("Right drag, Shift drag", "move the view"),
    ("Wheel", "come closer, go away"),
    ("Double click", "reset the view"),
)


class HelpOverlay(QWidget):
    """Covers its parent; any click or ? or Escape closes it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet("HelpOverlay { background: rgba(8, 10, 12, 190); }")
        card = QFrame()
        card.setObjectName("card")
        card.setStyleSheet(
            f"QFrame#card {{ background: {theme.PANEL}; border: 1px solid {theme.LINE}; border-radius: 12px; }}"
        )
        grid = QGridLayout(card)
        grid.setContentsMargins(28, 22, 28, 22)
        grid.setHorizontalSpacing(28)
        grid.setVerticalSpacing(6)
        grid.addWidget(theme.label("KEYS AND MOUSE", "title"), 0, 0, 1, 2)
        for row, (keys, meaning) in enumerate(_KEYS, 1):
            key = QLabel(keys)
            key.setStyleSheet(f"color: {theme.ACCENT}; font-weight: 600;")
            grid.addWidget(key, row, 0)
            grid.addWidget(QLabel(meaning), row, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(card, 0, Qt.AlignmentFlag.AlignCenter)
        self.hide()

    def cover_parent(self) -> None:
        """Take the parent's whole area."""
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())

    def toggle(self) -> None:
        """Open or close it."""
        self.cover_parent()
        self.setVisible(not self.isVisible())
        self.raise_()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.hide()
