"""Play, pause, step, seek, speed, and what is repeated, for recordings."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from app.runtime.source_status import PlaybackStatus
from app.ui import theme
from app.ui.range_slider import RangeSlider

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_ICON_SIZE = 16
_MARK_WIDTH = 32


class PlaybackBar(QWidget):
    """Shows a PlaybackStatus and emits what the user wants of the recording."""

    play_toggled = Signal(bool)
    step_wanted = Signal(int)
    seek_wanted = Signal(int)
    speed_changed = Signal(float)
    loop_toggled = Signal(bool)
    #: Frames A and B, or None: see CaptureWorker.set_range.
    range_changed = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._playing = False
        self._icons = {kind: _icon(kind) for kind in ("play", "pause", "back", "forward", "loop")}
        self._play = self._button("play", "Play or pause (space)", lambda: self.play_toggled.emit(not self._playing))
        back = self._button("back", "One frame back (left arrow)", lambda: self.step_wanted.emit(-1))
        forward = self._button("forward", "One frame on (right arrow)", lambda: self.step_wanted.emit(1))
        self._position = -1
        self._loop: QPushButton = self._button("loop", "Start over at the end, or stop there (P)", self._report_loop)
        self._loop.setCheckable(True)
        self._start = self._mark("A", "Repeat from this frame on (A); again: from the start", self.toggle_start)
        self._end = self._mark("B", "Repeat up to this frame (B); again: up to the end", self.toggle_end)
        self._slider = RangeSlider()
        self._slider.setToolTip("Go to a frame")
        # A click on the groove, a drag and the keyboard all arrive here; values set by show_status() do not.
        self._slider.valueChanged.connect(self.seek_wanted)
        self._place = theme.label("", "quiet")
        self._place.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._place.setMinimumWidth(self._place.fontMetrics().horizontalAdvance("00000 / 00000"))
        self._speed = QComboBox()
        self._speed.setToolTip("Speed")
        for speed in SPEEDS:
            self._speed.addItem(f"{speed:g}×", speed)
        self._speed.setCurrentIndex(SPEEDS.index(1.0))
        self._speed.activated.connect(lambda index: self.speed_changed.emit(SPEEDS[index]))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(8)
        for widget in (back, self._play, forward):
            layout.addWidget(widget)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._place)
        for widget in (self._start, self._end, self._loop):
            layout.addWidget(widget)
        layout.addWidget(self._speed)

    @property
    def playing(self) -> bool:
        """Whether the recording runs."""
        return self._playing

    def show_status(self, status: PlaybackStatus) -> None:
        """Show where the recording stands."""
        self._playing = not status.paused
        self._play.setIcon(self._icons["pause" if self._playing else "play"])
        self._slider.blockSignals(True)
        self._slider.setMaximum(max(0, status.frame_count - 1))
        if not self._slider.isSliderDown():
            self._slider.setValue(max(0, status.position))
        self._slider.blockSignals(False)
        self._position = status.position
        self._loop.setChecked(status.loop)
        self._slider.set_marks(status.start, status.end)
        self._start.setChecked(status.start is not None)
        self._end.setChecked(status.end is not None)
        self._place.setText(f"{status.position + 1} / {status.frame_count}")
        if status.speed in SPEEDS and not self._speed.view().isVisible():
            self._speed.setCurrentIndex(SPEEDS.index(status.speed))

    def _report_loop(self) -> None:
        self.loop_toggled.emit(self._loop.isChecked())

    def toggle_start(self) -> None:
        """Mark the present frame as A, or remove that mark; nothing while no recording is played."""
        if not self.isVisible():
            return
        start, end = self._slider.marks
        self._mark_range(self._position if start is None else None, end, keeps_start=True)

    def toggle_end(self) -> None:
        """Mark the present frame as B, or remove that mark; nothing while no recording is played."""
        if not self.isVisible():
            return
        start, end = self._slider.marks
        self._mark_range(start, self._position if end is None else None, keeps_start=False)

    def _mark_range(self, start: int | None, end: int | None, keeps_start: bool) -> None:
        """Of two marks that are not one behind the other, the new one stays."""
        if start is not None and end is not None and end <= start:
            start, end = (start, None) if keeps_start else (None, end)
        if start is not None:
            start = max(0, start)
        self._slider.set_marks(start, end)
        self._start.setChecked(start is not None)
        self._end.setChecked(end is not None)
        self.range_changed.emit(start, end)

    def _mark(self, text: str, tip: str, action: Callable[[], None]) -> QPushButton:
        button = theme.switch(text)
        button.setToolTip(tip)
        button.setFixedWidth(_MARK_WIDTH)
        button.clicked.connect(lambda *_: action())
        return button

    def _button(self, kind: str, tip: str, action: object) -> QPushButton:
        button = QPushButton()
        button.setIcon(self._icons[kind])
        button.setToolTip(tip)
        button.setFixedWidth(38)
        button.clicked.connect(action)
        return button


def _icon(kind: str) -> QIcon:
    """A plain icon, drawn here at twice its size so that it stays sharp on dense screens."""
    pixmap = QPixmap(2 * _ICON_SIZE, 2 * _ICON_SIZE)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.TEXT))
    if kind == "pause":
        painter.drawRoundedRect(QRectF(3.5, 3, 3.4, 10), 1, 1)
        painter.drawRoundedRect(QRectF(9.1, 3, 3.4, 10), 1, 1)
    elif kind == "play":
        painter.drawPolygon(QPolygonF([QPointF(4.5, 2.5), QPointF(13, 8), QPointF(4.5, 13.5)]))
    elif kind == "loop":
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.TEXT), 1.7, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawArc(QRectF(2.8, 3.3, 10.4, 10.4), 65 * 16, 290 * 16)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.TEXT))
        painter.drawPolygon(QPolygonF([QPointF(7.6, 0.6), QPointF(12.2, 3.9), QPointF(7.6, 7.0)]))
    else:
        if kind == "back":
            painter.translate(_ICON_SIZE, 0)
            painter.scale(-1, 1)
        painter.drawPolygon(QPolygonF([QPointF(4, 3.5), QPointF(10.5, 8), QPointF(4, 12.5)]))
        painter.drawRoundedRect(QRectF(11, 3.5, 2, 9), 0.8, 0.8)
    painter.end()
    return QIcon(pixmap)
