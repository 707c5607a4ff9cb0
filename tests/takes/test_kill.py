"""A recorder that is killed at any moment leaves takes that open, and at most a second is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.takes.reader import Take
from engine.takes.recovery import recover
from engine.takes.source import TakeSource
from tests.takes.make import make_frame

ROOT = Path(__file__).resolve().parents[2]
KILLS = 100
SLOW_KILLS = 30
MOST_LOST_S = 1.0

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def _kill(root: Path, kills: int, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.takes.kill_recorder", str(root), str(kills), "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    root = tmp_path_factory.mktemp("killed")
    return root, _kill(root, KILLS)


def _lost_s(take: Take, report: dict[str, Any]) -> float:
    """From the last frame that is there to the last one taken on; frames are written in order. Where any were refused,
    from the first one that is missing."""
    times_s, kept = report["times_s"], take.frame_count
    first = kept if report["refused"] else max(0, kept - 1)
    return float(times_s[-1] - times_s[first]) if kept < len(times_s) else 0.0


def test_every_file_opens_and_a_second_at_most_is_lost(killed: tuple[Path, list[dict[str, Any]]]) -> None:
    root, reports = killed
    assert len(reports) == KILLS
    lost, cut, poses = [], 0, 0
    for report in reports:
        assert not report["refused"]  # on such a disk, nothing is
        folder = root / str(report["case"])
        files = sorted(folder.glob("*.mcap"))
        for path in files:
            with Take(path) as take:
                assert not take.recording and take.info.user == "Ann"
                assert take.complete == (not path.name.endswith(".part.mcap")) or take.complete
                assert take.verify() == ([] if take.complete else take.damage)
                for taken in take.frames():
                    assert taken.frame.depth.tobytes() == make_frame(taken.number).depth.tobytes()
                cut += not take.complete
                poses += len(take.poses())
        assert len(files) >= report["closed"]
        # What was begun last, whether it was being written or closed.
        last = [path for path in files if path.name.startswith(f"{report['closed']}.")]
        if not last:
            assert not report["handed"]
            continue
        with Take(last[0]) as take:
            lost.append(_lost_s(take, report))
    assert len(lost) > 0.8 * KILLS and cut > 0.5 * KILLS and poses > KILLS
    assert max(lost) <= MOST_LOST_S, sorted(lost)[-5:]
    middle = sorted(lost)[len(lost) // 2]
    print(f"{KILLS} kills, all files open; lost {middle:.2f} s in the middle, {max(lost):.2f} s at most")


def test_no_more_is_lost_where_the_disk_is_slow(tmp_path: Path) -> None:
    """What does not reach the disk soon is refused and counted, so that a kill has little to take."""
    lost, refused, told = [], 0, 0
    for report in _kill(tmp_path, SLOW_KILLS, "slow"):
        folder = tmp_path / str(report["case"])
        last = sorted(path for path in folder.glob("*.mcap") if path.name.startswith(f"{report['closed']}."))
        refused += report["refused"]
        if not last:
            assert not report["handed"]
            continue
        with Take(last[0]) as take:
            assert take.verify() == ([] if take.complete else take.damage)
            lost.append(_lost_s(take, report))
            told += take.receipt().frames_dropped
    assert refused > 50 and told > 0
    assert len(lost) > 0.8 * SLOW_KILLS and max(lost) <= MOST_LOST_S, sorted(lost)[-5:]
    print(f"{SLOW_KILLS} kills on a slow disk, {refused} frames refused; lost {max(lost):.2f} s at most")


def test_what_is_left_plays_and_is_recovered(killed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    root, _ = killed
    cut = [path for path in sorted(root.glob("*/*.part.mcap")) if path.stat().st_size > 100_000][:5]
    assert cut
    for number, path in enumerate(cut):
        with TakeSource(path) as source:
            assert source.read() is not None
            complete = not source.warnings
            assert complete or "cut off" in source.warnings[0]
            frames = source.frame_count
        done = recover(path, tmp_path / f"{number}.mcap")
        with Take(done.path) as take:
            assert take.complete and take.frame_count == frames
