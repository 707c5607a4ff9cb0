"""What the wizard draws: a pose with its count-down, bones with ± mm and views, the hand coloured by residual."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QLinearGradient, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui import theme
from app.viewer.palette import FINGER_COLORS, RESIDUAL_RANGE_MM, residual_colors
from calibration.estimate import BONE_NAMES, WITHIN_MM
from calibration.session import VIEWS

#: Bars end here, mm; what is less sure is drawn as long as this.
_LONGEST_MM = 5.0
_ROW, _GAP, _HEAD = 17, 6, 34
#: So much is said of a bone from a side that its dot is two thirds full, 1/mm².
_FULL = 0.15
_VIEW_WORDS = ("palm", "back", "thumb", "little", "tips", "wrist")
assert len(_VIEW_WORDS) == len(VIEWS)


def picture_of(pixels: NDArray[np.uint8]) -> QPixmap:
    """From RGBA (H, W, 4)."""
    height, width = pixels.shape[:2]
    # Qt does not own numpy's memory: the pixmap is a copy.
    return QPixmap.fromImage(QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888))


class PoseCard(QWidget):
    """The picture of a pose in a ring that shows the count-down, then how long it was held."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap: QPixmap | None = None
        self._name = ""
        self._share, self._color, self._number = 0.0, theme.ACCENT, ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(180, 180)

    def sizeHint(self) -> QSize:
        return QSize(320, 320)

    def show_pose(self, name: str, pixels: NDArray[np.uint8] | None) -> None:
        """Show a pose, or none."""
        if name != self._name or (self._pixmap is None) != (pixels is None):
            self._name, self._pixmap = name, None if pixels is None else picture_of(pixels)
            self.update()

    def show_ring(self, share: float, color: str, number: str = "") -> None:
        """share: 0 to 1 of the ring. number: the seconds that are left, or nothing."""
        if (share, color, number) != (self._share, self._color, self._number):
            self._share, self._color, self._number = share, color, number
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        side = min(self.width(), self.height()) - 8.0
        circle = QRectF(0, 0, side, side)
        circle.moveCenter(QRectF(self.rect()).center())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.PANEL))
        painter.drawEllipse(circle)
        if self._pixmap is not None:
            inner = circle.adjusted(*(side * share for share in (0.1, 0.1, -0.1, -0.1)))
            painter.drawPixmap(inner, self._pixmap, QRectF(self._pixmap.rect()))
        ring = circle.adjusted(4, 4, -4, -4)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.LINE), 5))
        painter.drawEllipse(ring)
        if self._share > 0:
            painter.setPen(QPen(QColor(self._color), 5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawArc(ring, 90 * 16, -round(360 * 16 * min(1.0, self._share)))
        if self._number:
            self._paint_number(painter, circle)

    def _paint_number(self, painter: QPainter, circle: QRectF) -> None:
        disc = QRectF(0, 0, 46, 46)
        disc.moveCenter(QPointF(circle.right() - 0.15 * circle.width(), circle.top() + 0.15 * circle.height()))
        painter.setPen(QPen(QColor(self._color), 2))
        painter.setBrush(QColor(theme.BACKGROUND))
        painter.drawEllipse(disc)
        font = QFont(painter.font())
        font.setPixelSize(22)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(theme.TEXT))
        painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, self._number)


class BoneTable(QWidget):
    """A row a bone: its name, ± mm as a bar that shrinks, and from which sides it was seen, as dots that fill."""

    def __init__(self) -> None:
        super().__init__()
        self._sd = np.full(len(BONE_NAMES), np.nan)
        self._seen = np.zeros((len(BONE_NAMES), len(VIEWS)))
        self.setMinimumSize(430, _HEAD + 20 * _ROW + 4 * _GAP + 4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("± is one standard deviation: two bones of three lie within it")

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def show_bones(self, sd_mm: NDArray[np.float64], seen: NDArray[np.float64]) -> None:
        """sd_mm (20,); seen (20, 6), see calibration.session.coverage."""
        self._sd, self._seen = sd_mm, seen
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(painter.font())
        font.setPixelSize(12)
        painter.setFont(font)
        name_width = 176.0
        dots = 6 * 34.0
        bar = QRectF(name_width, 0, max(80.0, self.width() - name_width - dots - 66), 6)
        self._paint_head(painter, bar, self.width() - dots)
        for row, name in enumerate(BONE_NAMES):
            top = _HEAD + row * _ROW + (row // 4) * _GAP
            self._paint_row(painter, row, name, top, bar, self.width() - dots)
        painter.setPen(QPen(QColor(theme.QUIET), 1, Qt.PenStyle.DotLine))
        goal = bar.left() + bar.width() * WITHIN_MM / _LONGEST_MM
        painter.drawLine(QPointF(goal, _HEAD - 4), QPointF(goal, self.height() - 2))

    def _paint_head(self, painter: QPainter, bar: QRectF, dots_left: float) -> None:
        painter.setPen(QColor(theme.QUIET))
        goal = bar.left() + bar.width() * WITHIN_MM / _LONGEST_MM
        centre, right = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(0, 0, bar.left(), 16), right, "Bone")
        painter.drawText(QRectF(goal - 50, 12, 100, 16), centre, f"± {WITHIN_MM:g} mm")
        painter.drawText(QRectF(dots_left, -2, self.width() - dots_left, 15), centre, "seen from")
        small = QFont(painter.font())
        small.setPixelSize(10)
        painter.setFont(small)
        for column, word in enumerate(_VIEW_WORDS):
            painter.drawText(QRectF(dots_left + 34 * column - 4, 15, 42, 15), centre, word)
        small.setPixelSize(12)
        painter.setFont(small)

    def _paint_row(self, painter: QPainter, row: int, name: str, top: float, bar: QRectF, dots_left: float) -> None:
        middle, sd = top + _ROW / 2, float(self._sd[row])
        color = QColor.fromRgbF(*(float(part) for part in FINGER_COLORS[row // 4]))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(QPointF(4, middle), 3, 3)
        painter.setPen(QColor(theme.TEXT))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(14, top, bar.left() - 16, _ROW), left, name)
        painter.setPen(Qt.PenStyle.NoPen)
        groove = QRectF(bar.left(), middle - 3, bar.width(), 6)
        painter.setBrush(QColor(theme.RAISED))
        painter.drawRoundedRect(groove, 3, 3)
        if math.isfinite(sd):
            painter.setBrush(QColor(theme.GOOD if sd <= WITHIN_MM else theme.WARN))
            filled = QRectF(groove.left(), groove.top(), max(6.0, groove.width() * min(1.0, sd / _LONGEST_MM)), 6)
            painter.drawRoundedRect(filled, 3, 3)
            painter.setPen(QColor(theme.TEXT))
            painter.drawText(QRectF(groove.right() + 8, top, 48, _ROW), left, f"{sd:.1f}")
        painter.setPen(Qt.PenStyle.NoPen)
        for column in range(len(VIEWS)):
            centre = QPointF(dots_left + 34 * column + 17, middle)
            painter.setBrush(QColor(theme.RAISED))
            painter.drawEllipse(centre, 5.5, 5.5)
            share = 1 - math.exp(-float(self._seen[row, column]) / _FULL)
            if share > 0.02:
                color.setAlphaF(0.25 + 0.75 * share)
                painter.setBrush(color)
                radius = 5.5 * math.sqrt(share)
                painter.drawEllipse(centre, radius, radius)


class HeatView(QWidget):
    """The hand from its palm and its back, coloured by how far it lies off what was measured."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self._note = title, ""
        self._pictures: tuple[QPixmap, QPixmap] | None = None
        self._pixels: object = None
        self.setMinimumSize(200, 170)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        return QSize(460, 186)

    def show_heat(self, pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None, note: str = "") -> None:
        """pixels: of the palm and of the back; note: in words, beside the title."""
        if pixels is not self._pixels:
            self._pixels = pixels
            self._pictures = None if pixels is None else (picture_of(pixels[0]), picture_of(pixels[1]))
        self._note = note
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.PANEL))
        painter.drawRoundedRect(QRectF(self.rect()), 10, 10)
        font = QFont(painter.font())
        font.setPixelSize(12)
        painter.setFont(font)
        painter.setPen(QColor(theme.TEXT))
        head = QRectF(14, 9, self.width() - 28, 18)
        painter.drawText(head, Qt.AlignmentFlag.AlignLeft, self.title)
        painter.setPen(QColor(theme.QUIET))
        painter.drawText(head, Qt.AlignmentFlag.AlignRight, self._note)
        side = min((self.width() - 28) / 2, self.height() - 34 - 34)
        for number, pixmap in enumerate(self._pictures or ()):
            middle = self.width() / 2 + (number - 0.5) * side * 0.98
            spot = QRectF(middle - side / 2, 30, side, side)
            painter.drawPixmap(spot, pixmap, QRectF(pixmap.rect()))
        self._paint_scale(painter)

    def _paint_scale(self, painter: QPainter) -> None:
        low, high = RESIDUAL_RANGE_MM
        half = min(80.0, self.width() / 2 - 70)
        bar = QRectF(self.width() / 2 - half, self.height() - 21, 2 * half, 6)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for stop in np.linspace(0, 1, 9):
            red, green, blue = (float(part) for part in residual_colors(np.array([low + stop * (high - low)]))[0])
            gradient.setColorAt(float(stop), QColor.fromRgbF(red, green, blue))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(gradient)
        painter.drawRoundedRect(bar, 3, 3)
        painter.setPen(QColor(theme.QUIET))
        alignment = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(
            QRectF(bar.left() - 60, bar.top() - 6, 52, 18), alignment | Qt.AlignmentFlag.AlignRight, f"{low:g} mm"
        )
        painter.drawText(QRectF(bar.right() + 8, bar.top() - 6, 80, 18), alignment, f"{high:g} mm off")
