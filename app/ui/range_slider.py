"""A slider through a recording that shows which part of it is repeated."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSlider

from app.ui import theme

#: Of the handle, whose middle marks a value.
_HANDLE_WIDTH = 14


class RangeSlider(QSlider):
    """A horizontal slider from 0 with up to two marks, A and B, and the band between them."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setRange(0, 0)
        self._marks: tuple[int | None, int | None] = (None, None)

    @property
    def marks(self) -> tuple[int | None, int | None]:
        """A and B, None where they are not set."""
        return self._marks

    def set_marks(self, start: int | None, end: int | None) -> None:
        """Set both."""
        if (start, end) != self._marks:
            self._marks = (start, end)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        start, end = self._marks
        if start is None and end is None:
            return
        with QPainter(self) as painter:
            self._paint_marks(painter, start, end)

    def _paint_marks(self, painter: QPainter, start: int | None, end: int | None) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle = self.height() / 2
        if start is not None and end is not None:
            left, right = self._place(start), self._place(end)
            painter.setBrush(QColor(theme.WARN))
            painter.drawRoundedRect(QRectF(left, middle + 6, max(2.0, right - left), 3), 1.5, 1.5)
        painter.setBrush(QColor(theme.WARN))
        for mark in (start, end):
            if mark is not None:
                painter.drawRoundedRect(QRectF(self._place(mark) - 1.5, middle - 9, 3, 18), 1.5, 1.5)

    def _place(self, value: int) -> float:
        span = self.width() - _HANDLE_WIDTH
        return _HANDLE_WIDTH / 2 + span * value / max(1, self.maximum())
