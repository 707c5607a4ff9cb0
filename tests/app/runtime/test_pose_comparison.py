"""Recorded poses beside new ones: the right frame's, the right distance, nothing left over from another source."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.runtime.interfaces import LiveResult
from app.runtime.pose_comparison import PoseComparison, RecordedPoses
from app.runtime.session import LiveSession
from app.runtime.source_status import OpenedSource
from engine.takes.reader import Take
from engine.types import TrackingResult, TrackingState
from tests.app.fakes import FakeSensor, FakeTracker, make_frame, wait_until
from tests.takes.make import make_result, write_take

FRAMES = 12


class _Opened:
    """A session of which only the opened source matters."""

    def __init__(self, take: Path) -> None:
        self.session = LiveSession(lambda _: FakeSensor(), str(take), FakeTracker)
        self.open(str(take), 5)

    def open(self, spec: str, epoch: int, is_live: bool = False) -> None:
        self.session.capture._opened = OpenedSource(spec, "x", epoch, is_live)


def live(result: TrackingResult, epoch: int = 5) -> LiveResult:
    return LiveResult(result, epoch, time.monotonic(), 0.01)


def moved(number: int, by_mm: float, version: str = "other-2") -> TrackingResult:
    result = make_result(make_frame(number))
    assert result.geometry is not None
    geometry = replace(result.geometry, joints=result.geometry.joints + np.array([0, by_mm, 0], np.float32))
    return replace(result, geometry=geometry, weights_version=version)


@pytest.fixture
def take(tmp_path: Path) -> Path:
    return write_take(tmp_path / "wave.mcap", FRAMES)


def compared(take: Path) -> tuple[PoseComparison, _Opened]:
    opened = _Opened(take)
    comparison = PoseComparison(opened.session)
    comparison.look()
    assert wait_until(lambda: comparison.available)
    return comparison, opened


def test_the_distance_of_each_frame_and_their_mean(take: Path) -> None:
    comparison, _ = compared(take)
    assert comparison.view() is None
    comparison.put(live(moved(0, 4.0)))
    comparison.put(live(moved(1, 8.0)))
    view = comparison.view()
    assert view is not None and (view.recorded, view.tracked) == ("test-1", "other-2")
    assert view.now_mm == pytest.approx(8.0, abs=1e-3) and view.mean_mm == pytest.approx(6.0, abs=1e-3)
    assert (view.compared, view.frames) == (2, FRAMES)
    # The same frame again, a round later, counts once, with its newest distance.
    comparison.put(live(replace(moved(1, 2.0), frame=make_frame(FRAMES + 1))))
    view = comparison.view()
    assert view is not None and view.compared == 2 and view.mean_mm == pytest.approx(3.0, abs=1e-3)
    # Other weights are averaged apart.
    comparison.put(live(moved(0, 1.0, "third-3")))
    view = comparison.view()
    assert view is not None and (view.tracked, view.compared) == ("third-3", 1)


def test_the_recorded_joints_are_those_of_the_frame(take: Path) -> None:
    comparison, _ = compared(take)
    with Take(take) as opened:
        poses = opened.poses()
    for number in (0, 4, FRAMES + 4):
        joints = comparison.recorded(live(replace(moved(number, 0.0), frame=make_frame(number))))
        assert joints is not None and np.array_equal(joints, poses.joints_mm[number % FRAMES])
    assert comparison.recorded(live(moved(2, 0.0))) is None, "no hand was recorded there"


def test_a_frame_without_a_hand_is_not_counted(take: Path) -> None:
    comparison, _ = compared(take)
    comparison.put(live(moved(0, 4.0)))
    comparison.put(live(TrackingResult(make_frame(1), TrackingState.LOST, weights_version="other-2")))
    comparison.put(live(moved(2, 50.0)))
    view = comparison.view()
    assert view is not None and math.isnan(view.now_mm) and view.compared == 1


def test_results_of_an_earlier_source_are_not_compared(take: Path) -> None:
    comparison, opened = compared(take)
    assert comparison.recorded(live(moved(0, 0.0), epoch=4)) is None
    comparison.put(live(moved(0, 4.0), epoch=4))
    assert comparison.view() is None
    comparison.put(live(moved(0, 4.0)))
    opened.open("realsense", 6, is_live=True)
    comparison.look()
    assert not comparison.available and comparison.view() is None


def test_takes_without_poses_and_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    bare = write_take(tmp_path / "bare.mcap", 3, poses=False)
    assert len(RecordedPoses.of_take(bare).joints_mm) == 0
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"nothing of the kind")
    for path in (bare, broken):
        comparison = PoseComparison(_Opened(path).session)
        comparison.look()
        time.sleep(0.3)
        assert not comparison.available
