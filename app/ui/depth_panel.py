"""The sensor's own picture: depth in colours, the crop's outline and the skeleton projected onto it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui import theme
from app.ui.picture import Picture
from app.viewer.depth_picture import DepthPainter
from engine.types import TrackingResult

_INTERVAL_S = 1 / 30
_LEAST_HEIGHT, _HEIGHT = 110, 213


class DepthPanel(QWidget):
    """Shows results at no more than 30 Hz, reduced to the pixels the panel has. painted: sent each time it was."""

    painted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._result: TrackingResult | None = None
        self._recorded: NDArray[np.floating] | None = None
        self._picture = Picture(self, self._paint_over)
        self._picture.painted.connect(self.painted)
        self._painter = DepthPainter()
        self._last_s = 0.0
        self._stale = False
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
        self._draw(result)

    @property
    def stale(self) -> bool:
        """See set_stale."""
        return self._stale

    def set_stale(self, stale: bool) -> None:
        """Whether the picture is an old one: then it is dark."""
        if stale != self._stale:
            self._stale = stale
            self._picture.paint_over()

    @property
    def frame(self) -> int | None:
        """The number of the frame that is shown."""
        return None if self._result is None else self._result.frame.number

    def clear(self) -> None:
        """Forget the last source's picture."""
        self._result = None
        self._picture.show_pixels(None)

    def _draw(self, result: TrackingResult) -> None:
        """As large as it fits, in the screen's own pixels."""
        camera, ratio = result.frame.intrinsics, self.devicePixelRatioF()
        scale = min((self.width() - 4) / camera.width, (self.height() - 4) / camera.height)
        width, height = (max(1, round(side * scale)) for side in (camera.width, camera.height))
        self._picture.setGeometry((self.width() - width) // 2, (self.height() - height) // 2, width, height)
        size = round(width * ratio), round(height * ratio)
        self._picture.show_pixels(self._painter.paint(result, self._recorded, size, ratio))

    def sizeHint(self) -> QSize:
        return QSize(280, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """What is around the picture, and seen where there is none."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(theme.LINE), 1))
            painter.setBrush(QColor(theme.BACKGROUND))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
            painter.setPen(QColor(theme.QUIET))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "no picture yet")

    def _paint_over(self, painter: QPainter) -> None:
        if self._stale:
            theme.dim(painter, self._picture.rect())

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self._result is not None:
            self._draw(self._result)
