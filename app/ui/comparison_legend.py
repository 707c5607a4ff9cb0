"""Which skeleton is which when a take's recorded pose is shown beside the new one, and how far they are apart."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter

from app.runtime.pose_comparison import ComparisonView
from app.ui import theme
from app.viewer.palette import FINGER_COLORS, RECORDED_COLOR

_MARGIN, _INSET, _LINE_HEIGHT = 14, 12, 19
_SWATCH, _CORNER = 26, 8


def paint_comparison_legend(painter: QPainter, view: QRect, comparison: ComparisonView) -> None:
    """Two lines of swatches with the weights' versions, one of distances; at the view's upper left."""
    font = QFont(painter.font())
    font.setPixelSize(12)
    metrics = QFontMetrics(font)
    recorded = QColor.fromRgbF(*(float(part) for part in RECORDED_COLOR))
    fingers = [QColor.fromRgbF(*(float(part) for part in color)) for color in FINGER_COLORS]
    same = comparison.recorded == comparison.tracked
    rows: tuple[tuple[list[QColor], str], ...] = (
        ([recorded], f"recorded with {comparison.recorded or 'unknown weights'}"),
        (fingers, "tracked now with the same" if same else f"tracked now with {comparison.tracked}"),
        ([], distance_words(comparison)),
    )
    widest = max(metrics.horizontalAdvance(words) + (_SWATCH + 8 if colors else 0) for colors, words in rows)
    width = min(widest + 2 * _INSET + 2, view.width() - 2 * _MARGIN)
    area = QRect(view.left() + _MARGIN, view.top() + _MARGIN, width, 4 * _LINE_HEIGHT)
    painter.save()
    painter.setFont(font)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(13, 15, 18, 200))
    painter.drawRoundedRect(area, _CORNER, _CORNER)
    top = area.top() + 0.5 * _LINE_HEIGHT
    for row, (colors, words) in enumerate(rows):
        line = QRectF(area.left() + _INSET, top + row * _LINE_HEIGHT, area.width() - 2 * _INSET, _LINE_HEIGHT)
        if colors:
            _paint_swatch(painter, line, colors)
            line.setLeft(line.left() + _SWATCH + 8)
        painter.setPen(QColor(theme.TEXT))
        shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, int(line.width()) + 1)
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
    painter.restore()


def distance_words(comparison: ComparisonView) -> str:
    """The distances, in words."""
    if not comparison.compared:
        return "no frame with both poses yet"
    share = f"{comparison.mean_mm:.1f} mm ({comparison.compared} of {comparison.frames} frames)"
    if math.isnan(comparison.now_mm):
        return f"not both have a hand here; joints on average {share} apart"
    return f"joints {comparison.now_mm:.1f} mm apart, on average {share}"


def _paint_swatch(painter: QPainter, line: QRectF, colors: list[QColor]) -> None:
    middle, step = line.center().y(), _SWATCH / len(colors)
    painter.setPen(Qt.PenStyle.NoPen)
    for place, color in enumerate(colors):
        painter.setBrush(color)
        left = line.left() + place * step
        painter.drawRect(QRectF(left, middle - 1.5, step, 3))
        painter.drawEllipse(QPointF(left + 0.5 * step, middle), 3, 3)
