"""Adaptation in the window: its switch, the residual over time with what was promoted and rolled back, and the way
back."""

from __future__ import annotations

import time

from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.runtime.adaptation_worker import PROMOTED, AdaptationView, AdaptationWorker
from app.ui import theme

_SPAN_S = 180.0
_HEIGHT = 64
_LEAST_TOP_MM = 6.0


class ResidualChart(QWidget):
    """Depth residual of the last three minutes, mm; a green line where a version was promoted, an amber one where one
    was rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self._view = AdaptationView()
        self._now_s = 0.0
        self.setFixedHeight(_HEIGHT)
        self.setToolTip(
            "How far the drawn hand lies from the measured depth, mm. Green: better weights or a better hand came into "
            "use; amber: they were taken back."
        )

    def show_view(self, view: AdaptationView) -> None:
        """Draw this."""
        self._view, self._now_s = view, time.monotonic()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(theme.BACKGROUND))
        points = [(at, mm) for at, mm in self._view.residuals if self._now_s - at <= _SPAN_S]
        top = max([_LEAST_TOP_MM, *(1.15 * mm for _, mm in points)])
        for at, kind in self._view.marks:
            if self._now_s - at <= _SPAN_S:
                painter.setPen(QPen(QColor(theme.GOOD if kind == PROMOTED else theme.WARN), 1.5))
                painter.drawLine(QLineF(self._x(at), 0, self._x(at), self.height()))
        painter.setPen(QPen(QColor(theme.ACCENT), 1.5))
        painter.drawPolyline(QPolygonF([QPointF(self._x(at), self._y(mm, top)) for at, mm in points]))
        painter.setPen(QColor(theme.QUIET))
        where = self.rect().adjusted(6, 3, -6, -3)
        left, right, above = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignTop
        painter.drawText(where, left | above, f"0 to {top:.0f} mm off")
        if points:
            painter.drawText(where, right | above, f"now {points[-1][1]:.1f} mm")

    def _x(self, at: float) -> float:
        return self.width() * (1 - (self._now_s - at) / _SPAN_S)

    def _y(self, mm: float, top: float) -> float:
        return (self.height() - 3) * (1 - min(mm, top) / top) + 1


class AdaptationPart(QWidget):
    """Switch, chart, words and the button back, for one AdaptationWorker, which its owner starts and stops."""

    def __init__(self, worker: AdaptationWorker) -> None:
        super().__init__()
        self._worker = worker
        self.switch = theme.switch("Adapt to my hand")
        self.switch.setToolTip("Learn your hand quietly while you use it; what is no better is thrown away")
        self.switch.setChecked(worker.view.on)
        self.switch.toggled.connect(worker.set_on)
        self.back = QPushButton("Roll back")
        self.back.setToolTip("Track with the version before")
        self.back.clicked.connect(worker.roll_back)
        self.chart = ResidualChart()
        self.words = theme.label("", "quiet")
        self.words.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.switch, self.back):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(theme.label("ADAPTATION", "title"))
        layout.addLayout(buttons)
        layout.addWidget(self.chart)
        layout.addWidget(self.words)
        self.refresh()

    def alarm(self) -> str:
        """Why it does not adapt though it is on; empty while all is well."""
        view = self._worker.view
        return (view.trouble or self._worker.message) if view.on else ""

    def refresh(self) -> None:
        """Show how things stand."""
        view = self._worker.view
        self.back.setEnabled(view.version > 0)
        self.chart.setVisible(view.on)
        self.words.setText(_words(view))
        self.words.setVisible(bool(self.words.text()))
        if view.on:
            self.chart.show_view(view)


def _words(view: AdaptationView) -> str:
    if view.doing:
        return view.doing[0].upper() + view.doing[1:]
    watching = f"watching: {view.samples} frames so far" if view.samples else "waiting for a hand"
    in_use = f"version {view.version} of a hand learnt here is in use" if view.version else ""
    said = (view.note or (watching if view.on else ""), in_use, view.instead)
    return ". ".join(words[0].upper() + words[1:] for words in said if words)
