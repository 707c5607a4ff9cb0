"""Switches for the layers, the smoothing slider and the choice of hand."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.ui import theme
from app.viewer.scene import Layers
from engine.types import Side

LAYERS = (
    ("skeleton", "Skeleton"),
    ("gaussians", "Gaussians"),
    ("mesh", "Mesh"),
    ("cloud", "Point cloud"),
    ("uncertainty", "Uncertainty"),
)
_MEANINGS = {"uncertainty": "rings that hold each joint 9 times in 10, as checked on rendered hands"}
_SIDES = (("Auto", None), ("Right", Side.RIGHT), ("Left", Side.LEFT))


class LayerSwitches(QWidget):
    """One switch per layer of the 3D view; emits changed(Layers)."""

    changed = Signal(object)

    def __init__(self, further: QWidget | None = None) -> None:
        """further: a switch of its owner's for the last place."""
        super().__init__()
        self._layers = Layers()
        self._buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(6)
        for place, (name, text) in enumerate(LAYERS):
            button = theme.switch(text)
            button.setChecked(getattr(self._layers, name))
            meaning = f": {_MEANINGS[name]}" if name in _MEANINGS else ""
            button.setToolTip(f"{text} on or off ({place + 1}){meaning}")
            button.toggled.connect(lambda on, name=name: self._set(name, on))
            alone = place == len(LAYERS) - 1 and place % 2 == 0 and further is None
            grid.addWidget(button, place // 2, place % 2, 1, 2 if alone else 1)
            self._buttons[name] = button
        if further is not None:
            grid.addWidget(further, len(LAYERS) // 2, len(LAYERS) % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(theme.label("LAYERS", "title"))
        layout.addLayout(grid)

    @property
    def layers(self) -> Layers:
        """What is switched on."""
        return self._layers

    def set_layers(self, layers: Layers) -> None:
        """Set all switches."""
        for name, button in self._buttons.items():
            button.setChecked(getattr(layers, name))

    def toggle(self, name: str) -> None:
        """Turn one switch over."""
        self._buttons[name].toggle()

    def _set(self, name: str, on: bool) -> None:
        self._layers = replace(self._layers, **{name: on})
        self.changed.emit(self._layers)


class TrackingControls(QWidget):
    """Smoothing and side; emits smoothing_changed(0..1) and side_changed(Side or None)."""

    smoothing_changed = Signal(float)
    side_changed = Signal(object)

    def __init__(self, picker: QWidget | None = None) -> None:
        """picker: a widget of its owner's to choose weights and method."""
        super().__init__()
        self._side: Side | None = None
        self._slider = theme.slider(100)
        self._slider.setToolTip("One Euro filter: to the right steadier, to the left quicker")
        self._slider.valueChanged.connect(self._report_smoothing)
        self._amount = theme.label("", "quiet")
        heading = QHBoxLayout()
        heading.addWidget(theme.label("Smoothing"))
        heading.addStretch(1)
        heading.addWidget(self._amount)
        sides = QHBoxLayout()
        sides.setSpacing(6)
        self._group = QButtonGroup(self)
        for number, (text, side) in enumerate(_SIDES):
            button = theme.switch(text)
            button.setToolTip("Which hand to track" if side else "Let the tracker tell left from right")
            self._group.addButton(button, number)
            sides.addWidget(button, 1)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self._report_side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(theme.label("TRACKING", "title"))
        layout.addLayout(heading)
        layout.addWidget(self._slider)
        layout.addLayout(sides)
        if picker is not None:
            layout.addWidget(picker)

    @property
    def smoothing(self) -> float:
        """0 to 1."""
        return self._slider.value() / 100

    @property
    def side(self) -> Side | None:
        """The hand chosen; None for automatic."""
        return self._side

    def set_smoothing(self, amount: float) -> None:
        """Move the slider, which reports it."""
        self._slider.setValue(round(100 * amount))
        self._report_smoothing()

    def set_side(self, side: Side | None) -> None:
        """Choose a side and report it."""
        number = next(number for number, (_, one) in enumerate(_SIDES) if one is side)
        self._group.button(number).setChecked(True)
        self._report_side(number)

    def _report_smoothing(self) -> None:
        self._amount.setText("off" if self._slider.value() == 0 else f"{self._slider.value()} %")
        self.smoothing_changed.emit(self.smoothing)

    def _report_side(self, number: int) -> None:
        self._side = _SIDES[number][1]
        self.side_changed.emit(self._side)
