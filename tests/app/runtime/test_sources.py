"""Choosing and checking sources; noticing that something was plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import DEMO_SOURCE, Isolated
from app.runtime import sources
from app.runtime.sources import CameraSearch, SourceChoice
from engine.sensors.isolated import IsolatedSensor
from engine.sensors.playback import Playback
from engine.sensors.realsense import RealSenseCamera
from engine.sensors.sequence_folder import write_sequence
from engine.types import LumbricalError
from tests.app.fakes import make_frame, wait_until

CAMERA = SourceChoice("realsense:1", "RealSense", is_camera=True)
SYNTHETIC = SourceChoice("synthetic", "Synthetic camera")


def test_the_wish_comes_first_then_a_camera_then_the_demo() -> None:
    assert sources.choose_source("mine", [CAMERA]) == "mine"
    assert sources.choose_source(None, [SYNTHETIC, CAMERA]) == CAMERA.spec
    assert sources.choose_source(None, [SYNTHETIC]) == str(DEMO_SOURCE)
    assert sources.is_demo(sources.choose_source(None, []))


def test_recordings_play_in_a_loop_and_cameras_as_they_are() -> None:
    assert sources.open_source("synthetic").is_live
    with pytest.raises(LumbricalError, match="camera"):
        sources.open_recording("synthetic")


def test_a_camera_is_asked_for_the_rate_that_is_wanted() -> None:
    for wanted, isolated in ((None, Isolated.NONE), (90, Isolated.NONE), (90, Isolated.CAMERAS)):
        rate = {} if wanted is None else {"fps": wanted}
        source = sources.open_source("realsense", isolated, **rate)
        # What the child process will do, where there is one.
        camera = source._make() if isinstance(source, IsolatedSensor) else source
        assert isinstance(camera, RealSenseCamera) and camera._wanted_fps == (wanted or 60)


def test_a_recording_is_read_fast_and_once(tmp_path: Path) -> None:
    write_sequence(tmp_path / "wave", [make_frame()])
    source = sources.open_recording(str(tmp_path / "wave"))
    assert isinstance(source, Playback) and not source.loop and not source.real_time


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="does not exist"):
        sources.check_source(str(tmp_path / "none"))
    with pytest.raises(LumbricalError, match=r"sequence\.json"):
        sources.check_source(str(tmp_path))
    sources.check_source("synthetic")


def test_a_search_starts_only_when_something_was_plugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "_USB_DEVICES", tmp_path)
    searches: list[int] = []

    def search() -> list[SourceChoice]:
        searches.append(1)
        return [CAMERA]

    cameras = CameraSearch(search)
    cameras.start_if_plugged()
    assert cameras.result() is None and not searches
    (tmp_path / "1-2").touch()
    cameras.start_if_plugged()
    assert wait_until(lambda: len(searches) == 1)
    found: list[list[SourceChoice] | None] = []

    def take() -> bool:
        found.append(cameras.result())
        return found[-1] is not None

    assert wait_until(take)
    assert found[-1] == [CAMERA] and cameras.result() is None
