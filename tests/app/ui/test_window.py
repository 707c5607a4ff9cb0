"""The main window: it comes up, says what goes on, obeys keys and switches, and can be photographed."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from app.runtime.interfaces import FrameSource
from app.runtime.sources import SourceChoice
from app.ui.application import dispose, get_application, save_picture
from app.ui.controls import LayerSwitches
from app.ui.interval_legend import interval_legend_area
from app.ui.main_window import MainWindow
from app.ui.settings import Choices, Memory
from app.viewer.palette import interval_colors
from app.viewer.scene import Layers
from engine.metrics import interval_radius
from engine.sensors.protocol import SensorDisconnected, SensorUnavailable
from engine.types import LumbricalError, Side, TrackingState
from tests.app.fakes import FakeSensor, FakeTracker
from tests.app.ui.windows import faults, open_window, pump
from tests.takes.make import write_take

REPOSITORY = Path(__file__).resolve().parents[3]


def pixels(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    data = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return data[:, : image.width(), :3].astype(int)


def view_picture(window: MainWindow) -> np.ndarray:
    return pixels(window.view.grab().toImage())


def _brightest(widget: QWidget) -> int:
    return int(pixels(widget.grab().toImage()).max())


def test_the_window_tracks_and_shows_it(tmp_path: Path) -> None:
    with open_window() as window:
        assert pump(lambda: window.view.has_picture and window.status.state_text == "tracking")
        assert "demo take" in window.banner.text and "USB 3" in window.banner.text
        pump(lambda: False, 0.5)
        shown = view_picture(window)
        # A hand with coloured fingers on a dark ground: many colours, mostly dark, some of it bright.
        assert len(np.unique(shown.reshape(-1, 3) // 8, axis=0)) > 100
        assert np.median(shown) < 60 and shown.max() > 150
        window.layers.set_layers(Layers(False, False, False, False))
        assert pump(lambda: view_picture(window).max() < 110)
        target = tmp_path / "shot.png"
        save_picture(window, target)
        assert QImage(str(target)).size() == window.size() * window.devicePixelRatioF()
        assert [path.name for path in tmp_path.iterdir()] == ["shot.png"]


def test_keys_mouse_and_switches() -> None:
    tracker = FakeTracker()
    with open_window(tracker=tracker) as window:
        assert pump(lambda: window.playback.isVisible())
        before = window.layers.layers
        for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_5):
            QTest.keyClick(window, key)
        after = window.layers.layers
        assert after == Layers(**{name: not on for name, on in asdict(before).items()})
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert pump(lambda: window.status.state_text == "paused")
        QTest.keyClick(window, Qt.Key.Key_Home)
        capture = window._session.capture
        assert pump(lambda: capture.playback is not None and capture.playback.position == 0)
        QTest.keyClick(window, Qt.Key.Key_Right)
        assert pump(lambda: capture.playback is not None and capture.playback.position == 1)
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert pump(lambda: window.status.state_text == "tracking")
        QTest.keyClick(window, Qt.Key.Key_Question)
        assert window.help.isVisible()
        QTest.keyClick(window, Qt.Key.Key_Escape)
        assert not window.help.isVisible()
        window.controls.set_side(Side.LEFT)
        window.controls.set_smoothing(0.8)
        assert pump(lambda: tracker.side is Side.LEFT and tracker.smoothing == 0.8)


def test_the_uncertainty_layer_draws_rings_and_their_legend() -> None:
    with open_window(tracker=FakeTracker(sigma_mm=12.0)) as window:
        assert pump(lambda: window.view.has_picture and window.status.state_text == "tracking")
        window.layers.set_layers(Layers(False, False, False, False))
        assert pump(lambda: view_picture(window).max() < 110)
        area = interval_legend_area(window.view.rect())

        def legend() -> np.ndarray:
            return view_picture(window)[area.top() : area.bottom(), area.left() : area.right()]

        assert legend().max() < 110
        window.layers.toggle("uncertainty")
        orange = interval_colors(np.array([interval_radius(0.9) * 12.0]))[0, ::-1] * 255
        above = slice(0, area.top() - 10)
        assert pump(lambda: (np.abs(view_picture(window)[above] - orange).max(-1) < 40).sum() > 500)
        assert legend().max() > 180 and len(np.unique(legend().reshape(-1, 3) // 16, axis=0)) > 20


def test_t_shows_where_the_time_goes() -> None:
    with open_window(tracker=FakeTracker()) as window:
        assert pump(lambda: window.status.state_text == "tracking")
        assert not window.timing.isVisible()
        QTest.keyClick(window, Qt.Key.Key_T)
        assert window.timing.isVisible()
        assert pump(lambda: any(name == "in all" and times.p95 > 0 for name, times in window.timing._rows))
        assert window.view.rect().contains(window.timing.geometry()) and window.timing._encoded_by == "ONNX Runtime"
        QTest.keyClick(window, Qt.Key.Key_T)
        assert not window.timing.isVisible()


def test_the_mouse_moves_the_camera_and_v_brings_it_back() -> None:
    with open_window() as window:
        camera = window.view.camera
        yaw, distance = camera.yaw, camera.distance_mm
        QTest.mousePress(window.view, Qt.MouseButton.LeftButton, pos=QPoint(300, 300))
        QTest.mouseMove(window.view, QPoint(360, 300))
        QTest.mouseRelease(window.view, Qt.MouseButton.LeftButton, pos=QPoint(360, 300))
        assert camera.yaw < yaw
        turn = QWheelEvent(
            QPointF(300, 300), QPointF(300, 300), QPoint(), QPoint(0, 240),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        get_application().sendEvent(window.view, turn)
        assert camera.distance_mm < distance
        QTest.keyClick(window, Qt.Key.Key_V)
        assert (camera.yaw, camera.distance_mm, camera.following) == (yaw, distance, True)


@pytest.mark.parametrize(("state", "word"), [(TrackingState.SEARCHING, "searching"), (TrackingState.LOST, "lost")])
def test_states_in_words(state: TrackingState, word: str) -> None:
    with open_window(tracker=FakeTracker(state)) as window:
        assert pump(lambda: window.status.state_text == word)


def test_the_two_numbers_of_latency_are_explained_where_they_are() -> None:
    with open_window() as window:
        for label in (window.status._captions["latency"], window.status._values["latency"]):
            first, second = label.toolTip().splitlines()[1].split(". ")
            assert first == "First number: half of the last frames took no longer (median)"
            assert second == "Second: 95 of 100 took no longer."


def test_trouble_is_said_in_the_window_and_goes_away() -> None:
    sensor = FakeSensor()
    sensor.fail_open = SensorUnavailable("the camera is busy: close the program that uses it")
    with open_window(open_source=lambda _: sensor) as window:
        assert pump(lambda: "busy" in window.banner.text)
        assert window.status.state_text == "no picture"
        sensor.fail_open = None
        assert pump(lambda: "busy" not in window.banner.text)
        assert pump(lambda: window.status.state_text == "tracking")


def test_an_old_picture_is_dark_until_a_new_one_comes() -> None:
    sensor = FakeSensor()
    with open_window(open_source=lambda _: sensor) as window:
        assert pump(lambda: window.view.shown is not None and window.view.shown.with_hand)
        live = [_brightest(widget) for widget in (window.view, window.depth_panel)]
        sensor.fail_read = sensor.fail_open = SensorDisconnected("the camera was unplugged: plug it in again")
        assert pump(lambda: window.view.stale and window.depth_panel.stale)
        assert window.status.state_text == "no picture" and "unplugged" in window.banner.text
        old = [_brightest(widget) for widget in (window.view, window.depth_panel)]
        assert all(after < 0.7 * before for before, after in zip(live, old, strict=True)), (live, old)
        sensor.fail_read = sensor.fail_open = None
        assert pump(lambda: not window.view.stale and not window.depth_panel.stale)
        assert pump(lambda: _brightest(window.view) > 0.8 * live[0])


def test_a_recording_that_is_held_stays_bright_and_goes_on_so() -> None:
    with open_window() as window:
        dark: list[bool] = []
        assert pump(lambda: window.view.shows_result and window.status.state_text == "tracking")
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert pump(lambda: window.status.state_text == "paused")
        assert not pump(lambda: window.view.stale or window.depth_panel.stale, 2.0)
        window.status.show_state = lambda *words: dark.append(window.view.stale)  # type: ignore[method-assign]
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert pump(lambda: len(dark) >= 5) and not any(dark)


def test_a_camera_that_is_plugged_in_takes_over_from_the_demo_only() -> None:
    asked: list[str] = []

    def open_source(spec: str) -> FrameSource:
        asked.append(spec)
        return FakeSensor()

    with open_window(open_source=open_source) as window:
        window.sources.note_cameras([SourceChoice("realsense:1", "RealSense D435", is_camera=True)])
        assert pump(lambda: asked[-1] == "realsense:1" and window.banner.text == "")
        window.sources.choose("chosen")
        window.sources.note_cameras([SourceChoice("realsense:2", "RealSense D455", is_camera=True)])
        assert not pump(lambda: "realsense:2" in asked, 0.5)


def test_choices_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    with open_window(memory=Memory(file)) as window:
        window.layers.set_layers(Layers(False, gaussians=True, mesh=True, cloud=False, uncertainty=True))
        window.controls.set_smoothing(0.2)
        window.controls.set_side(Side.LEFT)
    with open_window(memory=Memory(file)) as window:
        assert window.layers.layers == Layers(False, gaussians=True, mesh=True, cloud=False, uncertainty=True)
        assert window.controls.smoothing == 0.2
        assert window.controls.side is Side.LEFT


def test_damaged_memory_reads_as_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("smoothing=many\nside=both\n[layers]\nmesh=perhaps\n")
    assert Memory(file).load(Choices()) == Choices()


def test_layer_switches_report_what_is_on() -> None:
    get_application()
    switches = LayerSwitches()
    seen: list[Layers] = []
    switches.changed.connect(seen.append)
    switches.set_layers(Layers(True, True, False, False))
    dispose(switches)
    assert seen[-1] == Layers(True, True, False, False)


def test_a_screenshot_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    get_application()
    widget = LayerSwitches()
    with pytest.raises(LumbricalError, match="screenshot"):
        save_picture(widget, tmp_path / "missing" / "shot.png")
    with pytest.raises(LumbricalError, match=r"\.png"):
        save_picture(widget, tmp_path / "shot.docx")
    dispose(widget)
    assert not list(tmp_path.iterdir())


def test_the_layout_check_sees_what_is_wrong() -> None:
    with open_window() as window:
        pump(lambda: window.banner.isVisible())
        pump(lambda: False, 0.3)
        assert faults(window) == []
        window.layers.move(window.controls.pos())
        over = " ".join(faults(window))
        window.banner._text.setFixedWidth(120)
        window.banner.setFixedHeight(40)
        pump(lambda: False, 0.2)
        cut = " ".join(faults(window))
    assert "lies over" in over and "'Skeleton'" in over
    assert "cut off" in cut and "'No depth camera" in cut


@pytest.mark.parametrize(("scale", "size"), [("1", (1280, 800)), ("1", (860, 700)), ("2", (1280, 800))])
def test_nothing_overlaps_or_is_cut_off(scale: str, size: tuple[int, int]) -> None:
    environment = {**os.environ, "QT_SCALE_FACTOR": scale}
    command = [sys.executable, "-m", "tests.app.ui.windows", *map(str, size)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=90)
    report = json.loads(done.stdout)
    assert report["shown"] and report["banner"] and report["ratio"] == float(scale)
    assert report["size"] == list(size)
    assert report["faults"] == []


@pytest.mark.parametrize("what", ["recording", "library"])
@pytest.mark.parametrize("size", [(1280, 800), (860, 480)])
def test_nothing_overlaps_while_recording_or_with_the_takes_shown(
    tmp_path: Path, what: str, size: tuple[int, int]
) -> None:
    write_take(tmp_path / "a-take-with-a-rather-long-name-of-its-own.mcap", 5)
    environment = {**os.environ, "TAKES": str(tmp_path)}
    command = [sys.executable, "-m", "tests.app.ui.windows", *map(str, size), what]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=90)
    report = json.loads(done.stdout)
    assert report["shown"] and report["size"] == list(size)
    assert report["faults"] == []


def test_a_forgetful_memory_holds_for_a_while_and_writes_nothing() -> None:
    memory = Memory.forgetful()
    memory.save(Choices(smoothing=0.25))
    assert memory.load(Choices()).smoothing == 0.25
    assert Memory.forgetful().load(Choices()) == Choices()
    del memory
    gc.collect()
    assert Path(os.devnull).is_char_device()
