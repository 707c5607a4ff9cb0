"""Where the time of a frame goes, over the 3D view: each stage's median, 95th and 99th percentile."""

from __future__ import annotations

import math

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.runtime.statistics import Percentiles, StatisticsSnapshot
from app.ui import theme

_HEADS = ("p50", "p95", "p99")
_NAME_WIDTH, _COLUMN, _LINE, _MARGIN = 96, 52, 18, 12
#: What is left out while it takes no time, as most frames do without.
_RARE = ("localise",)


class TimingOverlay(QWidget):
    """A table in ms; mouse and keys go through it to the view beneath."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._rows: list[tuple[str, Percentiles]] = []
        self._encoded_by = ""
        self.move(_MARGIN, _MARGIN)
        self.hide()

    def toggle(self) -> None:
        """Show or hide it."""
        self.setVisible(not self.isVisible())
        self.raise_()

    def show_numbers(self, numbers: StatisticsSnapshot, encoded_by: str) -> None:
        """Show these. encoded_by: the runner in use, in words, or nothing."""
        if not self.isVisible():
            return
        stages = [(name, times) for name, times in numbers.stages.items() if name not in _RARE or times.p99 > 0]
        self._rows = [*stages, ("in all", numbers.latency), ("draw, beside it", numbers.draw)]
        self._encoded_by = encoded_by
        lines = 1 + len(self._rows) + bool(encoded_by)
        self.resize(_NAME_WIDTH + 3 * _COLUMN + 2 * _MARGIN, lines * _LINE + 2 * _MARGIN)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(8, 10, 12, 190))
        painter.drawRoundedRect(self.rect(), 8, 8)
        self._line(painter, 0, "ms", _HEADS, theme.QUIET)
        for row, (name, times) in enumerate(self._rows, 1):
            cells = tuple("–" if math.isnan(value) else f"{value:.1f}" for value in (times.p50, times.p95, times.p99))
            self._line(painter, row, name, cells, theme.ACCENT if name == "in all" else theme.TEXT)
        if self._encoded_by:
            below = self.rect().adjusted(_MARGIN, 0, -_MARGIN, -_MARGIN)
            painter.setPen(QColor(theme.QUIET))
            bottom = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
            painter.drawText(below, bottom, f"encode by {self._encoded_by}")

    def _line(self, painter: QPainter, row: int, name: str, cells: tuple[str, ...], color: str) -> None:
        painter.setPen(QColor(color))
        top = _MARGIN + row * _LINE
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(_MARGIN, top, _NAME_WIDTH, _LINE), left, name)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for column, cell in enumerate(cells):
            painter.drawText(QRect(_MARGIN + _NAME_WIDTH + column * _COLUMN, top, _COLUMN, _LINE), right, cell)
