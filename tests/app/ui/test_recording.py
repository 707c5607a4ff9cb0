"""Recording in the window: begun by key, told while it lasts, closed in order; what is lost is said."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from app.config import AppConfig, RecordingConfig
from app.runtime.record_control import RecordPhase
from app.take_notes import TakeNotes, read_notes
from app.take_words import alarm, particulars
from app.ui.main_window import MainWindow
from app.ui.settings import Memory, RecordChoices
from app.ui.state_words import CLOSING_NOTE
from engine.takes.facts import Receipt
from engine.takes.reader import Take
from engine.takes.writer import TakeWriter
from tests.app.ui.windows import open_window, pump

Key = Qt.Key


def config(folder: Path) -> AppConfig:
    return AppConfig(takes_folder=str(folder), recording=RecordingConfig(countdown_s=1.0))


def tracking(window: MainWindow) -> bool:
    return pump(lambda: window.view.has_picture and window.status.state_text == "tracking")


def phase(window: MainWindow) -> RecordPhase:
    return window.recording.view.phase


def recorded_by_fake(window: MainWindow) -> bool:
    QTest.keyClick(window, Key.Key_R)
    written = pump(lambda: window.recording.view.status.frames_written > 30)
    QTest.keyClick(window, Key.Key_R)
    return written and pump(lambda: window.recording.view.finished == 1)


def test_a_take_is_recorded_by_key_and_told_while_it_lasts(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        window.recording.panel.name.setText("wave")
        window.recording.panel.preroll.setChecked(False)
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.status.frames_written > 15)
        assert pump(lambda: "MB" in window.recording.status.text or "kB" in window.recording.status.text)
        assert "0:0" in window.recording.status.text and "0 lost" in window.recording.status.text
        assert phase(window) is RecordPhase.RECORDING
        window.recording.panel.notes.setPlainText("typed while recording")
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.finished == 1)
        assert pump(lambda: "saved" in window.recording.status.text)
        assert pump(lambda: window.recording.panel.name.text() == "" == window.recording.panel.notes_text)
        (path,) = tmp_path.glob("*.mcap")
        assert path.name.endswith("_wave.mcap") and read_notes(path) == TakeNotes("wave", "typed while recording")
        with Take(path) as take:
            assert take.complete and take.frame_count > 15 and len(take.poses()) > 5


def test_letters_typed_into_a_field_are_not_keys_of_the_window(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        assert window.focusWidget() is not window.recording.panel.name
        name = window.recording.panel.name
        QTest.mouseClick(name, Qt.MouseButton.LeftButton)
        QTest.keyClicks(window.focusWidget(), "frl1")
        pump(lambda: False, 0.3)
        assert name.text() == "frl1" and phase(window) is RecordPhase.READY and not window.library.isVisible()
        QTest.keyClick(window.focusWidget(), Key.Key_Return)
        QTest.keyClick(window.focusWidget() or window, Key.Key_R)
        assert pump(lambda: phase(window) is RecordPhase.RECORDING)


def test_the_count_down_is_shown_and_ended(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        window.recording.panel.countdown.setChecked(True)
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording._overlay.isVisible())
        assert "in 1 s" in window.recording.status.text
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: not window.recording._overlay.isVisible()) and not list(tmp_path.glob("*.mcap"))
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: phase(window) is RecordPhase.RECORDING)


def test_closing_the_window_closes_the_take_first(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.status.frames_written > 5)
        window.close()
        assert window.isVisible()
        assert pump(lambda: window.banner.text == CLOSING_NOTE or not window.isVisible())
        assert pump(lambda: not window.isVisible())
        (path,) = tmp_path.glob("*.mcap")
        with Take(path) as take:
            assert take.complete and take.receipt().reason == "stopped"


def test_closing_the_window_twice_leaves_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    close = TakeWriter.close

    def slow(self: TakeWriter, reason: str = "stopped") -> Receipt:
        time.sleep(6.0)
        return close(self, reason)

    monkeypatch.setattr(TakeWriter, "close", slow)
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: window.recording.view.status.frames_written > 5)
        window.close()
        assert pump(lambda: window.banner.text == CLOSING_NOTE) and window.isVisible()
        began_s = time.monotonic()
        window.close()
        assert not window.isVisible() and time.monotonic() - began_s < 4
        (path,) = tmp_path.glob("*.mcap")
        with Take(path) as take:
            assert take.frame_count > 5


def test_a_folder_that_cannot_be_used_is_said_and_the_window_lives(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with open_window(config=config(tmp_path / "file" / "takes")) as window:
        assert tracking(window)
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: "cannot be made" in window.banner.text)
        hide = next(one for one in window.banner.findChildren(QPushButton) if one.text() == "Hide")
        hide.click()
        pump(lambda: False, 0.3)
        assert "cannot be made" not in window.banner.text
        # It is said again when it happens again.
        window.recording.refresh()
        QTest.keyClick(window, Key.Key_R)
        window.recording.use_folder(tmp_path / "takes")
        QTest.keyClick(window, Key.Key_R)
        assert pump(lambda: phase(window) is RecordPhase.RECORDING)


def test_lost_frames_are_counted_by_reason_and_said(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        view = window.recording.view
        status = replace(view.status, dropped={"the disk or the processor was too slow": 7}, frames_received=100)
        losing = replace(view, phase=RecordPhase.RECORDING, status=replace(status, camera_gaps=2))
        window.recording.status.show_view(losing)
        assert "9 lost" in window.recording.status.text
        tip = window.recording.status._lost.toolTip()
        assert "7 the disk or the processor was too slow" in tip and "2 never came from the camera" in tip
        assert "does not keep up" in alarm(losing)
        assert "slow" in alarm(replace(losing, status=replace(status, dropped={}, backlog_s=2.0)))
        assert "nearly full" in alarm(replace(losing, status=replace(status, dropped={}, disk_left_s=60.0)))
        assert alarm(replace(losing, status=replace(status, dropped={}))) == ""


def test_how_the_user_records_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    chosen = RecordChoices(str(tmp_path / "mine"), "Ann", countdown=True, preroll=False, hand_only=True)
    with open_window(memory=Memory(file)) as window:
        window.recording.panel.set_choices(chosen)
        window.recording.use_folder(tmp_path / "mine")
    assert Memory(file).load_recording() == chosen
    with open_window(memory=Memory(file)) as window:
        assert window.recording.folder == tmp_path / "mine" and window.recording.panel.choices.user == "Ann"
    other = tmp_path / "other.ini"
    other.write_text("[recording]\nfolder=takes\ncountdown=perhaps\n")
    assert Memory(other).load_recording() == RecordChoices(folder="takes")


def test_a_remembered_folder_inside_the_program_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    Memory(file).save_recording(RecordChoices(folder=str(Path(__file__).parent)))
    with open_window(memory=Memory(file)) as window:
        assert not window.recording.folder.is_relative_to(Path(__file__).resolve().parents[3])
        assert "program's own folder" in window.recording.alarm()


def test_a_take_of_the_hand_only_says_what_that_saves(tmp_path: Path) -> None:
    with open_window(config=config(tmp_path)) as window:
        assert tracking(window)
        window.recording.panel.hand_only.setChecked(True)
        assert recorded_by_fake(window)
        assert pump(lambda: "instead of about" in window.recording.status.text)
        QTest.keyClick(window, Key.Key_L)
        assert pump(lambda: bool(window.takes.view.entries) and all(one.done for one in window.takes.view.entries))
        (entry,) = window.takes.view.entries
        assert "whole images would take about" in particulars(entry)
