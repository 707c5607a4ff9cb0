"""Replaying a take in the window: its recorded poses beside new ones, and other weights and methods to make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.runtime.interfaces import LiveResult
from app.runtime.methods import METHODS
from app.runtime.pose_comparison import ComparisonView, PoseComparison
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice
from app.ui import theme
from engine.runners.choose import RUNNERS

_SHIPPED = "Shipped weights"


class TrackerPicker(QWidget):
    """What to track with: the method, what computes the encoder, and its weights, the shipped ones or files opened so
    far."""

    def __init__(self, choice: TrackerChoice) -> None:
        super().__init__()
        self._choice = choice
        self._methods = _box()
        self._methods.setToolTip("How the hand is found; a take can be tracked again with another method")
        for row, method in enumerate(METHODS):
            self._methods.addItem(method.title, method.name)
            self._methods.setItemData(row, f"{method.title}: {method.what}", Qt.ItemDataRole.ToolTipRole)
        self._methods.activated.connect(lambda index: self.use_method(self._methods.itemData(index)))
        self._runners = _box()
        self._runners.setToolTip("What computes the encoder")
        for name, kind in RUNNERS.items():
            self._runners.addItem(kind.title, name)
        self._runners.activated.connect(lambda index: self.use_runner(self._runners.itemData(index)))
        self._box = _box()
        self._box.setToolTip("The encoder's weights; a take can be tracked again with others")
        self._box.addItem(_SHIPPED, None)
        self._box.activated.connect(lambda index: self.use(self._box.itemData(index)))
        open_file = QPushButton("File …")
        open_file.setToolTip("Weights of your own, such as finetune writes")
        open_file.clicked.connect(self._open)
        for widget in (self._methods, self._runners, self._box, open_file):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        weights = QHBoxLayout()
        weights.setSpacing(6)
        weights.addWidget(self._box, 1)
        weights.addWidget(open_file)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._methods)
        layout.addWidget(self._runners)
        layout.addLayout(weights)
        self.refresh()

    def use(self, weights: Path | None) -> None:
        """Track with these weights from soon on."""
        self._choice.choose(replace(self._choice.wish, weights=weights))
        self.refresh()

    def use_method(self, method: str) -> None:
        """Track with this method from soon on."""
        self._choice.choose(replace(self._choice.wish, method=method))
        self.refresh()

    def use_runner(self, runner: str) -> None:
        """Compute the encoder by this runner from soon on, whatever else would suit."""
        self._choice.choose_runner(runner)
        self.refresh()

    def refresh(self) -> None:
        """Show what is used; how right its runner is, to those who look for it."""
        wish = self._choice.wish
        self._runners.setToolTip("\n".join(filter(None, ("What computes the encoder", self._choice.words))))
        if wish.weights is not None and self._place(wish.weights) < 0:
            self._box.addItem(wish.weights.name, wish.weights)
        for box, row in (
            (self._box, self._place(wish.weights)),
            (self._methods, self._methods.findData(wish.method)),
            (self._runners, self._runners.findData(wish.runner)),
        ):
            if box.currentIndex() != row and not box.view().isVisible():
                box.setCurrentIndex(row)
            box.setEnabled(not self._choice.busy)

    def _place(self, weights: Path | None) -> int:
        return next((row for row in range(self._box.count()) if self._box.itemData(row) == weights), -1)

    def _open(self) -> None:
        kinds = "Weights (*.safetensors);;All files (*)"
        used = self._choice.wish.weights
        folder = str(used.parent) if used is not None else ""
        name = QFileDialog.getOpenFileName(self, "Open weights", folder, kinds)[0]
        if name:
            self.use(Path(name))


def _box() -> QComboBox:
    box = QComboBox()
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


class ReplayPart(QObject):
    """The switch for recorded poses, the picker of method and weights (None without a TrackerChoice), and what they
    lead to."""

    def __init__(self, session: LiveSession, choice: TrackerChoice | None) -> None:
        super().__init__()
        self._comparison = PoseComparison(session)
        self._choice = choice
        self.picker = TrackerPicker(choice) if choice is not None else None
        self.switch = theme.switch("Recorded")
        self.switch.setToolTip("The pose that the take holds, in pink, beside the one that is tracked now (G)")
        self.switch.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.switch.setEnabled(False)
        self._shown_for: set[tuple[str, str]] = set()

    @property
    def trouble(self) -> str:
        """Why the weights or the method could not be used."""
        return self._choice.trouble if self._choice is not None else ""

    @property
    def runner(self) -> str:
        """What computes the encoder, in words; nothing where that cannot be chosen."""
        return RUNNERS[self._choice.used.runner].title if self._choice is not None else ""

    @property
    def note(self) -> str:
        """How far a runner's plan has come, while one is built."""
        return self._choice.building if self._choice is not None else ""

    def toggle(self) -> None:
        """Show recorded poses, or hide them, if there are any."""
        if self.switch.isEnabled():
            self.switch.toggle()

    def refresh(self) -> ComparisonView | None:
        """Notice a new source; what the legend has to say while recorded poses are shown."""
        self._comparison.look()
        if self._choice is not None and self.picker is not None:
            self._choice.follow_source()
            self._choice.check_present()
            self.picker.refresh()
        available = self._comparison.available
        if self.switch.isEnabled() != available:
            self.switch.setEnabled(available)
            self._shown_for.clear()
            if not available:
                self.switch.setChecked(False)
        view = self._comparison.view()
        if view is not None and view.recorded != view.tracked and (view.recorded, view.tracked) not in self._shown_for:
            # Other weights than those it was recorded with, or another method, are there to be compared.
            self._shown_for.add((view.recorded, view.tracked))
            self.switch.setChecked(True)
        return view if self.switch.isChecked() else None

    def recorded(self, live: LiveResult) -> NDArray[np.float32] | None:
        """The recorded joints for a result, while they are shown."""
        return self._comparison.recorded(live) if self.switch.isChecked() else None
