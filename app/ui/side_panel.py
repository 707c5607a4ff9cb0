"""The column at the right of the window."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from app.ui import theme

_SPACING = 18


def side_panel(
    sources: QWidget, record: QWidget, depth: QWidget, hand: list[QWidget], layers: QWidget, controls: QWidget
) -> QScrollArea:
    """The parts below one another; on a low screen the depth picture gets smaller, then the panel scrolls."""
    panel = QWidget()
    panel.setObjectName("panel")
    column = QVBoxLayout(panel)
    column.setContentsMargins(14, 14, 14, 12)
    column.setSpacing(_SPACING)
    column.addWidget(sources)
    column.addWidget(record)
    picture = QVBoxLayout()
    picture.setSpacing(8)
    picture.addWidget(theme.label("DEPTH", "title"))
    picture.addWidget(depth)
    column.addLayout(picture)
    for part in (*hand, layers, controls):
        column.addWidget(part)
    column.addStretch(1)
    column.addWidget(theme.label("Press ? for keys and mouse", "quiet"))
    area = QScrollArea(widgetResizable=True)
    area.setWidget(panel)
    area.setFixedWidth(theme.PANEL_WIDTH)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area
