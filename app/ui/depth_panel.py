"""The sensor's own picture: depth in colours, the crop's outline and the skeleton projected onto it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui import theme
from app.viewer.palette import FINGER_COLORS, RECORDED_COLOR, WRIST_COLOR, depth_colors
from engine.types import JOINT_PARENTS, Intrinsics, TrackingResult

_INTERVAL_S = 1 / 30
#: Colours span this much depth behind the nearest hundredth of the pixels.
_SPAN_MM = 900.0
_LEAST_HEIGHT, _HEIGHT = 110, 213


class DepthPanel(QWidget):
    """Shows results at no more than 30 Hz, reduced to the pixels the panel has. painted: sent each time it was."""

    painted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._result: TrackingResult | None = None
        self._recorded: NDArray[np.floating] | None = None
        self._image: QImage | None = None
        self._near_mm = 300.0
        self._last_s = 0.0
        self._stale = False
        colors = np.clip(depth_colors() * 255, 0, 255).astype(np.uint32)
        self._table = (0xFF << 24) | (colors[:, 0] << 16) | (colors[:, 1] << 8) | colors[:, 2]
        self._table = np.concatenate((self._table, np.array([0xFF000000 | int(theme.BACKGROUND[1:], 16)], np.uint32)))
        self._table = self._table.astype(np.uint32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumHeight(_LEAST_HEIGHT)
        self.setMaximumHeight(_HEIGHT)
        self.setToolTip("What the sensor sees: near is bright. The frame is the part the tracker looks at.")

    def show_result(self, result: TrackingResult, recorded: NDArray[np.floating] | None = None) -> None:
        """Show this result, unless the last one is too recent for anyone to see the difference; with the joints (21, 3)
        that a take has for its frame, if any."""
        now = time.monotonic()
        if now - self._last_s < _INTERVAL_S or not self.isVisible():
            return
        # Counted from when it was due: results come in steps, and what comes just too late would wait for one more.
        self._last_s = max(self._last_s + _INTERVAL_S, now - 0.5 * _INTERVAL_S)
        self._result, self._recorded = result, recorded
        wanted = self.width() * self.devicePixelRatioF()
        stride = max(1, int(result.frame.depth.shape[1] / max(wanted, 1)))
        self._image = self._colored(result.frame.depth[::stride, ::stride], result.frame.depth_unit_mm)
        self.update()

    @property
    def stale(self) -> bool:
        """See set_stale."""
        return self._stale

    def set_stale(self, stale: bool) -> None:
        """Whether the picture is an old one: then it is dark."""
        if stale != self._stale:
            self._stale = stale
            self.update()

    @property
    def frame(self) -> int | None:
        """The number of the frame that is shown."""
        return None if self._result is None else self._result.frame.number

    def clear(self) -> None:
        """Forget the last source's picture."""
        self._result = self._image = None
        self.update()

    def _colored(self, depth: NDArray[np.uint16], unit_mm: float) -> QImage:
        sample = depth[::8, ::8]
        sample = sample[sample > 0]
        if sample.size:
            near = float(np.percentile(sample, 1)) * unit_mm
            # The scale moves slowly, so that noise does not make the whole picture flicker.
            self._near_mm += (near - self._near_mm) * (0.1 if abs(near - self._near_mm) < 300 else 1.0)
        behind_mm = depth.astype(np.float32) * np.float32(unit_mm) - np.float32(self._near_mm)
        index = np.clip(behind_mm * np.float32(255 / _SPAN_MM), 0, 255).astype(np.uint16)
        index[depth == 0] = 256
        pixels = self._table[index]
        height, width = pixels.shape
        return QImage(pixels.data, width, height, width * 4, QImage.Format.Format_RGB32).copy()

    def sizeHint(self) -> QSize:
        return QSize(280, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint(painter)
        self.painted.emit()

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.LINE), 1))
        painter.setBrush(QColor(theme.BACKGROUND))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        if self._image is None or self._result is None:
            painter.setPen(QColor(theme.QUIET))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "no picture yet")
            return
        camera = self._result.frame.intrinsics
        area = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        scale = min(area.width() / camera.width, area.height() / camera.height)
        shown = QRectF(0, 0, camera.width * scale, camera.height * scale)
        shown.moveCenter(area.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(shown, self._image)
        painter.setClipRect(shown)
        painter.save()
        painter.translate(shown.topLeft())
        # Pixel centres are at whole numbers, so the picture's corner is at -0.5.
        painter.translate(0.5 * scale, 0.5 * scale)
        self._draw_crop(painter, scale)
        if self._recorded is not None:
            self._draw_recorded(painter, scale, camera, self._recorded)
        self._draw_skeleton(painter, scale, camera)
        painter.restore()
        if self._stale:
            theme.dim(painter, shown)

    def _draw_crop(self, painter: QPainter, scale: float) -> None:
        assert self._result is not None
        corners = self._result.crop_corners_uv
        if corners is None:
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(255, 255, 255, 150), 1.2))
        painter.drawPolygon(QPolygonF([QPointF(float(u) * scale, float(v) * scale) for u, v in corners]))

    def _draw_skeleton(self, painter: QPainter, scale: float, camera: Intrinsics) -> None:
        assert self._result is not None
        geometry = self._result.geometry
        if geometry is None or not np.all(geometry.joints[:, 2] > 1):
            return
        points = _projected(geometry.joints, scale, camera)
        colors = [QColor.fromRgbF(*map(float, color)) for color in FINGER_COLORS]
        for finger in range(5):
            painter.setPen(QPen(colors[finger], 2.0, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            joints_of = range(4 * finger + 1, 4 * finger + 5)
            painter.drawLines([QLineF(points[JOINT_PARENTS[joint]], points[joint]) for joint in joints_of])
        painter.setPen(Qt.PenStyle.NoPen)
        for joint, point in enumerate(points):
            painter.setBrush(colors[(joint - 1) // 4] if joint else QColor.fromRgbF(*map(float, WRIST_COLOR)))
            painter.drawEllipse(point, 2.6, 2.6)

    def _draw_recorded(self, painter: QPainter, scale: float, camera: Intrinsics, joints: NDArray[np.floating]) -> None:
        if not np.all(joints[:, 2] > 1):
            return
        points = _projected(joints, scale, camera)
        color = QColor.fromRgbF(*map(float, RECORDED_COLOR))
        painter.setPen(QPen(color, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLines([QLineF(points[JOINT_PARENTS[joint]], points[joint]) for joint in range(1, len(points))])


def _projected(joints: NDArray[np.floating], scale: float, camera: Intrinsics) -> list[QPointF]:
    u = (joints[:, 0] / joints[:, 2] * camera.fx + camera.cx) * scale
    v = (joints[:, 1] / joints[:, 2] * camera.fy + camera.cy) * scale
    return [QPointF(float(x), float(y)) for x, y in zip(u, v, strict=True)]
