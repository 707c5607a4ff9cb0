"""`record`, `replay`, `info`, `recover`, and takes as sources of the other commands."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from app import cli
from app.commands import replay
from app.config import DEMO_SOURCE
from app.runtime.preloaded import PreloadedSource, load_frames
from app.runtime.recorder import Recorder
from app.runtime.recording import RecorderConfig
from app.runtime.session import LiveSession
from app.runtime.sources import open_any, open_recording
from app.runtime.statistics import LiveStatistics
from engine.methods.gaussian.weights import load_weights, save_weights
from engine.sensors.sequence_folder import write_sequence
from engine.takes.facts import TakeInfo
from engine.takes.reader import Take
from engine.takes.schemas import DEPTH
from engine.takes.source import TakeSource
from engine.takes.writer import WriterConfig
from engine.tracker import Tracker
from engine.types import DEFAULT_SMOOTHING, LumbricalError
from tests.app.fake_camera import FakeCamera
from tests.takes.make import make_frame, write_take

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 40


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo take's first frames, recorded with poses."""
    folder = tmp_path_factory.mktemp("takes")
    seconds = str(FRAMES / 30 - 0.001)
    assert cli.main(["record", str(DEMO_SOURCE), "--out", str(folder / "demo.mcap"), "--seconds", seconds]) == 0
    return folder / "demo.mcap"


def test_a_replayed_take_gives_the_same_poses_bit_for_bit(demo: Path) -> None:
    with Take(demo) as take:
        poses = take.poses()
        assert take.complete and take.frame_count == len(poses) == FRAMES and poses.tracked.all()
    tracker = Tracker()
    with TakeSource(demo) as source:
        tracker.side = source.side
        tracker.reset()
        for row in range(FRAMES):
            frame = source.read()
            assert frame is not None
            assert replay.is_identical(tracker.track(frame), poses, row), f"frame {row} differs"


def test_a_live_take_tracked_again_gives_the_same_poses(tmp_path: Path) -> None:
    """Of a camera the tracker passes frames over; only those it was shown then are shown to it again."""
    frames = load_frames(open_recording(str(DEMO_SOURCE)), 60)
    session = LiveSession(lambda _: PreloadedSource(frames, 60.0), "memory", Tracker, LiveStatistics(math.inf))
    recorder = Recorder(RecorderConfig(preroll_s=0.0, writer=WriterConfig(min_free_bytes=0)))
    recorder.attach(session)
    settings = {"side": None, "smoothing": DEFAULT_SMOOTHING}
    path = recorder.start(tmp_path, TakeInfo(settings=settings), seconds=2.0)
    session.start()
    try:
        deadline_s = time.monotonic() + 60
        while session.statistics.snapshot().results < 15 and time.monotonic() < deadline_s:
            time.sleep(0.05)
    finally:
        session.stop()
    recorder.stop()
    with Take(path) as take:
        report = replay.compare(take, Tracker())
    assert report["compared"] == report["frames"] >= 1
    assert report["identical"] == report["compared"]


def test_replay_tells_how_far_other_settings_are(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(demo), "--headless"]) == 0
    assert f"{FRAMES} of {FRAMES} poses are bit for bit" in capsys.readouterr().out
    tracker = Tracker()
    smoothing = tracker.set_smoothing
    tracker.set_smoothing = lambda amount: smoothing(1.0)  # type: ignore[method-assign]
    with Take(demo) as take:
        report = replay.compare(take, tracker)
    assert report["identical"] < FRAMES and 0 < report["mean_joint_distance_mm"] < 20


def test_replay_with_other_weights_tells_the_distance(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    encoder = load_weights().encoder
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1 + 0.002 * torch.randn_like(parameter))
    other = tmp_path / "other.safetensors"
    save_weights(other, encoder, "other", 1)
    assert cli.main(["replay", str(demo), "--json", "--weights", str(other)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["weights"] != report["recorded_weights"][0] and report["weights"].startswith("other")
    assert report["identical"] < report["compared"] == FRAMES
    assert 0.01 < report["mean_joint_distance_mm"] < 40
    assert cli.main(["replay", str(demo), "--headless", "--weights", str(other)]) == 0
    assert "mm apart on average" in capsys.readouterr().out
    assert cli.main(["replay", str(demo), "--headless", "--weights", str(tmp_path / "none")]) == 2


def test_info_tells_what_is_there(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(demo), "--verify", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["complete"] and report["frames"] == report["poses"] == report["tracked"] == FRAMES
    assert report["intrinsics"]["width"] == 640 and report["measured_fps"] == pytest.approx(30, abs=0.1)
    assert "rendered" in report["sensor"]
    assert report["receipt"]["frames_written"] == FRAMES and report["settings"] == {
        "side": "right", "smoothing": DEFAULT_SMOOTHING, "method": "fit", "runner": "onnx",
    }  # fmt: skip
    cut = tmp_path / "cut.part.mcap"
    cut.write_bytes(demo.read_bytes()[: demo.stat().st_size // 2])
    assert cli.main(["info", str(cut)]) == 1
    told = capsys.readouterr().out
    assert "cut off" in told and "recover" in told and "640 x 480" in told


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """What `info` prints, by the word that each line begins with; the first line by nothing."""
    cli.main(["info", *arguments])
    first, *lines = capsys.readouterr().out.splitlines()
    return {"": first} | {line[2:12].strip(): line[13:] for line in lines}


def test_info_tells_how_much_of_a_damaged_take_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_take(tmp_path / "a.mcap", 17)
    with Take(path) as take:
        places = [place for place in take.layout.places if place.channels and DEPTH.id in place.channels]
    data = bytearray(path.read_bytes())
    for place in (places[0], places[2]):
        data[place.data_offset + place.data_size // 2] ^= 1
    path.write_bytes(data)
    with Take(path) as take:
        readable = len(list(take.frames()))
    assert readable < 17
    for options in ([], ["--verify"]):
        told = _told(capsys, str(path), *options)
        assert f"{readable} of 17 frames can be read" in told["images"]
        assert f"17 frames; dropped: none while recording, {17 - readable} damaged since; " in told["received"]
    assert cli.main(["convert", str(path), "--no-track", "--out", str(tmp_path / "b.mcap")]) == 0
    captured = capsys.readouterr()
    assert f"; {readable} of 17 frames can be read. " in captured.err and f": {readable} of 17 frames" in captured.out


def test_info_says_what_it_verified(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "verified" not in (told := _told(capsys, str(demo))) and told["tracker"] == "fit, onnx"
    assert _told(capsys, str(demo), "--verify")["verified"] == "every message was read and its check sum compared"


def test_one_is_no_plural_and_notes_of_two_lines_stand_below_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "one", [make_frame(0)])
    path = str(tmp_path / "one.mcap")
    assert cli.main(["record", str(tmp_path / "one"), "--out", path, "--notes", "cold\nhands"]) == 0
    assert "1 of 1 frame and 1 pose written; ended" in capsys.readouterr().out
    assert cli.main(["info", path]) == 0
    told = capsys.readouterr().out
    assert "48, 1 frame, 0.0 s" in told and "received   1 frame; " in told
    assert "  notes      cold\n             hands\n" in told
    assert cli.main(["replay", path, "--headless"]) == 0
    assert "1 frame tracked again" in capsys.readouterr().out
    assert cli.main(["track", path, "--headless"]) == 0
    assert "1 frame, 0 tracked" in capsys.readouterr().out


def test_info_names_the_weights_also_where_no_hand_was_tracked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.runtime.sources.open_any", lambda spec, color: FakeCamera(100_000))
    path = tmp_path / "a.mcap"
    assert cli.main(["record", "fake", "--out", str(path), "--seconds", "1.5"]) == 0
    with Take(path) as take:
        (version,) = take.receipt().weights_versions
    capsys.readouterr()
    assert _told(capsys, str(path))["weights"] == version


def test_replaying_a_hand_only_take_says_why_it_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "hand.mcap")
    assert cli.main(["record", str(DEMO_SOURCE), "--out", path, "--seconds", "0.3", "--hand-only"]) == 0
    capsys.readouterr()
    assert cli.main(["replay", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["hand_only"]
    words = "made on whole images, of which the take holds the hand only"
    assert cli.main(["replay", path, "--headless"]) == 0
    assert (words in capsys.readouterr().out) == (report["identical"] < report["compared"])
    assert words in replay._as_text(report | {"identical": 0})
    assert words not in replay._as_text(report | {"identical": 0, "hand_only": False})


def test_recover_writes_a_clean_take(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.part.mcap"
    cut.write_bytes(demo.read_bytes()[: demo.stat().st_size // 2])
    assert cli.main(["recover", str(cut)]) == 0
    assert "cut off; recovered" in capsys.readouterr().out
    with Take(tmp_path / "cut.mcap") as take:
        assert take.complete and 10 < take.frame_count < FRAMES
    assert cli.main(["recover", str(cut)]) == 2
    assert cli.main(["recover", str(cut), "--out", str(tmp_path / "x.bag")]) == 2
    assert cli.main(["recover", str(tmp_path / "none.mcap")]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_a_take_is_tracked_like_any_recording(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["track", str(demo), "--headless"]) == 0
    assert f"{FRAMES} frames, {FRAMES} tracked" in capsys.readouterr().out
    assert cli.with_default_command([str(demo)]) == ["run", f"--source={demo}"]
    assert cli.with_default_command(["x.mcap", "--exit-after", "1"]) == ["run", "--source=x.mcap", "--exit-after", "1"]


def test_a_take_without_its_ending_is_a_take(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "wave"
    bare.write_bytes(demo.read_bytes())
    for arguments, words in (
        (["info", str(bare)], "whole"),
        (["track", str(bare), "--headless"], f"{FRAMES} frames, {FRAMES} tracked"),
        (["convert", str(bare), "--out", str(tmp_path / "joints"), "--joints"], f"{FRAMES} frames"),
        (["export", str(bare), "--out", str(tmp_path / "a.csv")], f"{FRAMES} frames"),
        (["evaluate", str(bare), "--json"], "wave"),
        (["recover", str(bare)], "recovered"),
    ):
        assert cli.main(arguments) == 0, arguments
        assert words in capsys.readouterr().out
    assert (tmp_path / "wave-recovered.mcap").is_file()
    (tmp_path / "other").write_bytes(b"nothing that is known")
    assert cli.main(["track", str(tmp_path / "other"), "--headless"]) == 2
    assert "no known format" in capsys.readouterr().err


def test_a_folder_is_told_from_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "wave"
    write_sequence(folder, [make_frame(0)])
    for command in (["info"], ["replay", "--headless"], ["recover"]):
        assert cli.main([*command, str(folder)]) == 2
        told = capsys.readouterr().err
        assert f"`convert {folder} --out NAME.mcap`" in told and "does not exist" not in told
        assert cli.main([*command, str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert "is a folder" in told and "convert" not in told
        assert cli.main([*command, str(tmp_path / "none")]) == 2
        assert "does not exist" in capsys.readouterr().err


def test_a_take_is_evaluated_without_labels(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(demo), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    row = report["sequences"]["demo.mcap"]
    assert row["frames"] == row["frames_tracked"] == FRAMES and row["mean_joint_error_mm"] is None
    assert 0 < row["depth_residual_median_mm"] < 10
    assert row["images"] == "rendered", "a take of rendered images says so"
    data = bytearray(demo.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.mcap").write_bytes(data)
    assert cli.main(["evaluate", str(tmp_path / "bad.mcap")]) == 2
    assert "recover" in capsys.readouterr().err


def test_a_cut_off_take_plays_with_a_warning(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap")
    cut = tmp_path / "cut.part.mcap"
    cut.write_bytes(path.read_bytes()[:50_000])
    source = open_recording(str(cut))
    source.open()
    assert source.read() is not None and "cut off" in source.warnings[0]
    source.close()


def test_hand_only_stores_nothing_else_and_says_what_it_saves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hand.mcap"
    assert cli.main(["record", str(DEMO_SOURCE), "--out", str(path), "--seconds", "0.3", "--hand-only"]) == 0
    told = capsys.readouterr().out
    assert "only the hand is in it" in told and "instead of about" in told
    with Take(path) as take, open_any(str(DEMO_SOURCE)) as source:
        assert take.info.hand_only
        receipt = take.receipt()
        assert receipt.full_size_bytes > 1.5 * receipt.size_bytes
        for taken in take.frames():
            whole = source.read()
            assert whole is not None
            kept = taken.frame.depth
            share = (kept > 0).sum() / (whole.depth > 0).sum()
            assert 0.05 < share < 0.4
            assert (kept[kept > 0] == whole.depth[kept > 0]).all()
            # The body behind the hand is over half a metre farther away.
            near = whole.depth[whole.depth > 0].min()
            assert kept.max() < near + 300


def test_a_short_bench_record(tmp_path: Path) -> None:
    """A fifth of the rate, so that it says nothing of the machine: the whole path has to work and to count."""
    command = [sys.executable, "main.py", "bench", "record", "--minutes", "0.03", "--fps", "18", "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=110, check=True
    )
    report = json.loads(done.stdout)
    assert report["frames_received"] > 10
    assert report["frames_lost_in_recorder"] == 0 and report["take_is_whole"]
    assert report["packed_to_one_in"] > 1 and report["tracking_while_recording"]["results_per_s"] > 0
    assert list(tmp_path.iterdir()) == []


def test_bench_codecs_measures_and_checks(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "codecs", str(demo), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    rows = found["codecs"]
    assert rows["zstd 6"]["ratio"] > rows["zstd 1"]["ratio"] > rows["lz4"]["ratio"] > 2
    assert rows["zstd 1"]["opens_everywhere"] and not rows["PNG 1"]["opens_everywhere"]
    with pytest.raises(LumbricalError):
        open_recording("synthetic")
