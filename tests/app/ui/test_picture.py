"""Pictures that Qt paints without the interpreter's lock: they fill their widget and can be painted over."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QLabel, QWidget

from app.ui.application import get_application
from app.ui.picture import Picture, filling


def stripes(height: int, width: int) -> np.ndarray:
    """Columns that get brighter to the right, rows all alike."""
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (height, width, 4)))


def green(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return pixels[:, : image.width(), 1].copy()


@pytest.mark.parametrize(("height", "width"), [(100, 200), (50, 100), (333, 41), (1, 1)])
def test_pixels_fill_any_size(height: int, width: int) -> None:
    assert filling(stripes(100, 200), width, height).shape == (height, width, 4)


def test_what_has_another_shape_is_cut_off_and_not_distorted() -> None:
    square = filling(stripes(100, 200), 100, 100)
    assert np.array_equal(square, stripes(100, 200)[:, 50:150])
    tall = filling(stripes(100, 200), 100, 200)
    assert np.abs(tall[0, :, 0].astype(int) - stripes(200, 400)[0, 150:250, 0]).max() <= 2
    same = stripes(60, 80)
    assert np.array_equal(filling(same, 80, 60), same)


def test_it_shows_what_it_is_given_and_nothing_before() -> None:
    get_application()
    parent = QWidget()
    parent.resize(80, 60)
    picture = Picture(parent, lambda painter: None)
    picture.resize(80, 60)
    assert picture.isHidden()
    picture.show_pixels(stripes(60, 80))
    assert not picture.isHidden() and np.array_equal(green(parent), stripes(60, 80)[:, :, 1])
    picture.resize(40, 60)
    assert np.array_equal(green(picture), stripes(60, 80)[:, 20:60, 1])
    picture.show_pixels(None)
    assert picture.isHidden()


def test_what_is_painted_over_it_is_seen_and_each_painting_is_told() -> None:
    get_application()
    painted: list[None] = []

    def half(painter: QPainter) -> None:
        painter.fillRect(0, 0, 40, 60, QColor(7, 8, 9))

    parent = QWidget()
    picture = Picture(parent, half)
    picture.painted.connect(lambda: painted.append(None))
    picture.resize(80, 60)
    picture.show_pixels(stripes(60, 80))
    seen = green(picture)
    assert (seen[:, :40] == 8).all() and np.array_equal(seen[:, 40:], stripes(60, 80)[:, 40:, 1])
    assert painted


def test_qt_paints_the_pixels_itself() -> None:
    """A paintEvent in Python would keep the tracking thread waiting until all of them are copied."""
    assert Picture.paintEvent is QLabel.paintEvent
