"""What the rings of the layer "Uncertainty" mean, over the 3D view's lower left corner."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QLinearGradient, QPainter

from app.ui import theme
from app.viewer.palette import INTERVAL_RANGE_MM, interval_colors
from engine.metrics import INTERVAL_SHARE

_TICKS_MM = (5, 10, 20, 40)
_MARGIN, _WIDTH, _BAR_HEIGHT = 18, 200, 6
_LINE_HEIGHT = 17
_COLOR_STOPS = 16


def interval_legend_area(view: QRect) -> QRect:
    """Where the legend is painted in a view."""
    height = 2 * _LINE_HEIGHT + _BAR_HEIGHT + 8
    return QRect(view.left() + _MARGIN, view.bottom() - _MARGIN - height, _WIDTH, height)


def paint_interval_legend(painter: QPainter, view: QRect) -> None:
    """The colours with their radii in mm, and what a ring holds."""
    area = interval_legend_area(view)
    font = QFont(painter.font())
    font.setPixelSize(12)
    painter.save()
    painter.setFont(font)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QColor(theme.TEXT))
    title = f"{100 * INTERVAL_SHARE:.0f} % of joints lie in their ring"
    painter.drawText(QRectF(area.left(), area.top(), _WIDTH, _LINE_HEIGHT), Qt.AlignmentFlag.AlignLeft, title)
    bar = QRectF(area.left(), area.top() + _LINE_HEIGHT + 4, _WIDTH, _BAR_HEIGHT)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_gradient(bar))
    painter.drawRoundedRect(bar, 3, 3)
    painter.setPen(QColor(theme.QUIET))
    for radius in _TICKS_MM:
        spot = QRectF(bar.left() + _place(radius) * bar.width() - 30, bar.bottom() + 3, 60, _LINE_HEIGHT)
        alignment = Qt.AlignmentFlag.AlignHCenter
        if radius == _TICKS_MM[0]:
            spot.moveLeft(bar.left())
            alignment = Qt.AlignmentFlag.AlignLeft
        elif radius == _TICKS_MM[-1]:
            spot.moveRight(bar.right())
            alignment = Qt.AlignmentFlag.AlignRight
        painter.drawText(spot, alignment, f"{radius} mm" if radius == _TICKS_MM[-1] else str(radius))
    painter.restore()


def _place(radius: float) -> float:
    low, high = INTERVAL_RANGE_MM
    return math.log(radius / low) / math.log(high / low)


def _gradient(bar: QRectF) -> QLinearGradient:
    gradient = QLinearGradient(QPointF(bar.left(), 0), QPointF(bar.right(), 0))
    for stop, color in enumerate(interval_colors(np.geomspace(*INTERVAL_RANGE_MM, _COLOR_STOPS))):
        gradient.setColorAt(stop / (_COLOR_STOPS - 1), QColor.fromRgbF(*(float(part) for part in color)))
    return gradient
