"""A picture that Qt paints by itself.

A paintEvent in Python holds the interpreter's lock until all pixels are copied, and the tracking thread, which needs
it, waits for as long. A label is painted in C++, without the lock.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget


class Picture(QLabel):
    """Shows pixels as large as itself; hidden while there are none, and nothing to the mouse. paint_over: paints what
    is to be seen on them, little, each time. painted: sent each time the widget has been painted."""

    painted = Signal()

    def __init__(self, parent: QWidget, paint_over: Callable[[QPainter], None]) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._over = _Over(self, paint_over)
        self._pixels: NDArray[np.uint8] | None = None
        self._put_pixels: NDArray[np.uint8] | None = None
        self.hide()

    def show_pixels(self, pixels: NDArray[np.uint8] | None) -> None:
        """Show (height, width, 4) B, G, R, X, enlarged or reduced to fill the widget, cut off where that has another
        shape, never distorted; None: nothing."""
        self._pixels = pixels
        self.setVisible(pixels is not None)
        self._put()

    def paint_over(self) -> None:
        """What is painted on the pixels has changed."""
        self._over.update()

    def _put(self) -> None:
        if self._pixels is None:
            return
        ratio = self.devicePixelRatioF()
        width, height = max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio))
        pixels = filling(self._pixels, width, height)
        image = QImage(pixels.data, width, height, width * 4, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(ratio)
        self.setPixmap(QPixmap.fromImage(image))
        # The pixmap shares this memory and does not own it.
        self._put_pixels = pixels

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._over.resize(event.size())
        self._put()


def filling(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Pixels (H, W, C) scaled to (height, width, C), their middle where the shapes differ."""
    rows, columns = pixels.shape[:2]
    scale = max(width / columns, height / rows)
    cut_rows, cut_columns = min(rows, max(1, round(height / scale))), min(columns, max(1, round(width / scale)))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    middle = pixels[top : top + cut_rows, left : left + cut_columns]
    if middle.shape[:2] != (height, width):
        return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.ascontiguousarray(middle)


class _Over(QWidget):
    """Transparent, on top of a picture."""

    def __init__(self, picture: Picture, paint_over: Callable[[QPainter], None]) -> None:
        super().__init__(picture)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._picture, self._paint_over = picture, paint_over

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._paint_over(painter)
        self._picture.painted.emit()
