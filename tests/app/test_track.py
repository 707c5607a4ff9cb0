"""`track` headless, with a fake sensor and tracker: what is printed, what is written, what is left behind."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import app.commands
from app import cli
from app.commands import track
from app.results_file import result_record, results_file
from calibration.profiles import ProfileStore
from engine.fitting.state import KnownShape
from engine.hand.hand import HandModel
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import save_weights
from engine.sensors.protocol import BadRecording, SensorBase, SensorDisconnected
from engine.sensors.sequence_folder import write_sequence
from engine.types import (
    DepthFrame,
    HandGeometry,
    HandParameters,
    HandSurface,
    Intrinsics,
    LumbricalError,
    Side,
    TrackingResult,
    TrackingState,
)
from tests.app.fakes import make_frame

CAMERA = Intrinsics(4, 3, 5.0, 5.0, 1.5, 1.0)


class FakeSensor(SensorBase):
    """`count` frames; then the end of a file, or what a camera raises."""

    def __init__(self, count: int = 4, then: BaseException | None = None, live: bool = False) -> None:
        super().__init__("fake")
        self._count, self._then, self._live, self._next = count, then, live, 0
        self.closed = False

    @property
    def is_live(self) -> bool:
        return self._live

    def _open(self) -> None:
        self._intrinsics, self._side = CAMERA, Side.LEFT
        self._frame_count = None if self._live else self._count

    def _read(self, timeout_s: float) -> DepthFrame | None:
        if self._next >= self._count:
            raise self._then or self._end_of_stream()
        self._next += 1
        index = self._next - 1
        return DepthFrame(np.ones((CAMERA.height, CAMERA.width), np.uint16), 1.0, CAMERA, index, index / 30, 0.0)

    def _close(self) -> None:
        self.closed = True


class FakeTracker:
    """Sees a hand in every frame but the first."""

    side: Side | None = None
    held: KnownShape | None = None

    def hold(self, model: HandModel | None, shape: KnownShape | None = None) -> None:
        self.held = shape

    def reset(self) -> None:
        pass

    def track(self, frame: DepthFrame) -> TrackingResult:
        if frame.number == 0:
            return TrackingResult(frame, TrackingState.SEARCHING)
        joints = np.full((21, 3), frame.number + 0.1, np.float32)
        geometry = HandGeometry.of(joints, HandSurface(joints, joints, np.ones(21, np.float32)))
        theta = np.full(26, 0.25, np.float32)
        parameters = HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 0.9)
        return TrackingResult(
            frame, TrackingState.TRACKING, Side.LEFT, parameters, geometry, confidence=0.9, residual_mm=2.0
        )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[FakeSensor], FakeTracker]]:
    """Put a fake sensor behind every SOURCE; whatever happens it must be closed in the end."""
    sensors: list[FakeSensor] = []

    def put(sensor: FakeSensor) -> FakeTracker:
        tracker = FakeTracker()
        sensors.append(sensor)
        monkeypatch.setattr(track, "open_sensor", lambda source: sensor)
        monkeypatch.setattr(track, "make_tracker", lambda *_: tracker)
        return tracker

    yield put
    assert all(sensor.closed or not sensor._is_open for sensor in sensors)


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_prints_a_line_for_every_frame_and_the_summary_aside(
    use: Callable[[FakeSensor], FakeTracker], capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--json"]) == 0
    printed = capsys.readouterr()
    records = _lines(printed.out)
    assert [record["number"] for record in records] == [0, 1, 2, 3]
    assert records[0] | {"time_s": 0} == {
        "number": 0, "time_s": 0, "state": "searching", "side": None, "confidence": 0.0, "residual_mm": None,
        "joints_mm": None, "joint_sigma_mm": None, "theta": None, "beta": None, "thickness": None,
    }  # fmt: skip
    assert records[2]["joints_mm"] == [[2.1] * 3] * 21
    assert (records[2]["state"], records[2]["side"], records[2]["residual_mm"]) == ("tracking", "left", 2.0)
    assert len(records[2]["theta"]) == 26 and len(records[2]["beta"]) == 20
    assert "4 frames, 3 tracked (75 %)" in printed.err
    assert tracker.side is Side.LEFT


def test_a_recording_is_tracked_once_through_and_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    depth = np.full((3, 4), 500, np.uint16)
    write_sequence(tmp_path / "slow", (DepthFrame(depth, 1.0, CAMERA, i, 0.0, 0.0) for i in range(3)), fps=0.01)
    monkeypatch.setattr(track, "make_tracker", lambda *_: FakeTracker())
    assert cli.main(["track", str(tmp_path / "slow"), "--json"]) == 0
    assert [record["number"] for record in _lines(capsys.readouterr().out)] == [0, 1, 2]


@pytest.mark.parametrize(("option", "side"), [("right", Side.RIGHT), ("either", None)])
def test_the_side_asked_for_wins(option: str, side: Side | None, use: Callable[[FakeSensor], FakeTracker]) -> None:
    tracker = use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--headless", "--side", option]) == 0
    assert tracker.side is side


def test_out_writes_arrays_that_need_no_pickle(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--headless", "--out", str(tmp_path / "hand.npz")]) == 0
    assert "hand.npz" in capsys.readouterr().out
    with np.load(tmp_path / "hand.npz", allow_pickle=False) as arrays:
        assert arrays["joints_mm"].shape == (4, 21, 3) and np.isnan(arrays["joints_mm"][0]).all()
        assert arrays["joints_mm"][3] == pytest.approx(3.1)
        assert arrays["state"].tolist() == ["searching", "tracking", "tracking", "tracking"]
        assert arrays["side"].tolist() == ["", "left", "left", "left"]
        assert np.isnan(arrays["residual_mm"][0]) and arrays["theta"].shape == (4, 26)
    assert [path.name for path in tmp_path.iterdir()] == ["hand.npz"]


def test_out_writes_the_lines_that_json_prints(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--json", "--out", str(tmp_path / "hand.jsonl")]) == 0
    assert (tmp_path / "hand.jsonl").read_text() == capsys.readouterr().out


def test_an_existing_file_is_kept_unless_forced(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hand.jsonl"
    out.write_text("precious")
    use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert cli.main(["track", "SOURCE", "--out", str(out), "--force"]) == 0
    assert len(_lines(out.read_text())) == 4


def test_a_recording_that_breaks_in_the_middle_leaves_nothing_behind(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hand.npz", "hand.jsonl"):
        use(FakeSensor(2, BadRecording("000002.png is cut short: copy it again")))
        assert cli.main(["track", "SOURCE", "--out", str(tmp_path / name)]) == 2
        printed = capsys.readouterr()
        assert printed.err.strip() == "lumbrical: error: 000002.png is cut short: copy it again"
        assert list(tmp_path.iterdir()) == []


def test_an_interrupted_recording_leaves_nothing_behind(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path
) -> None:
    use(FakeSensor(2, KeyboardInterrupt()))
    assert cli.main(["track", "SOURCE", "--out", str(tmp_path / "hand.npz")]) == 130
    assert list(tmp_path.iterdir()) == []


class Terminating(FakeSensor):
    """Its process is told to end before the last frame."""

    def _read(self, timeout_s: float) -> DepthFrame | None:
        if self._next == self._count - 1:
            signal.raise_signal(signal.SIGTERM)
        return super()._read(timeout_s)


@pytest.mark.parametrize("live", [False, True])
def test_being_told_to_end_is_like_an_interrupt(
    live: bool, use: Callable[[FakeSensor], FakeTracker], tmp_path: Path
) -> None:
    """A recording leaves nothing, a camera what it gave."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        for name in ("hand.npz", "hand.jsonl"):
            sensor = Terminating(4, live=live)
            use(sensor)
            assert cli.main(["track", "SOURCE", "--out", str(tmp_path / name)]) == (0 if live else 143)
            assert sensor.closed and signal.getsignal(signal.SIGTERM) is before
        assert sorted(path.name for path in tmp_path.iterdir()) == (["hand.jsonl", "hand.npz"] if live else [])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_camera_is_stopped_by_an_interrupt_and_its_frames_are_kept(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeSensor(3, KeyboardInterrupt(), live=True))
    assert cli.main(["track", "SOURCE", "--out", str(tmp_path / "hand.jsonl")]) == 0
    assert len(_lines((tmp_path / "hand.jsonl").read_text())) == 3
    assert "3 frames (0 passed over), 2 tracked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("live", "told"), [(True, "4 frames (4 passed over), 4 tracked"), (False, "4 frames, 4 tracked")]
)
def test_frames_that_a_camera_sent_meanwhile_are_counted(
    live: bool, told: str, use: Callable[[FakeSensor], FakeTracker], capsys: pytest.CaptureFixture[str]
) -> None:
    class Skipping(FakeSensor):
        def _read(self, timeout_s: float) -> DepthFrame | None:
            frame = super()._read(timeout_s)
            return frame and replace(frame, number=(5, 6, 9, 12)[frame.number])

    use(Skipping(4, KeyboardInterrupt() if live else None, live=live))
    assert cli.main(["track", "SOURCE", "--headless"]) == 0
    assert told in capsys.readouterr().out


def test_what_a_source_wants_its_user_to_know_is_told(
    use: Callable[[FakeSensor], FakeTracker], capsys: pytest.CaptureFixture[str]
) -> None:
    class Worried(FakeSensor):
        def _open(self) -> None:
            super()._open()
            self._warnings.append("it is cut short")

    use(Worried())
    assert cli.main(["track", "SOURCE", "--json"]) == 0
    assert "lumbrical: warning: it is cut short\n" in capsys.readouterr().err


def test_a_camera_that_vanishes_is_an_error_but_its_frames_are_kept(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeSensor(3, SensorDisconnected("the camera vanished: plug it in again"), live=True))
    assert cli.main(["track", "SOURCE", "--out", str(tmp_path / "hand.jsonl")]) == 2
    assert capsys.readouterr().err.strip().endswith("error: the camera vanished: plug it in again")
    assert len(_lines((tmp_path / "hand.jsonl").read_text())) == 3


def test_a_camera_that_sent_nothing_takes_no_file_s_place(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hand.jsonl"
    out.write_text("precious")
    use(FakeSensor(0, SensorDisconnected("the camera vanished: plug it in again"), live=True))
    assert cli.main(["track", "SOURCE", "--out", str(out), "--force"]) == 2
    assert capsys.readouterr().err == "lumbrical: error: the camera vanished: plug it in again\n"
    assert out.read_text() == "precious" and list(tmp_path.iterdir()) == [out]


def test_nor_does_one_that_was_interrupted_before(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hand.npz"
    use(FakeSensor(0, KeyboardInterrupt(), live=True))
    assert cli.main(["track", "SOURCE", "--out", str(out)]) == 2
    assert "fake sent no picture" in capsys.readouterr().err and not out.exists()


def test_seconds_end_a_stream_that_does_not(use: Callable[[FakeSensor], FakeTracker]) -> None:
    use(FakeSensor(10**9, live=True))
    assert cli.main(["track", "SOURCE", "--seconds", "0.05"]) == 0


@pytest.mark.parametrize(
    ("out", "message"),
    [("hand.csv", ".npz or .jsonl"), ("nowhere/hand.npz", "does not exist"), ("folder.npz", "is a folder")],
)
def test_a_bad_out_is_told_before_anything_is_opened(
    out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(track, "open_sensor", lambda source: pytest.fail("the source was opened"))
    (tmp_path / "folder.npz").mkdir()
    assert cli.main(["track", "SOURCE", "--out", str(tmp_path / out)]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_without_headless_the_window_opens_on_the_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--source")
        parser.add_argument("--exit-after", type=float)

    def run(args: argparse.Namespace) -> int:
        opened.append(args.source)
        return 0 if args.exit_after is None else 1

    window = types.ModuleType("app.commands.run")
    window.__dict__.update(add_arguments=add_arguments, run=run)
    monkeypatch.setitem(sys.modules, "app.commands.run", window)
    monkeypatch.setattr(app.commands, "run", window, raising=False)
    assert cli.main(["track", "SOURCE"]) == 0
    assert opened == ["SOURCE"]
    assert cli.main(["track", "SOURCE", "--side", "left"]) == 2
    assert "add --headless" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["x.npz", "x.jsonl"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(*, dir: Path, prefix: str, suffix: str, delete: bool) -> object:
        temporary = dir / f"{prefix}part"
        temporary.symlink_to("/dev/full")
        return temporary.open("wb")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", on_a_full_disk)
    with (
        pytest.raises(LumbricalError, match=rf"{name} cannot be written: No space"),
        results_file(tmp_path / name) as file,
    ):
        file.add(result_record(TrackingResult(make_frame(), TrackingState.SEARCHING)))
    assert not list(tmp_path.iterdir())


def test_other_weights_are_used_and_missing_ones_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(1)
    save_weights(tmp_path / "w.safetensors", Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)), "mine", 1)
    tracker = track.make_tracker(weights=tmp_path / "w.safetensors")
    assert tracker.runner.version.startswith("mine-")
    assert cli.main(["track", "assets/demo", "--headless", "--weights", str(tmp_path / "none")]) == 2
    assert "no weights at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("live", "named", "used"),
    [(True, [], "int8"), (False, [], "onnx"), (True, ["--runner=torch"], "torch"), (False, ["--runner=int8"], "int8")],
)
def test_a_camera_is_tracked_by_this_processors_default_and_a_recording_in_full_precision(
    live: bool,
    named: list[str],
    used: str,
    use: Callable[[FakeSensor], FakeTracker],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[object] = []
    asked: list[Path | None] = []

    def make(*args: object) -> FakeTracker:
        made.append(args[-1])
        return FakeTracker()

    def default(weights: Path | None) -> str:
        asked.append(weights)
        return "int8"

    use(FakeSensor(3, KeyboardInterrupt() if live else None, live=live))
    monkeypatch.setattr(track, "make_tracker", make)
    monkeypatch.setattr(track, "cpu_runner", default)
    assert cli.main(["track", "SOURCE", "--headless", "--weights=mine", *named]) == 0
    assert made == [used] and asked == ([Path("mine")] if live and not named else [])
    assert "instead" not in capsys.readouterr().err


@pytest.mark.parametrize("live", [True, False])
def test_what_takes_long_once_is_done_before_a_cameras_first_frame(
    live: bool, use: Callable[[FakeSensor], FakeTracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = FakeSensor(3, KeyboardInterrupt() if live else None, live=live)
    use(sensor)
    read: list[int] = []
    monkeypatch.setattr(track, "load_loops", lambda: read.append(sensor._next))
    assert cli.main(["track", "SOURCE", "--headless"]) == 0
    assert read == ([0] if live else [])


@pytest.mark.parametrize("named", [[], ["--runner=int8"]])
def test_an_int8_file_of_other_weights_leaves_a_camera_tracked_in_full_precision_unless_it_is_named(
    named: list[str],
    use: Callable[[FakeSensor], FakeTracker],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[object] = []

    def make(*args: object) -> FakeTracker:
        made.append(args[-1])
        if args[-1] == "int8":
            raise LumbricalError("it was not made of these weights")
        return FakeTracker()

    use(FakeSensor(3, KeyboardInterrupt(), live=True))
    monkeypatch.setattr(track, "make_tracker", make)
    monkeypatch.setattr(track, "cpu_runner", lambda weights: "int8")
    assert cli.main(["track", "SOURCE", "--headless", *named]) == (2 if named else 0)
    assert made == (["int8"] if named else ["int8", "onnx"])
    told = capsys.readouterr().err
    assert "it was not made of these weights" in told
    assert ("ONNX Runtime tracks instead of int8: it was" in told) is (not named)


def test_a_profile_is_held_or_refused_in_one_line(
    use: Callable[[FakeSensor], FakeTracker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.app.runtime.test_profile_choice import profile

    store = ProfileStore(tmp_path)
    store.save(profile(side=Side.RIGHT))
    known = ["--profiles", str(tmp_path), "--profile"]
    tracker = use(FakeSensor())
    # The source says that it shows a left hand.
    assert cli.main(["track", "SOURCE", "--headless", *known, "Ann"]) == 2
    assert "Ann's profile is of the right hand" in capsys.readouterr().err and tracker.held is None
    tracker = use(FakeSensor())
    assert cli.main(["track", "SOURCE", "--headless", "--side", "right", *known, "Ann"]) == 0
    assert tracker.held is not None and tracker.side is Side.RIGHT
    capsys.readouterr()
    for arguments, words in (
        (["--headless", *known, "Bo"], "no profile of Bo's"),
        (["--headless", *known, "../x"], "cannot be a profile's name"),
        (["--headless", "--hand", "own.glb", *known, "Ann"], "--hand and --profile"),
    ):
        use(FakeSensor())
        assert cli.main(["track", "SOURCE", *arguments]) == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
