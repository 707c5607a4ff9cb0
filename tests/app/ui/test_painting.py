"""What paints stops painting when its event ends, whoever still holds the painter then.

A crash report holds the frames of what went wrong, a profiler or debugger those of any moment, and a painter with
them. Qt ends the process where one is still at work on a widget that is painted again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.ui.adaptation_part import ResidualChart
from app.ui.application import get_application
from app.ui.calibration_charts import BoneTable, HeatView
from app.ui.depth_panel import DepthPanel
from app.ui.range_slider import RangeSlider
from app.ui.status_bar import Dot


def marked_slider() -> RangeSlider:
    slider = RangeSlider()
    slider.set_marks(2, 5)
    return slider


@pytest.mark.parametrize("make", [BoneTable, DepthPanel, Dot, lambda: HeatView("heat"), marked_slider, ResidualChart])
def test_no_painter_outlives_its_event(make: Callable[[], QWidget], monkeypatch: pytest.MonkeyPatch) -> None:
    get_application()
    held: list[QPainter] = []
    painted = QPainter.setRenderHint

    def hold(painter: QPainter, *arguments: object) -> None:
        held.append(painter)
        painted(painter, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(QPainter, "setRenderHint", hold)
    widget = make()
    widget.resize(300, 200)
    assert not widget.grab().isNull()
    assert held and not any(painter.isActive() for painter in held)
