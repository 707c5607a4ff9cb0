"""Takes in the window: listed, replayed from A to B, tracked again and compared; nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from app.runtime.adaptation_worker import AdaptationView, AdaptationWorker
from app.runtime.interfaces import FrameSource
from app.runtime.sources import open_source
from app.runtime.tracker_choice import TrackerWish
from app.take_notes import TakeNotes, read_notes
from app.ui.main_window import MainWindow
from app.viewer.palette import RECORDED_COLOR
from app.viewer.scene import Layers
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.types import DepthFrame, HandGeometry, LumbricalError, TrackingResult
from tests.app.fakes import FakeTracker
from tests.app.ui.test_recording import config, recorded_by_fake, tracking
from tests.app.ui.test_window import view_picture
from tests.app.ui.windows import open_window, pump
from tests.takes.make import write_take

Key = Qt.Key


class ShiftedTracker(FakeTracker):
    """Says the same hand, so many mm lower, with other weights."""

    def __init__(self, by_mm: float, version: str) -> None:
        super().__init__()
        self._by_mm, self._version = by_mm, version

    def track(self, frame: DepthFrame) -> TrackingResult:
        result = super().track(frame)
        assert result.geometry is not None
        down = np.array([0, self._by_mm, 0], np.float32)
        surface = replace(result.geometry.surface, vertices=result.geometry.surface.vertices + down)
        geometry = HandGeometry.of(result.geometry.joints + down, surface)
        return replace(result, geometry=geometry, weights_version=self._version)


def pink(window: MainWindow) -> int:
    picture = view_picture(window)
    color = RECORDED_COLOR[::-1] * 255
    bright = picture.max(-1) > 90
    direction = picture / np.maximum(picture.max(-1, keepdims=True), 1)
    return int((bright & (np.abs(direction - color / color.max()).max(-1) < 0.16)).sum())


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    folder = tmp_path / "takes"
    folder.mkdir()
    write_take(folder / "2026-11-20_10-00-00_fist.mcap", 30, info=TakeInfo(name="fist", user="Ann", fps=30))
    write_take(folder / "2026-11-20_11-00-00_wave.mcap", 30, info=TakeInfo(name="wave", notes="slow", fps=30))
    (folder / "broken.mcap").write_bytes(b"no take")
    return folder


def rows(window: MainWindow) -> list[str]:
    model = window.library.list.model()
    return [str(model.index(row, 0).data()) for row in range(model.rowCount())]


def open_library(window: MainWindow, count: int = 3) -> bool:
    QTest.keyClick(window, Key.Key_L)
    return pump(lambda: len(rows(window)) == count and all(one.done for one in window.takes.view.entries))


def select(window: MainWindow, name: str) -> None:
    window.library.list.setCurrentIndex(window.library.list.model().index(rows(window).index(name), 0))


def test_the_library_shows_searches_and_plays(takes: Path) -> None:
    with open_window(config=config(takes), open_source=lambda spec: open_source(spec)) as window:
        assert open_library(window) and window.library.isVisible() and not window.view.isVisible()
        assert pump(lambda: {"fist", "wave", "broken"} == set(rows(window)))
        window.library.search.setText("ann")
        assert rows(window) == ["fist"]
        window.library.search.setText("no such word")
        assert rows(window) == [] and window.library._empty.isVisible()
        window.library.search.clear()
        select(window, "broken")
        window.library.open_selected()
        assert window.library.isVisible(), "nothing of it can be played"
        area = window.library.list.visualRect(window.library.list.model().index(rows(window).index("wave"), 0))
        for click in (QTest.mouseClick, QTest.mouseDClick):
            click(window.library.list.viewport(), Qt.MouseButton.LeftButton, pos=area.topLeft() + QPoint(150, 30))
        assert pump(window.view.isVisible)
        capture = window._session.capture
        assert pump(lambda: capture.opened is not None and capture.opened.spec.endswith("wave.mcap"))
        assert pump(lambda: capture.playback is not None and capture.playback.frame_count == 30)


def test_a_take_is_renamed_annotated_and_deleted_only_when_confirmed(takes: Path) -> None:
    with open_window(config=config(takes)) as window:
        assert open_library(window)
        select(window, "fist")
        details = window.library.details
        details.begin_rename()
        QTest.keyClicks(details.name, "tight fist")
        QTest.keyClick(details.name, Key.Key_Return)
        assert pump(lambda: "tight fist" in rows(window))
        assert (takes / "2026-11-20_10-00-00_tight-fist.mcap").exists()
        assert pump(lambda: (entry := window.library.selected()) is not None and "tight" in entry.path.name)
        details.notes.setFocus()
        details.notes.setText("with the thumb inside")
        QTest.keyClick(details.notes, Key.Key_Return)
        renamed = takes / "2026-11-20_10-00-00_tight-fist.mcap"
        assert pump(lambda: read_notes(renamed) == TakeNotes("tight fist", "with the thumb inside"))
        window.library.list.setFocus()
        QTest.keyClick(window.library.list, Key.Key_Delete)
        assert details.asking
        QTest.keyClick(window, Key.Key_Escape)
        assert pump(lambda: not details.asking) and window.library.isVisible() and renamed.exists()
        QTest.keyClick(window.library.list, Key.Key_Delete)
        next(one for one in details.findChildren(QPushButton) if one.text() == "Delete for good").click()
        assert pump(lambda: not renamed.exists() and "tight fist" not in rows(window))
        assert sorted(path.name for path in takes.iterdir()) == ["2026-11-20_11-00-00_wave.mcap", "broken.mcap"]


def test_the_folder_is_shown_and_an_empty_one_explained(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path / "none")) as window:
        shown: list[QUrl] = []

        def show(url: QUrl) -> bool:
            shown.append(url)
            return True

        window.library._open_url = show
        QTest.keyClick(window, Key.Key_L)
        assert pump(lambda: "no takes yet" in window.library._empty.text())
        window.library.reveal_selected()
        assert shown == [QUrl.fromLocalFile(str(tmp_path / "none"))]
        QTest.keyClick(window, Key.Key_Escape)
        assert pump(window.view.isVisible)


def _stands_at(window: MainWindow, frame: int) -> bool:
    return window.playback._position == frame


def test_from_a_to_b_and_the_loop_by_key(takes: Path) -> None:
    path = takes / "2026-11-20_11-00-00_wave.mcap"
    with open_window(config=config(takes), open_source=lambda _: open_source(str(path))) as window:
        assert tracking(window)
        capture, bar = window._session.capture, window.playback
        QTest.keyClick(window, Key.Key_Space)
        for frame, key in ((10, Key.Key_A), (14, Key.Key_B)):
            capture.seek(frame)
            assert pump(partial(_stands_at, window, frame))
            QTest.keyClick(window, key)
        assert pump(lambda: capture.playback is not None and (capture.playback.start, capture.playback.end) == (10, 14))
        QTest.keyClick(window, Key.Key_Space)
        seen: set[int] = set()

        def watched() -> bool:
            seen.add(capture.playback.position if capture.playback is not None else -1)
            return False

        pump(lambda: capture.playback is not None and not capture.playback.paused)
        pump(watched, 1.0)
        assert seen <= {10, 11, 12, 13, 14} and len(seen) >= 4
        # A mark behind B takes B's away; the same key again removes its own.
        QTest.keyClick(window, Key.Key_B)
        QTest.keyClick(window, Key.Key_A)
        assert pump(
            lambda: capture.playback is not None and (capture.playback.start, capture.playback.end) == (None, None)
        )
        QTest.keyClick(window, Key.Key_P)
        assert pump(lambda: capture.playback is not None and not capture.playback.loop)
        assert pump(lambda: not bar._loop.isChecked())


def test_a_take_tracked_again_is_compared_with_what_was_recorded(tmp_path: Path) -> None:
    made: list[Path | None] = []

    def make(wish: TrackerWish) -> FakeTracker:
        if wish.weights == Path("bad"):
            raise LumbricalError("these weights are of another version")
        made.append(wish.weights)
        return ShiftedTracker(30.0, "mine")

    tracker = ShiftedTracker(0.0, "shipped")
    opened = {"spec": ""}

    def source(spec: str) -> FrameSource:
        opened["spec"] = spec
        return open_source(spec)

    with open_window(tracker=tracker, config=config(tmp_path), open_source=source, make_tracker=make) as window:
        assert tracking(window) and not window.replay.switch.isEnabled()
        assert recorded_by_fake(window)
        (path,) = tmp_path.glob("*.mcap")
        window._open_take(path)
        assert pump(lambda: opened["spec"] == str(path)) and pump(window.replay.switch.isEnabled)
        assert not window.replay.switch.isChecked(), "the same weights: nothing to look at yet"
        window.layers.set_layers(Layers(True, False, False, False))
        assert pump(lambda: pink(window) < 30)
        assert window.replay.picker is not None
        window.replay.picker.use(Path("mine.safetensors"))
        assert pump(window.replay.switch.isChecked)
        assert made == [Path("mine.safetensors")]
        assert pump(lambda: (view := window.view._comparison) is not None and view.compared > 10)
        view = window.view._comparison
        assert view is not None and (view.recorded, view.tracked) == ("shipped", "mine")
        assert view.mean_mm == pytest.approx(30.0, abs=0.1) and view.now_mm == pytest.approx(30.0, abs=0.1)
        assert pump(lambda: pink(window) > 200)
        QTest.keyClick(window, Key.Key_Space)
        assert pump(lambda: window.status.state_text == "paused")
        QTest.keyClick(window, Key.Key_G)
        assert pump(lambda: pink(window) < 30 and window.view._comparison is None)
        window.replay.picker.use(Path("bad"))
        assert pump(lambda: "another version" in window.banner.text)
        assert pump(
            lambda: window.replay.picker is not None and window.replay.picker._box.currentText() == "mine.safetensors"
        )


def test_another_method_is_chosen_beside_the_weights(tmp_path: Path) -> None:
    made: list[TrackerWish] = []

    def make(wish: TrackerWish) -> FakeTracker:
        if wish.method == "profile":
            raise LumbricalError("this take does not say whose hand it shows")
        made.append(wish)
        return ShiftedTracker(10.0, f"shipped, {wish.method}")

    with open_window(tracker=ShiftedTracker(0.0, "shipped"), config=config(tmp_path), make_tracker=make) as window:
        picker = window.replay.picker
        assert tracking(window) and picker is not None
        titles = [picker._methods.itemText(row) for row in range(picker._methods.count())]
        assert titles == ["Encoder and fit", "Encoder alone", "User's shape"]
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.status.frames_written > 5)
        picker._methods.activated.emit(1)
        assert pump(lambda: [wish.method for wish in made] == ["encoder"]) and made[0].weights is None
        assert pump(lambda: picker._methods.currentText() == "Encoder alone")
        assert pump(lambda: window._last is not None and window._last.result.weights_version == "shipped, encoder")
        assert pump(lambda: window.recording._told == (1, None, "onnx"))
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.finished == 1)
        (path,) = tmp_path.glob("*.mcap")
        with Take(path) as take:
            assert take.info.settings is not None and take.info.settings["method"] == "fit"
            assert [event.details["method"] for event in take.events()] == ["encoder"]
            assert set(take.poses().weights_version) == {"shipped", "shipped, encoder"}
        picker._methods.activated.emit(2)
        assert pump(lambda: "does not say whose hand" in window.banner.text)
        assert pump(lambda: picker._methods.currentText() == "Encoder alone")


def test_a_take_says_what_computed_the_encoder(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path), make_tracker=lambda _: ShiftedTracker(0.0, "shipped")) as window:
        assert tracking(window) and window.recording._trackers is not None
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.status.frames_written > 5)
        assert window.recording._trackers.choose_runner("int8")
        assert pump(lambda: window.recording._told == (1, None, "int8"))
        # An adapted version is in use, of which there is no int8.
        adapted = SimpleNamespace(view=AdaptationView(version=1, runner="onnx"))
        window.recording._adaptation = cast(AdaptationWorker, adapted)
        assert pump(lambda: window.recording._told == (1, None, "onnx"))
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.finished == 1)
        (path,) = tmp_path.glob("*.mcap")
        with Take(path) as take:
            assert take.info.settings is not None and take.info.settings["runner"] == "onnx"
            assert [event.details["runner"] for event in take.events()] == ["int8", "onnx"]
