"""Cameras that are looked for only once the window is at work."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QWidget

from app.runtime.session import LiveSession
from app.runtime.sources import CameraSearch, SourceChoice, demo_choice
from app.ui import source_part
from app.ui.application import get_application
from app.ui.settings import Memory
from app.ui.source_part import SourcePart
from tests.app.fakes import FakeTracker, wait_until
from tests.app.ui.windows import recording

CAMERA = SourceChoice("realsense:1", "a camera", is_camera=True)


@pytest.mark.parametrize("chosen", [True, False])
def test_a_camera_takes_over_from_the_demo_take_unless_that_was_asked_for(chosen: bool) -> None:
    get_application()
    session = LiveSession(lambda _: recording(), demo_choice().spec, FakeTracker)
    over = QWidget()
    part = SourcePart(session, Memory.forgetful(), [], over, chosen)
    assert part.is_for_want_of_a_camera is not chosen
    part.note_cameras([CAMERA])
    assert session.capture.spec == (demo_choice().spec if chosen else CAMERA.spec)
    assert not part.is_for_want_of_a_camera


@pytest.mark.parametrize("known", [True, False])
def test_cameras_are_looked_for_later_where_that_was_put_off(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    get_application()
    searches: list[bool] = []

    def search() -> list[SourceChoice]:
        searches.append(True)
        return [CAMERA]

    monkeypatch.setattr(source_part, "CameraSearch", lambda: CameraSearch(search))
    session = LiveSession(lambda _: recording(), demo_choice().spec, FakeTracker)
    over = QWidget()
    part = SourcePart(session, Memory.forgetful(), [] if known else None, over)
    assert not searches and not part.has_camera
    assert any(choice.spec == "synthetic" for choice in part.panel.choices()) is not known
    for _ in range(source_part._LOOK_EVERY):
        part.refresh()
    assert known or wait_until(lambda: bool(searches))
    assert len(searches) == (0 if known else 1)
    for _ in range(3 * source_part._LOOK_EVERY):
        part.refresh()
    # The camera that was found takes over from the demo take, and it is not looked for again.
    assert part.has_camera is not known and len(searches) == (0 if known else 1)
    assert session.capture.spec == (demo_choice().spec if known else CAMERA.spec)
