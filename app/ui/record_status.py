"""While a take is recorded: a red dot, its length and size, what the disk still holds, what was lost."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.runtime.record_control import RecordPhase, RecordView
from app.take_words import clock, lost_count, lost_words, saved_words, size_words, time_left
from app.ui import theme
from app.ui.status_bar import Dot

_SAVED_SHOWN_S = 8.0
#: Words as wide as they usually get.
_USUAL = "0:00 · 000 MB · 00 min left"


class RecordStatus(QWidget):
    """Hidden while there is nothing to say; a closed take is told for some seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._dot = Dot()
        self._words = theme.label("", "value")
        self._lost = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(7)
        for widget in (self._dot, self._words, self._lost):
            layout.addWidget(widget)
        self._finished = 0
        self._told_until_s = 0.0
        self._widest = 0
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty while hidden."""
        return " ".join(filter(None, (self._words.text(), self._lost.text()))) if not self.isHidden() else ""

    def show_view(self, view: RecordView) -> None:
        """Show how the recording stands."""
        if view.finished != self._finished:
            self._finished = view.finished
            self._told_until_s = time.monotonic() + _SAVED_SHOWN_S
        words, lost, color, tip = "", "", theme.RECORD, ""
        status = view.status
        if view.phase is RecordPhase.COUNTDOWN:
            words, color = f"recording in {math.ceil(view.countdown_s)} s", theme.WARN
        elif view.phase is RecordPhase.CLOSING:
            words, color, tip = f"closing {clock(status.elapsed_s)} …", theme.WARN, lost_words(status)
        elif view.phase is RecordPhase.RECORDING:
            left = time_left(status.disk_left_s, status.disk_left_bytes)
            words = " · ".join(filter(None, (clock(status.elapsed_s), size_words(status.size_bytes), left)))
            lost, tip = f"{lost_count(status)} lost", lost_words(status)
        elif time.monotonic() < self._told_until_s:
            words, color, tip = saved_words(view), theme.GOOD, str(view.path or "")
        self._tell(words, lost, color, tip, lost_count(status) > 0)
        if view.phase is RecordPhase.READY:
            self._widest = self._words.fontMetrics().horizontalAdvance(_USUAL)

    def _tell(self, words: str, lost: str, color: str, tip: str, alarming: bool) -> None:
        self.setVisible(bool(words))
        if not words:
            return
        self._words.setText(words)
        # It grows with its numbers, but does not jump back and forth with each.
        self._widest = max(self._widest, self._words.sizeHint().width())
        self._words.setMinimumWidth(self._widest if lost else 0)
        self._lost.setVisible(bool(lost))
        self._lost.setText(lost)
        self._lost.setStyleSheet(f"color: {theme.BAD if alarming else theme.QUIET};")
        self._dot.set_color(color)
        self._settle()
        for widget in (self._dot, self._words, self._lost):
            widget.setToolTip(tip)

    def _settle(self) -> None:
        """Give the words their room now: until Qt's next turn, longer ones would lie over their neighbour."""
        parent = self.parentWidget()
        for layout in (self.layout(), parent.layout() if parent is not None else None):
            if layout is not None:
                layout.activate()


class CountdownOverlay(QWidget):
    """The seconds until a take begins, large, in the middle of its parent; the mouse goes through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._left_s = 0.0
        self._whole_s = 1.0
        self.hide()

    def show_view(self, view: RecordView) -> None:
        """Count, or hide."""
        counting = view.phase is RecordPhase.COUNTDOWN
        if counting:
            self._whole_s = max(view.countdown_s, self._whole_s if self.isVisible() else 0.0)
            self._left_s = view.countdown_s
            parent = self.parentWidget()
            if parent is not None:
                self.setGeometry(parent.rect())
            self.raise_()
            self.update()
        self.setVisible(counting)

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side = min(150.0, 0.4 * min(self.width(), self.height()))
        circle = QRectF(0, 0, side, side)
        circle.moveCenter(QRectF(self.rect()).center())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(13, 15, 18, 170))
        painter.drawEllipse(circle)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        ring = circle.adjusted(6, 6, -6, -6)
        painter.setPen(QPen(QColor(theme.LINE), 4))
        painter.drawEllipse(ring)
        painter.setPen(QPen(QColor(theme.RECORD), 4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawArc(ring, 90 * 16, round(360 * 16 * self._left_s / max(self._whole_s, 1e-3)))
        font = QFont(painter.font())
        font.setPixelSize(max(8, round(0.45 * side)))
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(theme.TEXT))
        painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, str(math.ceil(self._left_s)))
