"""Runners are compared with torch once, and another one's plan is built while the present one tracks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.runtime import runner_check
from app.runtime.interfaces import FrameTracker
from app.runtime.runner_check import check_runner
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners import choose
from engine.runners.choose import RUNNERS, RunnerKind
from engine.runners.protocol import Estimate, Progress, Runner
from engine.runners.tensorrt_plan import TensorRtUnavailable
from engine.runners.torch_runner import TorchRunner
from engine.runners.verify import RunnerDiffers
from engine.types import FloatArray, LumbricalError
from tests.app.fakes import FakeSensor, FakeTracker, wait_until


class Askew:
    """torch's runner with every point so far to the side, mm."""

    name, version = "askew", "x-1"

    def __init__(self, loaded: LoadedEncoder, off_mm: float) -> None:
        self._runner, self._off_mm = TorchRunner(loaded), np.float32(off_mm)

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        said = self._runner.run(crops, distances)
        return replace(said, points=said.points + np.array([self._off_mm, 0, 0], np.float32))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Which runners were made, in order: "slight" is off by little, "wrong" by much, "slow" is built for a while."""
    names: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    crops = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128)).astype(np.float32)
    monkeypatch.setattr(runner_check, "crops_of", lambda *_: (crops, np.full(2, 500, np.float32)))

    def kind(name: str, off_mm: float, steps: int) -> RunnerKind:
        def make(loaded: LoadedEncoder, progress: Progress) -> Runner:
            names.append(name)
            for step in range(steps):
                progress((step + 1) / steps)
                time.sleep(0.05)
            return Askew(loaded, off_mm)

        return RunnerKind(name.title(), "fp16", make)

    for name, off_mm, steps in (("slight", 0.1, 0), ("wrong", 9.0, 0), ("slow", 0.0, 12)):
        monkeypatch.setitem(RUNNERS, name, kind(name, off_mm, steps))
    return names


def test_a_runner_is_compared_once_for_each_of_the_weights(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = check_runner(None, "slight")
    assert words == check_runner(None, "slight") == "Slight is off torch by max 0.1 mm, mean 0.1 mm on 2 crops"
    assert made == ["slight"]
    (kept,) = (tmp_path / "lumbrical").glob("checked-*.json")
    for broken in (b"", b"[]", b'{"crops": 1}', b'{"crops": 2, "max_mm": NaN, "mean_mm": 0}', b" " * 5000):
        kept.write_bytes(broken)
        assert check_runner(None, "slight") == words
    assert len(made) == 6
    # Whatever is kept is held to the bounds.
    kept.write_bytes(b'{"crops": 2, "max_mm": 7.0, "mean_mm": 0.1}')
    with pytest.raises(RunnerDiffers, match="Slight differs from torch by max 7 mm"):
        check_runner(None, "slight")
    monkeypatch.setattr("engine.runners.export.code_digest", lambda: "another")
    assert check_runner(None, "slight") == words


def test_one_that_is_off_is_refused_each_time_and_torch_is_not_asked(made: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RunnerDiffers, match=r"Wrong differs from torch by max 9 mm.* it is not used"):
            check_runner(None, "wrong")
    assert made == ["wrong", "wrong"] and not list(tmp_path.rglob("checked-*"))
    assert check_runner(None, "torch") == ""
    with pytest.raises(LumbricalError, match="cannot be read"):
        check_runner(tmp_path / "none", "slight")


@pytest.fixture
def session() -> Iterator[tuple[LiveSession, FakeTracker]]:
    tracker = FakeTracker()
    session = LiveSession(lambda _: FakeSensor(), "fake", lambda: tracker)
    session.start()
    assert wait_until(lambda: len(tracker.tracked) > 3)
    yield session, tracker
    assert session.stop()


def check(wish: TrackerWish, progress: Progress) -> str:
    return check_runner(wish.weights, wish.runner, progress)


def test_a_plan_is_built_while_another_runner_tracks(made: list[str], session: tuple[LiveSession, FakeTracker]) -> None:
    live, old = session
    new = FakeTracker()
    used: list[TrackerWish] = []

    def make(wish: TrackerWish) -> FrameTracker:
        used.append(wish)
        return new

    choice = TrackerChoice(live, make, None, check)
    assert choice.words == "" and choice.choose(TrackerWish(runner="slow"))
    told: set[str] = set()
    built: set[str] = set()
    before = len(old.tracked)
    while choice.busy:
        told.add(choice.words)
        built.add(choice.building)
        time.sleep(0.005)
    assert len(old.tracked) > before + 20, "nothing was tracked meanwhile"
    assert {"Slow: getting ready …", "Slow: getting ready, 50 % …"} <= told
    assert "Slow: getting ready, 50 % …" in built and "Slow: getting ready …" not in built and choice.building == ""
    assert wait_until(lambda: len(new.tracked) > 3) and used[0].runner == "slow" and choice.changes == 1
    assert choice.words.startswith("Slow is off torch by max 0 mm") and not choice.trouble


def test_a_runner_that_is_off_is_not_taken(made: list[str], session: tuple[LiveSession, FakeTracker]) -> None:
    live, old = session
    choice = TrackerChoice(live, lambda _: FakeTracker(), None, check)
    assert choice.choose(TrackerWish(runner="wrong"))
    assert wait_until(lambda: not choice.busy, 20)
    assert "Wrong differs from torch" in choice.trouble and choice.wish.runner == "onnx" and choice.changes == 0
    assert choice.trouble.endswith(" (ONNX Runtime tracks instead)")
    before = len(old.tracked)
    assert wait_until(lambda: len(old.tracked) > before + 3)


@pytest.mark.parametrize(("runner", "off"), [("slight", False), ("wrong", True)])
def test_the_one_that_tracks_from_the_start_is_checked_once_it_does(
    runner: str, off: bool, made: list[str], session: tuple[LiveSession, FakeTracker]
) -> None:
    live, _ = session
    instead: list[str] = []

    def make(wish: TrackerWish) -> FrameTracker:
        instead.append(wish.runner)
        return FakeTracker()

    choice = TrackerChoice(live, make, TrackerWish(runner=runner), check)
    for _ in range(3):
        choice.check_present()
        assert wait_until(lambda: not choice.busy, 20)
    assert made == [runner]
    assert (instead, choice.wish.runner) == ((["torch"], "torch") if off else ([], runner))
    assert ("differs from torch" in choice.trouble) is off is choice.trouble.endswith(" (torch tracks instead)")
    assert ("is off torch by" in choice.words) is not off


@pytest.mark.parametrize(
    ("best", "used", "trouble"),
    [
        ("slow", "slow", ""),
        ("wrong", "slight", " (Slight tracks instead)"),
        ("onnx", "slight", ""),
        ("slight", "slight", ""),
    ],
)
def test_what_is_best_here_goes_on_once_the_first_one_tracks(
    best: str, used: str, trouble: str, made: list[str], session: tuple[LiveSession, FakeTracker]
) -> None:
    live, _ = session
    asked: list[str] = []

    def ask(weights: Path | None) -> str:
        asked.append(threading.current_thread().name)
        return best

    choice = TrackerChoice(live, lambda _: FakeTracker(), TrackerWish(runner="slight"), check, ask)
    for _ in range(3):
        choice.check_present()
        assert wait_until(lambda: not choice.busy, 20)
    assert asked == ["lumbrical-tracker"], "the driver is asked once, and not on the window's thread"
    assert (choice.used.runner, choice.wish.runner) == (used, used) and choice.changes == (used != "slight")
    assert choice.trouble.endswith(trouble) and bool(choice.trouble) is bool(trouble)


def test_what_somebody_chose_stays(made: list[str], session: tuple[LiveSession, FakeTracker]) -> None:
    choice = TrackerChoice(session[0], lambda _: FakeTracker(), TrackerWish(runner="wrong"), check, lambda *_: "slow")
    assert choice.choose(TrackerWish(runner="slight"))
    assert wait_until(lambda: not choice.busy, 20)
    choice.check_present()
    assert not choice.busy and choice.used.runner == "slight"


def test_nothing_is_checked_before_there_is_a_tracker(made: list[str]) -> None:
    go_on = threading.Event()

    def late() -> FrameTracker:
        go_on.wait(5)
        return FakeTracker()

    live = LiveSession(lambda _: FakeSensor(), "fake", late)
    live.start()
    try:
        choice = TrackerChoice(live, lambda _: FakeTracker(), TrackerWish(runner="slight"), check)
        choice.check_present()
        assert not choice.busy and not made
        go_on.set()
        assert wait_until(lambda: live.tracking.faces is not None)
        choice.check_present()
        assert wait_until(lambda: made == ["slight"] and not choice.busy, 20)
    finally:
        go_on.set()
        assert live.stop()


def test_the_shipped_runner_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert check_runner(None, choose.FIRST_RUNNER).startswith("ONNX Runtime is off torch by max")
    (kept,) = (tmp_path / "lumbrical").glob("checked-*.json")
    assert b'"crops": 12' in kept.read_bytes()


def test_what_is_missing_is_said_in_the_order_in_which_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def not_installed() -> None:
        raise TensorRtUnavailable("TensorRT is not installed")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("engine.runners.tensorrt_plan.load_tensorrt", not_installed)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(LumbricalError, match="TensorRT needs an NVIDIA GPU"):
        check_runner(None, "tensorrt")
