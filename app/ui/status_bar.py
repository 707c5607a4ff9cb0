"""Always in sight: the state in words, rates, latency, drops, the source."""

from __future__ import annotations

import math

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.runtime.statistics import StatisticsSnapshot
from app.ui import theme

_LATENCY = (
    "How long a frame takes from its arrival in this computer until its hand is tracked, not yet drawn.\n"
    "First number: half of the last frames took no longer (median). Second: 95 of 100 took no longer.\n"
    "T shows where the time goes."
)
_FIELDS = (
    ("tracked", "Results a second", "000 /s"),
    ("view", "Pictures of the 3D view a second", "000 fps"),
    ("latency", _LATENCY, "000.0 · 000.0 ms"),
    ("dropped", "Frames overtaken before they were tracked, or lost by the camera", "000000"),
)
_MARGIN, _SPACING, _GAP = 14, 8, 10
#: What is left out first where there is no room.
_DISPENSABLE = ("view", "latency", "tracked")


class Dot(QWidget):
    """A small coloured light."""

    def __init__(self) -> None:
        super().__init__()
        self._color = QColor(theme.QUIET)
        self.setFixedSize(QSize(10, 10))

    def set_color(self, color: str) -> None:
        """Change its colour."""
        if self._color != QColor(color):
            self._color = QColor(color)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._color)
        painter.drawEllipse(self.rect().adjusted(0, 0, -1, -1))


class ElidedLabel(QLabel):
    """A label that ends in … where it does not fit, and shows all of it as a tool tip."""

    def __init__(self) -> None:
        super().__init__()
        self._full = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_full_text(self, text: str) -> None:
        """Show as much of the text as fits."""
        self._full = text
        self.setToolTip(text)
        self._elide()

    def resizeEvent(self, event: object) -> None:
        self._elide()

    def _elide(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideMiddle, self.width()))


class StatusBar(QWidget):
    """One line of state and numbers; every number has a fixed width, so that nothing jumps."""

    def __init__(self, recording: QWidget | None = None) -> None:
        """recording: a widget of its owner's that says how a recording stands."""
        super().__init__()
        self.setObjectName("bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._dot = Dot()
        self._state = theme.label("starting", "value")
        self._state.setMinimumWidth(self._state.fontMetrics().horizontalAdvance("connecting …") + 8)
        self._source = ElidedLabel()
        self._source.setProperty("role", "quiet")
        self._values: dict[str, QLabel] = {}
        self._captions: dict[str, QLabel] = {}
        self._hidden: tuple[str, ...] = ()
        self._recording = recording
        layout = QHBoxLayout(self)
        layout.setContentsMargins(_MARGIN, 7, _MARGIN, 7)
        layout.setSpacing(_SPACING)
        layout.addWidget(self._dot)
        layout.addWidget(self._state)
        layout.addSpacing(8)
        if recording is not None:
            layout.addWidget(recording)
            layout.addSpacing(8)
        layout.addWidget(self._source, 1)
        for name, tip, widest in _FIELDS:
            layout.addSpacing(_GAP)
            caption = theme.label(name, "quiet")
            value = theme.label("–")
            value.setMinimumWidth(value.fontMetrics().horizontalAdvance(widest) + 2)
            for widget in (caption, value):
                widget.setToolTip(tip)
                layout.addWidget(widget)
            self._captions[name], self._values[name] = caption, value

    @property
    def state_text(self) -> str:
        """The state in words."""
        return self._state.text()

    def show_state(self, text: str, color: str, source: str) -> None:
        """Show the state, its colour and the source's name."""
        self._state.setText(text)
        self._dot.set_color(color)
        self._source.set_full_text(source)

    def fit(self) -> None:
        """Leave out the less important numbers where a recording needs their room."""
        needed = 2 * _MARGIN + self._dot.width() + self._state.minimumWidth() + 4 * _SPACING
        if self._recording is not None and not self._recording.isHidden():
            needed += self._recording.sizeHint().width() + 2 * _SPACING
        widths = {
            name: _GAP + 3 * _SPACING + self._captions[name].sizeHint().width() + value.minimumWidth()
            for name, value in self._values.items()
        }
        needed += sum(widths.values())
        hidden: list[str] = []
        for name in _DISPENSABLE:
            if needed <= self.width():
                break
            needed -= widths[name]
            hidden.append(name)
        if tuple(hidden) != self._hidden:
            self._hidden = tuple(hidden)
            for name, value in self._values.items():
                value.setHidden(name in hidden)
                self._captions[name].setHidden(name in hidden)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit()

    def show_numbers(self, numbers: StatisticsSnapshot) -> None:
        """Show rates, latency and drops."""
        texts = {
            "tracked": f"{numbers.results_per_s:.0f} /s",
            "view": f"{numbers.viewer_fps:.0f} fps",
            "latency": "–"
            if math.isnan(numbers.latency.p50)
            else f"{numbers.latency.p50:.1f} · {numbers.latency.p95:.1f} ms",
            "dropped": f"{numbers.dropped + numbers.lost_by_sensor}",
        }
        for name, text in texts.items():
            self._values[name].setText(text)
