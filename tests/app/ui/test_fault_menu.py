"""The menu for testing: a source misbehaves when it is told to, the window says so, and the test ends."""

from __future__ import annotations

from functools import partial

import pytest

from app.config import Isolated
from app.runtime import sources
from app.runtime.frame_watch import EMPTY
from app.runtime.sources import demo_choice
from engine.sensors import faulty as faulty_module
from engine.sensors.faults import FAULT_WORDS, Fault
from engine.sensors.faulty import control_of
from tests.app.ui.windows import faults, open_window, pump


def test_a_fault_is_chosen_told_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty_module, "_controls", {})
    with open_window(open_source=partial(sources.open_source, isolated=Isolated.NONE)) as window:
        capture, demo = window._session.capture, demo_choice().spec
        assert pump(lambda: window.status.state_text == "tracking")
        actions = {action.text(): action for action in window.sources.faults.actions()}
        assert set(FAULT_WORDS.values()) <= set(actions) and not window.sources.faults.end_action.isEnabled()
        actions[FAULT_WORDS[Fault.ZERO]].trigger()
        assert capture.spec == f"faulty::{demo}"
        assert pump(lambda: EMPTY in window.banner.text)
        actions[FAULT_WORDS[Fault.UNPLUG]].trigger()
        assert pump(lambda: "unplugged" in window.banner.text and window.status.state_text == "no picture")
        control_of(capture.spec).clear()
        assert pump(lambda: window.status.state_text == "tracking")
        window.sources.faults.aboutToShow.emit()
        assert window.sources.faults.end_action.isEnabled()
        window.sources.faults.end_action.trigger()
        assert pump(lambda: capture.spec == demo and capture.opened is not None and capture.opened.spec == demo)
        assert pump(lambda: faults(window) == [])
