"""A strip of words over the 3D view: what is wrong, or what one is looking at, and what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from app.ui import theme

_COLORS = {"note": ("#16222e", "#2b4a66"), "alarm": ("#2e1a1a", "#6b3634"), "trouble": ("#2e1a1a", "#6b3634")}


class Banner(QFrame):
    """Hidden while there is nothing to say; notes and alarms can be dismissed, trouble goes away by itself.

    A note that was dismissed stays away; an alarm comes back when it is raised again after something else was said."""

    def __init__(self) -> None:
        super().__init__()
        self._text = QLabel(wordWrap=True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._close = QPushButton("Hide")
        self._close.clicked.connect(self._dismiss)
        self._dismissed: set[str] = set()
        self._dismissed_alarm = ""
        self._shown = ("", "")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 8, 10, 8)
        layout.setSpacing(12)
        layout.addWidget(self._text, 1)
        layout.addWidget(self._close, 0, Qt.AlignmentFlag.AlignVCenter)
        self.hide()

    @property
    def text(self) -> str:
        """What it says now; empty while hidden."""
        return self._shown[1]

    def say(self, kind: str, text: str) -> None:
        """Show words of a kind, "note", "alarm" or "trouble"; an empty text hides the strip."""
        if kind != "alarm":
            self._dismissed_alarm = ""
        if (kind == "note" and text in self._dismissed) or (kind == "alarm" and text == self._dismissed_alarm):
            text = ""
        if (kind, text) == self._shown:
            return
        self._shown = (kind, text)
        self.setVisible(bool(text))
        if not text:
            return
        self._text.setText(text)
        self._close.setVisible(kind != "trouble")
        back, line = _COLORS[kind]
        self.setStyleSheet(
            f"Banner {{ background: {back}; border: none; border-bottom: 1px solid {line}; }}"
            f"QLabel {{ color: {theme.TEXT}; }}"
        )

    def _dismiss(self) -> None:
        kind, text = self._shown
        if kind == "alarm":
            self._dismissed_alarm = text
        else:
            self._dismissed.add(text)
        self.say(kind, "")
