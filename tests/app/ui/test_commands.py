"""`run` and `bench live` as a user calls them, on a written recording and a fake tracker."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage

from app import cli, start_times
from app.benches import display
from app.runtime import runner_check, sources, tracker_factory
from app.runtime.interfaces import FrameSource, FrameTracker
from app.ui import application, settings
from app.ui.depth_panel import DepthPanel
from app.ui.main_window import MainWindow
from engine.runners import choose
from engine.sensors.sequence_folder import write_sequence
from engine.types import DepthFrame, LumbricalError, TrackingResult, TrackingState
from tests.app.fakes import FakeTracker, make_frame


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "wave"
    write_sequence(folder, [make_frame(number) for number in range(8)], fps=30)
    return folder


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake tracker, no search for cameras, and no settings of whoever runs the tests."""
    monkeypatch.setattr(tracker_factory, "make_tracker", lambda config, *_, **__: FakeTracker())
    monkeypatch.setattr(sources, "list_sources", list)
    monkeypatch.setattr(runner_check, "check_runner", lambda *_: "")
    monkeypatch.setattr(application, "Memory", settings.Memory.forgetful)


def test_run_plays_a_recording_and_leaves_a_picture(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = tmp_path / "shot.png"
    assert cli.main(["run", f"--source={recording}", "--exit-after=1.5", f"--screenshot={shot}"]) == 0
    assert capsys.readouterr().out == f"written to {shot}\n"
    picture = QImage(str(shot))
    assert picture.width() >= 860
    colors = {picture.pixel(x, y) for x in range(0, 900, 7) for y in range(0, 600, 7)}
    assert len(colors) > 50


def test_the_picture_waits_for_the_first_result(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[bool] = []

    class LateTracker(FakeTracker):
        def track(self, frame: DepthFrame) -> TrackingResult:
            # Long after the empty scene has been drawn.
            time.sleep(0 if finished else 8)
            finished.append(True)
            return super().track(frame)

    def photograph(window: MainWindow, path: Path) -> None:
        taken.append(bool(finished) and window.view.shows_result)

    taken: list[bool] = []
    monkeypatch.setattr(tracker_factory, "make_tracker", lambda config, *_: LateTracker())
    monkeypatch.setattr(application, "save_picture", photograph)
    assert cli.main(["run", f"--source={recording}", "--exit-after=0", f"--screenshot={tmp_path / 'shot.png'}"]) == 0
    assert taken == [True]


def test_run_ends_with_the_line_a_dead_tracker_left(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_weights(*_: object) -> FrameTracker:
        raise LumbricalError("no weights; train them")

    monkeypatch.setattr(tracker_factory, "make_tracker", no_weights)
    assert cli.main(["run", f"--source={recording}", "--exit-after=0.5"]) == 2
    assert capsys.readouterr().err.strip() == "lumbrical: error: tracking stopped: no weights; train them"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ([], ["onnx", "torch"]),
        (["--runner=onnx"], ["onnx"]),
        (["--runner=torch"], ["torch"]),
        (["--runner=int8"], ["int8", "onnx"]),
    ],
)
def test_what_suits_the_machine_is_taken_unless_a_runner_is_named(
    given: list[str], used: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(*args: object) -> FrameTracker:
        made.append(str(args[-1]))
        return FakeTracker()

    monkeypatch.setattr(tracker_factory, "make_tracker", make)
    monkeypatch.setattr(choose, "best_runner", lambda *_: "torch")
    assert cli.main(["run", f"--source={recording}", "--exit-after=1.5", *given]) == 0
    assert sorted(made) == used


@pytest.mark.parametrize(
    ("given", "asked"), [([], 60), (["--config=settings.toml"], 30), (["--config=settings.toml", "--fps=90"], 90)]
)
def test_a_camera_is_asked_for_the_rate_that_is_named(
    given: list[str], asked: int, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text("[sensors]\nfps = 30\n")
    wanted: list[int] = []
    open_any = sources.open_source

    def open_source(spec: str, isolated: str, fps: int) -> FrameSource:
        wanted.append(fps)
        return open_any(spec, isolated, fps)

    monkeypatch.setattr(sources, "open_source", open_source)
    monkeypatch.setattr(sources, "check_source", lambda _: None)
    assert cli.main(["run", f"--source={recording}", "--exit-after=0.5", *given]) == 0
    assert set(wanted) == {asked}


@pytest.mark.parametrize(("held", "words"), [(None, "no weights at"), (b"weights", "is not a usable weights file")])
def test_weights_that_cannot_be_are_told_before_a_window_opens(
    held: bytes | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(application, "run_window", lambda *_: pytest.fail("a window was opened"))
    path = tmp_path / "mine"
    if held is not None:
        path.write_bytes(held)
    assert cli.main(["run", f"--weights={path}"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and words in said[0] and str(path) in said[0]


def test_a_start_is_timed_to_the_first_drawn_hand(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", f"--source={recording}", "--time-start"]) == 0
    moments = json.loads(capsys.readouterr().out)
    assert set(moments) == set(start_times.MOMENTS)
    wall = {name: moment["wall_s"] for name, moment in moments.items()}
    assert 0 < wall["arguments read"] == min(wall.values()) and wall["hand drawn"] == max(wall.values())
    assert wall["first tracked"] >= wall["first result"] and wall["first picture"] > wall["window shown"]


def test_a_start_without_a_hand_says_so(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker_factory, "make_tracker", lambda *_: FakeTracker(TrackingState.SEARCHING))
    monkeypatch.setattr(start_times, "LIMIT_S", 0.0)
    assert cli.main(["run", f"--source={recording}", "--time-start"]) == 2
    assert "no tracked hand was drawn" in capsys.readouterr().err


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runners of the trackers that benches made."""
    names: list[str] = []

    def make(config: object, *, runner: str) -> FrameTracker:
        names.append(runner)
        return FakeTracker()

    monkeypatch.setattr(tracker_factory, "make_tracker", make)
    return names


def test_bench_live_compares_with_recording(
    recording: Path, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--runner=torch", f"--source={recording}"]
    assert cli.main(["bench", "live", "--json", "--record", "--seconds=0.5", *named]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(made) == {"torch"} == {report["runner"]}
    shares = report["while_recording"]
    assert shares["results_per_s"] > 0 and shares["latency_p50"] > 0 and shares["frames_lost"] == 0
    assert len(report["measurements"]) == 4 and "frames_lost" not in report["measurements"][2]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bench", [["live", "--seconds=1"], ["display", "--flips=2"]])
def test_a_bench_whose_tracking_dies_at_once_ends(
    bench: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_weights(*_: object, **__: object) -> FrameTracker:
        raise LumbricalError("no weights; train them")

    monkeypatch.setattr(tracker_factory, "make_tracker", no_weights)
    assert cli.main(["bench", *bench, f"--source={recording}"]) == 2
    assert "no weights; train them" in capsys.readouterr().err


def test_bench_live_prints_the_numbers(recording: Path, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "live", "--json", "--seconds=1", f"--source={recording}"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["results_per_s"] > 20 and report["viewer_fps"] > 1
    assert made == [report["runner"]] == [choose.best_runner()]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"] <= report["latency_ms"]["p99"]
    assert report["dropped"] >= 0 and report["results"] > 20
    assert (report["width"], report["height"]) == (160, 120)
    assert report["dropped"] == report["overtaken"] + report["missed_by_capture"]
    assert report["memory"]["app"]["mb"][0] > 50 and report["memory"]["drawing"]["mb"][0] > 50
    assert report["collector"]["pauses"] >= 0
    machine = report["machine_ms"]
    assert 0 < machine["p50"] <= machine["p95"] <= machine["p99"] < 1000


class FollowingTracker(FakeTracker):
    """Its hand stands where the square of tests.app.fakes.make_frame does."""

    def track(self, frame: DepthFrame) -> TrackingResult:
        result = super().track(frame)
        assert result.geometry is not None
        aside_mm = 100.0 * float(frame.depth[0, 0] == 0)
        moved = replace(result.geometry, joints=result.geometry.joints + np.array((aside_mm, 0, 0), np.float32))
        return replace(result, geometry=moved)


def test_bench_display_reads_each_flip_back_from_the_screen(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker_factory, "make_tracker", lambda *_, **__: FollowingTracker())
    monkeypatch.setattr(display, "_SETTLE_S", 0.5)
    assert cli.main(["bench", "display", "--json", "--flips=4", f"--source={recording}"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["flips"] == 4 and report["too_early"] == 0 and report["moved_mm"] == pytest.approx(100, abs=0.1)
    assert report["unseen"] == {"depth panel": 0, "3D view": 0}
    latency, stages = report["latency_ms"], report["view_stages_ms"]
    assert 0 < latency["result"]["p50"] < latency["depth panel"]["p50"] and min(latency["3D view"].values()) > 1
    assert sum(one["mean"] for one in stages.values()) == pytest.approx(latency["3D view"]["mean"], abs=0.3)


def test_bench_display_tells_of_what_never_reaches_the_screen(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A panel that is painted again and again, but always with the same picture."""
    shown: list[TrackingResult] = []
    show = DepthPanel.show_result

    def first(panel: DepthPanel, result: TrackingResult, *_: object) -> None:
        shown.append(result)
        show(panel, replace(shown[0], frame=replace(shown[0].frame, number=result.frame.number)))

    monkeypatch.setattr(tracker_factory, "make_tracker", lambda *_, **__: FollowingTracker())
    monkeypatch.setattr(display, "_SETTLE_S", 0.5)
    monkeypatch.setattr(DepthPanel, "show_result", first)
    assert cli.main(["bench", "display", "--flips=3", f"--source={recording}"]) == 0
    assert "not seen: 3, misread: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--source=/nowhere"], "does not exist"),
        (["run", "--exit-after=-1"], "--exit-after"),
        (["run", "--screenshot=shot.gif"], ".png"),
        (["run", "--screenshot=shot.png"], "--exit-after"),
        (["run", "--screenshot=/nowhere/shot.png"], "no folder"),
        (["run", "--config=/nowhere.toml"], "cannot read"),
        (["run", "--source="], "no name"),
        (["bench", "live", "--source="], "no name"),
        (["bench", "live", "--seconds=0"], "--seconds"),
        (["bench", "start", "--runs=-1"], "from 1 to 100"),
        (["bench", "live", "--source=realsense"], "name a recording"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
