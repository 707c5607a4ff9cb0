"""The menu with which users try what the app does when their camera misbehaves."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QMenu, QWidget

from app.runtime.session import LiveSession
from app.runtime.worker import WorkerState
from engine.sensors.faults import DEFAULT_SECONDS, FAULT_WORDS, Fault
from engine.sensors.faulty import KIND, control_of, is_faulty, split_spec

_POLL_MS = 50
#: A source that cannot be opened for so long is not waited for.
_PATIENCE_POLLS = 20_000 // _POLL_MS


class FaultMenu(QMenu):
    """One entry per fault; the first one chosen lets the present source come as a camera that can misbehave.

    switch: opens another source, by its spec. Faults last as long as engine.sensors.faults says.
    """

    def __init__(self, session: LiveSession, switch: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__("Testing", parent)
        self._session, self._switch = session, switch
        self._waiting: Fault | None = None
        self._polls = 0
        self._timer = QTimer(self, interval=_POLL_MS)
        self._timer.timeout.connect(self._inject_when_open)
        self.setToolTipsVisible(True)
        self.addAction("For a test, the source …").setEnabled(False)
        self.addSeparator()
        for fault in Fault:
            action = self.addAction(FAULT_WORDS[fault])
            action.setToolTip(f"{fault.value}, {DEFAULT_SECONDS[fault]:g} s")
            action.triggered.connect(lambda _=False, fault=fault: self.inject(fault))
        self.addSeparator()
        self.end_action = self.addAction("End the test: back to the source itself")
        self.end_action.triggered.connect(self.end)
        self.aboutToShow.connect(self._refresh)
        self._refresh()

    def inject(self, fault: Fault) -> None:
        """Let the source do this wrong, once it is open as a source that can."""
        spec = self._session.capture.spec
        if not is_faulty(spec):
            self._switch(f"{KIND}::{spec}")
        self._waiting, self._polls = fault, 0
        self._timer.start()
        self._inject_when_open()

    def end(self) -> None:
        """Back to the source itself, without faults."""
        self._stop_waiting()
        spec = self._session.capture.spec
        if is_faulty(spec):
            control_of(spec).clear()
            self._switch(split_spec(spec)[1])

    def _inject_when_open(self) -> None:
        capture = self._session.capture
        opened = capture.opened
        self._polls += 1
        if not is_faulty(capture.spec) or self._polls > _PATIENCE_POLLS:
            self._stop_waiting()
        elif opened is not None and opened.spec == capture.spec and capture.state is WorkerState.RUNNING:
            fault = self._waiting
            self._stop_waiting()
            if fault is not None:
                control_of(capture.spec).inject(fault)

    def _stop_waiting(self) -> None:
        self._waiting = None
        self._timer.stop()

    def _refresh(self) -> None:
        self.end_action.setEnabled(is_faulty(self._session.capture.spec))
