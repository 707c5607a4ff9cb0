"""The wizard's page: whose hand, the poses, the comparison. Shows a CalibrationView, emits what the user wants."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.runtime.calibration_worker import CalibrationView, Phase
from app.ui import theme
from app.ui.calibration_charts import BoneTable, HeatView, PoseCard
from app.ui.calibration_words import (
    count_words,
    outcome_words,
    residual_words,
    stage_words,
    verdict_words,
)
from calibration.guide import GuideConfig, Stage
from calibration.profiles import checked_name
from engine.types import LumbricalError, Side

#: On less, the poses stand above the bones.
_NARROW = 700
_CARD_WIDTH, _CARD_MARGIN = 460, 28
_SIDES = (Side.RIGHT, Side.LEFT)
_ADVICE = (
    "About a minute. You are asked for one pose after the other, always the one that tells most about the bones that "
    "are still unsure. Take it, and hold it still until the ring is full. The hand bare, 30 to 80 cm from the camera, "
    "nothing in it.\nNothing is saved before you say so."
)
_ADVICE_RECORDING = (
    "A recording is playing: it is watched once from its start to its end, and its poses are taken as they come. "
    "Choose a camera to be led from pose to pose.\nNothing is saved before you say so."
)


class CalibrationPage(QWidget):
    """begin_wanted(user, side); skip, finish, accept, take_back and close wanted."""

    begin_wanted = Signal(str, object)
    skip_wanted = Signal()
    finish_wanted = Signal()
    accept_wanted = Signal()
    take_back_wanted = Signal()
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._words = _wrapped("")
        self._countdown_s = GuideConfig().countdown_s
        self._title = theme.label("", "value")
        self._close = _button("Cancel", "Leave the calibration; nothing is saved (Escape)")
        self._close.clicked.connect(self.closed)
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(theme.label("CALIBRATION", "title"))
        head.addWidget(self._title, 1)
        head.addWidget(self._close)
        self._steps = QStackedWidget()
        for step in (self._begin_step(), self._pose_step(), self._compare_step()):
            area = QScrollArea(widgetResizable=True)
            area.setWidget(step)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            area.setStyleSheet(f"QScrollArea, QWidget#step {{ background: {theme.BACKGROUND}; }}")
            self._steps.addWidget(area)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 12, 18, 14)
        layout.setSpacing(12)
        layout.addLayout(head)
        layout.addWidget(self._steps, 1)

    def _begin_step(self) -> QWidget:
        self.name = QLineEdit(placeholderText="Your name", maxLength=40)
        self.name.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.name.returnPressed.connect(self.begin)
        self.name.textChanged.connect(lambda *_: self._words.clear())
        sides = QHBoxLayout()
        sides.setSpacing(6)
        self._sides = QButtonGroup(self)
        for number, side in enumerate(_SIDES):
            button = theme.switch(f"{side.value.capitalize()} hand")
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self._sides.addButton(button, number)
            sides.addWidget(button, 1)
        self._sides.button(0).setChecked(True)
        self._begin_button = _button("Begin", "Begin the session (Return)", primary=True)
        self._begin_button.clicked.connect(self.begin)
        self._advice = _wrapped("")
        self._words.setStyleSheet(f"color: {theme.BAD};")
        card = QFrame()
        card.setObjectName("card")
        card.setStyleSheet(f"QFrame#card {{ background: {theme.PANEL}; border-radius: 12px; }}")
        card.setFixedWidth(_CARD_WIDTH)
        column = QVBoxLayout(card)
        column.setContentsMargins(_CARD_MARGIN, 26, _CARD_MARGIN, 26)
        column.setSpacing(12)
        heading = theme.label("Teach Lumbrical your hand")
        heading.setStyleSheet("font-size: 18px; font-weight: 600;")
        for widget in (heading, self._advice, self.name):
            column.addWidget(widget)
        column.addLayout(sides)
        column.addWidget(self._words)
        column.addWidget(self._begin_button)
        return _centred(card)

    def _pose_step(self) -> QWidget:
        self.card, self.bones, self.heat = PoseCard(), BoneTable(), HeatView("Residual so far")
        self._pose_name = theme.label("")
        self._pose_name.setStyleSheet("font-size: 17px; font-weight: 600;")
        self._instruction, self._stage, self._verdict = _wrapped(""), _wrapped(""), _wrapped("")
        self._verdict.setMinimumHeight(3 * self._verdict.fontMetrics().lineSpacing())
        self._stage.setMinimumHeight(self._stage.fontMetrics().lineSpacing() + 3)
        self._instruction.setMinimumHeight(2 * self._instruction.fontMetrics().lineSpacing())
        for label in (self._instruction, self._stage, self._verdict):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self._counts = theme.label("", "quiet")
        self._skip = _button("Another pose", "Leave this pose out (N)")
        self._finish = _button("Finish now", "Solve with what was shown so far")
        self._skip.clicked.connect(self.skip_wanted)
        self._finish.clicked.connect(self.finish_wanted)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self._skip)
        buttons.addWidget(self._finish)
        left = QVBoxLayout()
        left.setSpacing(8)
        left.addWidget(self.card, 1)
        left.addWidget(self._pose_name, 0, Qt.AlignmentFlag.AlignHCenter)
        for widget in (self._instruction, self._stage, self._verdict):
            left.addWidget(widget)
        left.addLayout(buttons)
        right = QVBoxLayout()
        right.setSpacing(10)
        right.addWidget(self._counts)
        right.addWidget(self.bones)
        right.addWidget(self.heat, 1)
        step = _step()
        self._columns = columns = QBoxLayout(QBoxLayout.Direction.LeftToRight, step)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(24)
        columns.addLayout(left, 2)
        columns.addLayout(right, 3)
        return step

    def _compare_step(self) -> QWidget:
        self.before, self.after, self.found = HeatView("Before"), HeatView("New"), BoneTable()
        self._outcome = _wrapped("")
        self._outcome.setProperty("role", "")
        self._outcome.setStyleSheet("font-size: 15px;")
        self._accept = _button("Use the new hand", "Save it as a profile and track with it", primary=True)
        self._discard = _button("Leave it", "Keep what was there before")
        self._back = _button("Take it back", "Put back what was there before the new hand was saved")
        self._accept.clicked.connect(self.accept_wanted)
        self._discard.clicked.connect(self.closed)
        self._back.clicked.connect(self.take_back_wanted)
        pictures = QHBoxLayout()
        pictures.setSpacing(12)
        pictures.addWidget(self.before, 1)
        pictures.addWidget(self.after, 1)
        self._news = _wrapped("")
        self._news.setMinimumWidth(150)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self._news, 1)
        for button in (self._back, self._discard, self._accept):
            buttons.addWidget(button)
        step = _step()
        column = QVBoxLayout(step)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._outcome)
        column.addLayout(buttons)
        column.addLayout(pictures, 1)
        column.addWidget(self.found)
        return step

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < _NARROW
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._columns.setDirection(direction)

    def ask_whose(self, user: str, side: Side | None, recording: bool) -> None:
        """Show the first step, filled in."""
        self._steps.setCurrentIndex(0)
        self._title.setText("")
        self._close.setText("Cancel")
        self._advice.setText(_ADVICE_RECORDING if recording else _ADVICE)
        # A label in a card of fixed width does not ask for the height that its lines take.
        self._advice.setMinimumHeight(self._advice.heightForWidth(_CARD_WIDTH - 2 * _CARD_MARGIN))
        self.name.setText(user)
        self._words.clear()
        if side is not None:
            self._sides.button(_SIDES.index(side)).setChecked(True)
        self.name.setFocus()

    def refuse(self, line: str) -> None:
        """Say why it cannot begin."""
        self._words.setText(line)

    def show_view(self, view: CalibrationView) -> None:
        """Show how the calibration stands."""
        assert view.side is not None
        self._title.setText(f"{view.user} · {view.side.value} hand")
        solved = view.phase in (Phase.COMPARING, Phase.SAVED, Phase.TAKEN_BACK)
        self._steps.setCurrentIndex(2 if solved else 1)
        self._close.setText("Close" if view.phase in (Phase.SAVED, Phase.TAKEN_BACK, Phase.FAILED) else "Cancel")
        if solved:
            self._show_outcome(view)
        else:
            self._show_pose(view)

    def _show_pose(self, view: CalibrationView) -> None:
        guide, failed = view.guide, view.phase is Phase.FAILED
        pose = guide.pose if guide is not None else None
        self.card.setVisible(True)
        self.card.show_pose(pose.name if pose else "", view.pictures.get(pose.name) if pose else None)
        self._show_ring(view)
        self._pose_name.setText(pose.name.capitalize() if pose else "")
        self._instruction.setText(pose.instruction if pose else "")
        self._stage.setText("" if failed else stage_words(view))
        words, color = (view.trouble, theme.BAD) if failed else verdict_words(guide)
        self._verdict.setText(words)
        self._verdict.setStyleSheet(f"color: {color}; font-weight: 600;")
        self._counts.setText(count_words(view) or " ")
        guiding = view.phase is Phase.GUIDING
        self._skip.setEnabled(guiding and pose is not None)
        self._finish.setEnabled(guiding and guide is not None and guide.frames > 0)
        if view.looked is not None:
            progress = view.looked.progress
            self.bones.show_bones(progress.sd_mm, progress.coverage)
            known = np.isfinite(progress.residual_map)
            mean = float(np.median(progress.residual_map[known])) if known.any() else math.nan
            self.heat.show_heat(view.looked.heat, residual_words(mean) if known.any() else "")

    def _show_ring(self, view: CalibrationView) -> None:
        guide = view.guide
        if view.phase is not Phase.GUIDING or guide is None:
            self.card.show_ring(0.0, theme.ACCENT)
        elif view.recording is not None:
            self.card.show_ring(view.recording, theme.ACCENT, f"{100 * view.recording:.0f}")
        elif guide.stage is Stage.COUNTDOWN:
            left = guide.countdown_s
            self.card.show_ring(left / self._countdown_s, theme.ACCENT, str(math.ceil(left)) if left > 0 else "")
        elif guide.stage is Stage.HOLD:
            self.card.show_ring(guide.held, theme.GOOD)
        elif guide.stage is Stage.JUDGED:
            self.card.show_ring(1.0, verdict_words(guide)[1])
        else:
            self.card.show_ring(0.0, theme.ACCENT)

    def _show_outcome(self, view: CalibrationView) -> None:
        finished = view.finished
        assert finished is not None
        outcome = finished.outcome
        self._outcome.setText(outcome_words(outcome, view.compared_with))
        self.before.title = f"Before: {view.compared_with}"
        self.before.show_heat(finished.before, residual_words(outcome.before_mm))
        self.after.show_heat(finished.after, residual_words(outcome.after_mm))
        self.found.show_bones(outcome.estimate.sd_mm, outcome.coverage)
        saved = view.phase is Phase.SAVED
        self._accept.setVisible(not saved)
        self._discard.setVisible(view.phase is Phase.COMPARING)
        self._back.setVisible(saved)
        assert view.side is not None
        news = {
            Phase.COMPARING: f"Learnt from {outcome.estimate.frames} frames.",
            Phase.SAVED: f"Saved: {view.user}'s {view.side.value} hand is tracked with it now.",
            Phase.TAKEN_BACK: f"Taken back: {view.compared_with} is used again.",
        }[view.phase]
        self._news.setText(view.trouble or news)
        self._news.setStyleSheet(f"color: {theme.BAD if view.trouble else theme.GOOD if saved else theme.QUIET};")

    def begin(self) -> None:
        """Begin with the name and the side that were chosen; or say what is wrong with them."""
        user = self.name.text().strip()
        try:
            checked_name(user)
        except LumbricalError as error:
            self.refuse(str(error) if user else "Say whose hand it is: the profile gets that name.")
            return
        self.name.clearFocus()
        self.begin_wanted.emit(user, _SIDES[self._sides.checkedId()])


def _button(text: str, tip: str, primary: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    if primary:
        button.setProperty("role", "primary")
    return button


def _wrapped(text: str) -> QLabel:
    label = theme.label(text, "quiet")
    label.setWordWrap(True)
    return label


def _step() -> QWidget:
    step = QWidget()
    step.setObjectName("step")
    return step


def _centred(card: QWidget) -> QWidget:
    step = _step()
    column = QVBoxLayout(step)
    column.addStretch(2)
    column.addWidget(card, 0, Qt.AlignmentFlag.AlignHCenter)
    column.addStretch(3)
    return step
