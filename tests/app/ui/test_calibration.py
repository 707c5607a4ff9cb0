"""The wizard and the picker of profiles in the window, with a solver that answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.runtime import calibration_worker
from app.runtime.calibration_solver import Finished, Looked, PosePicture, Refused, Reply, SolverSettings
from app.runtime.calibration_worker import Phase
from app.runtime.profile_choice import ProfileKey
from app.ui import calibration_part
from app.ui.main_window import MainWindow
from app.ui.settings import Choices, Memory
from calibration.collecting import Collection
from calibration.estimate import ShapeEstimate
from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE, posed_hand, shown_frame
from calibration.profiles import ProfileStore
from calibration.progress import Progress
from calibration.session import VIEWS, CalibrationSession, Outcome
from calibration.solver import ShapeSolver
from engine.runners.protocol import Runner
from engine.types import DepthFrame, Side, TrackingResult
from tests.app.fakes import FakeTracker
from tests.app.runtime.test_profile_choice import profile
from tests.app.ui.windows import faults, open_window, pump

PICTURE = np.full((40, 40, 4), 200, np.uint8)


class InstantSolver:
    """As SolverProcess, without a process. refuses: instead of an outcome."""

    refuses = ""
    alive = 0

    def __init__(self, settings: SolverSettings) -> None:
        self.busy, self.failure = False, ""
        self._replies: list[Reply] = [PosePicture(0, PICTURE), self._looked(())]
        type(self).alive += 1

    def _looked(self, frames: tuple[CalibrationFrame, ...]) -> Looked:
        order = tuple(range(len(CATALOGUE)))
        sd, seen, values = np.full(20, 3.0), np.ones((20, len(VIEWS))), np.ones(9)
        progress = Progress(len(frames), Build.mean(), np.full(20, 40.0), sd, seen, values, order)
        return Looked(progress, (PICTURE, PICTURE))

    def look(self, frames: tuple[CalibrationFrame, ...]) -> bool:
        self._replies.append(self._looked(frames))
        return True

    def finish(self, session: CalibrationSession) -> bool:
        build = replace(Build.mean(), beta=np.full(20, 0.5))
        estimate = ShapeEstimate(build, np.full(20, 40.0), np.full(20, 1.8), np.eye(26), len(session))
        outcome = Outcome(estimate, 4.0, 3.0, 7, np.ones((20, 6)), np.ones(9), np.ones(9), 50, 40)
        pictures = PICTURE, PICTURE
        self._replies.append(Refused(self.refuses) if self.refuses else Finished(outcome, pictures, pictures))
        return True

    def poll(self) -> Reply | None:
        return self._replies.pop(0) if self._replies else None

    def stop(self) -> None:
        type(self).alive -= 1


@pytest.fixture(scope="module")
def frame() -> CalibrationFrame:
    return shown_frame(posed_hand(CATALOGUE[0], Build.mean()), ShapeSolver(), Build.mean())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, frame: CalibrationFrame) -> None:
    """No solver's process, no encoder: every frame shows an open hand a little differently."""
    random = np.random.default_rng(0)

    def read(collection: Collection, result: TrackingResult, runner: Runner) -> CalibrationFrame:
        turned = frame.start.articulation + 0.1 * random.normal(size=20)
        return replace(frame, start=replace(frame.start, articulation=turned))

    monkeypatch.setattr(Collection, "read", read)
    monkeypatch.setattr(InstantSolver, "refuses", "")
    monkeypatch.setattr(calibration_worker, "SolverProcess", InstantSolver)
    monkeypatch.setattr(calibration_part, "runner_of", lambda weights: object())


class Following(FakeTracker):
    """Its hand lies near to what is measured."""

    def track(self, frame: DepthFrame) -> TrackingResult:
        return replace(super().track(frame), residual_mm=2.0)


@contextmanager
def wizard(folder: Path, tracker: FakeTracker | None = None) -> Iterator[MainWindow]:
    """The window, its wizard begun for Ann's right hand on a recording."""
    with open_window(tracker=tracker or Following(), profiles=folder) as window:
        assert pump(lambda: window.playback.isVisible())
        QTest.keyClick(window, Qt.Key.Key_C)
        page = window.calibration.page
        assert page.isVisible()
        page.name.setText("Ann")
        page.begin()
        yield window


def phase(window: MainWindow) -> Phase | None:
    view = window.calibration.view
    return view.phase if view is not None else None


def test_a_hand_is_learnt_used_and_taken_back(tmp_path: Path) -> None:
    store, tracker = ProfileStore(tmp_path), Following()
    with wizard(tmp_path, tracker) as window:
        page = window.calibration.page
        assert pump(lambda: phase(window) is Phase.GUIDING)
        assert not faults(window)
        assert pump(lambda: phase(window) is Phase.COMPARING)
        pump(lambda: False, 0.3)
        assert not faults(window)
        assert not store.sides("Ann"), "nothing is saved before it is accepted"
        page.accept_wanted.emit()
        assert pump(lambda: phase(window) is Phase.SAVED and tracker.held is not None)
        assert store.load("Ann", Side.RIGHT).frames > 0
        assert "Ann · right hand" in window.calibration.panel.texts
        assert window.controls.side is Side.RIGHT
        page.take_back_wanted.emit()
        assert pump(lambda: phase(window) is Phase.TAKEN_BACK and tracker.held is None)
        assert not store.sides("Ann") and window.calibration.panel.texts == ["No profile"]
        page.accept_wanted.emit()
        assert pump(lambda: phase(window) is Phase.SAVED)
        page.closed.emit()
        assert pump(lambda: window.view.isVisible())
    assert store.sides("Ann") == [Side.RIGHT] and InstantSolver.alive == 0


def test_an_older_profile_comes_back(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    before = store.save(profile()).read_bytes()
    with wizard(tmp_path) as window:
        page = window.calibration.page
        assert pump(lambda: phase(window) is Phase.COMPARING)
        page.accept_wanted.emit()
        assert pump(lambda: phase(window) is Phase.SAVED)
        assert store.path("Ann", Side.RIGHT).read_bytes() != before
        page.take_back_wanted.emit()
        assert pump(lambda: phase(window) is Phase.TAKEN_BACK)
    assert store.path("Ann", Side.RIGHT).read_bytes() == before


@pytest.mark.parametrize("step", [None, Phase.GUIDING, Phase.COMPARING])
def test_leaving_it_leaves_nothing_behind(tmp_path: Path, step: Phase | None) -> None:
    with wizard(tmp_path) as window:
        assert step is None or pump(lambda: phase(window) is step)
        QTest.keyClick(window, Qt.Key.Key_Escape)
        assert pump(lambda: window.view.isVisible()) and window.calibration.view is None
        capture = window._session.capture
        assert pump(lambda: capture.playback is not None and capture.playback.loop and not capture.playback.paused)
    assert not list(tmp_path.rglob("*")) and InstantSolver.alive == 0


def test_what_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstantSolver, "refuses", "only 2 frames show a hand well enough")
    with wizard(tmp_path) as window:
        page = window.calibration.page
        assert pump(lambda: phase(window) is Phase.FAILED)
        assert pump(lambda: "only 2 frames" in page._verdict.text())
        window.calibration.close()
        window.calibration.toggle()
        for name, words in (("", "whose hand"), ("../x", "cannot be a profile's name")):
            page.name.setText(name)
            page.begin()
            assert words in page._words.text() and window.calibration.view is None


def test_another_source_ends_it(tmp_path: Path) -> None:
    with wizard(tmp_path) as window:
        assert pump(lambda: phase(window) is Phase.GUIDING)
        window.sources.choose("another")
        assert pump(lambda: window.view.isVisible()) and window.calibration.view is None


def test_a_profile_is_picked_and_remembered(tmp_path: Path) -> None:
    ProfileStore(tmp_path).save(profile(side=Side.LEFT))
    memory, tracker = Memory.forgetful(), FakeTracker()
    with open_window(memory, tracker, profiles=tmp_path) as window:
        panel = window.calibration.panel
        assert panel.texts == ["No profile", "Ann · left hand"]
        panel.chosen.emit(panel._keys[1])
        assert pump(lambda: tracker.held is not None) and window.controls.side is Side.LEFT
    tracker = FakeTracker()
    with open_window(memory, tracker, profiles=tmp_path) as window:
        assert pump(lambda: tracker.held is not None) and tracker.side is Side.LEFT
        window.controls.set_side(Side.RIGHT)
        assert pump(lambda: tracker.held is None)
        assert pump(lambda: "of the left hand" in window.banner.text)
        assert window.calibration.used is None
    memory.save(replace(Choices(), side=Side.RIGHT))
    with open_window(memory, tracker, profiles=tmp_path) as window:
        # As `run --profile` asks: what is remembered of the side gives way.
        window.calibration.choose(ProfileKey("Ann", Side.LEFT))
        window._recall(memory.load(Choices()))
        assert window.calibration.used == ProfileKey("Ann", Side.LEFT) and window.controls.side is Side.LEFT
    ProfileStore(tmp_path).delete("Ann", Side.LEFT)
    tracker = FakeTracker()
    with open_window(memory, tracker, profiles=tmp_path) as window:
        assert window.calibration.used is None and window.controls.side is None
