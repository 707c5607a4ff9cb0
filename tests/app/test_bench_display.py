"""What the bench of the display makes of flips, results, pictures and pixels; no window is opened."""

from __future__ import annotations

import time

import numpy as np
import pytest

from app.benches.display import summary
from app.benches.flips import SHIFT_MM, Flip, FlippingSource, Read, change, seen_after, shifted
from app.cli import main
from app.ui.view3d import ShownPicture
from tests.app.fakes import CAMERA, make_frame

DARK, LIGHT = np.zeros((4, 6), np.uint8), np.full((4, 6), 90, np.uint8)
FLIPS = [Flip(10, 1.0), Flip(60, 2.0), Flip(110, 3.0)]


def reads(*moments: tuple[float, np.ndarray, int]) -> list[Read]:
    return [Read(pixels, read_s, frame) for read_s, pixels, frame in moments]


def test_the_first_read_that_differs_shows_the_flip() -> None:
    found = seen_after(
        FLIPS,
        reads((0.8, DARK, 8), (0.9, DARK, 9), (1.03, DARK, 9), (1.06, LIGHT, 10), (1.9, LIGHT, 58), (2.04, DARK, 61)),
    )
    assert [read and read.read_s for read in found] == [1.06, 2.04]


def test_what_changes_all_the_time_is_no_flip_and_what_never_comes_is_none() -> None:
    dice = np.random.default_rng(0)
    noisy = [(0.1 * step, dice.integers(0, 60, (4, 6)).astype(np.uint8), step) for step in range(1, 30)]
    assert seen_after(FLIPS, reads(*noisy)) == [None, None]
    assert seen_after(FLIPS, reads((0.9, DARK, 9), (1.1, DARK, 11), (2.5, DARK, 80))) == [None, None]
    assert seen_after(FLIPS, []) == [None, None] and seen_after([], reads((0.9, DARK, 9))) == []
    # One that comes only after the next flip has come is not of the first.
    late = seen_after(FLIPS, reads((0.8, DARK, 8), (0.9, DARK, 9), (2.2, LIGHT, 70)))
    assert late[0] is None and late[1] is not None
    assert change(DARK, DARK[:2]) == float("inf")


def test_times_of_a_flip_are_told_apart() -> None:
    results = [(8, 0.9, 0.0), (11, 1.02, 0.0), (58, 1.9, 40.0), (60, 2.01, 40.0), (105, 2.9, 0.0)]
    pictures = [
        ShownPicture(9, True, 0.9, 0.95),
        ShownPicture(11, True, 1.03, 1.05),
        ShownPicture(60, True, 2.03, 2.04),
    ]
    view = reads((0.8, DARK, 8), (0.95, DARK, 9), (1.06, LIGHT, 11), (1.9, LIGHT, 11), (2.05, DARK, 60))
    panel = reads((0.8, DARK, 8), (0.95, DARK, 9), (1.04, LIGHT, 11), (1.9, LIGHT, 11))
    report = summary(FLIPS, results, pictures, {"depth panel": panel, "3D view": view})
    assert report["flips"] == 2 and report["unseen"] == {"depth panel": 1, "3D view": 0} and report["too_early"] == 0
    assert report["latency_ms"]["result"] == {"mean": 15.0, "p50": 15.0, "p95": 19.5, "max": 20.0}
    assert report["latency_ms"]["3D view"]["max"] == 60.0 and report["latency_ms"]["depth panel"]["p50"] == 40.0
    stages = report["view_stages_ms"]
    assert [stages[name]["max"] for name in stages] == [20.0, 20.0, 20.0, 10.0]
    assert report["moved_mm"] == 40.0


def test_pixels_that_tell_of_a_flip_before_its_frame_was_drawn_are_misread() -> None:
    view = reads((0.8, DARK, 8), (0.9, DARK, 9), (1.01, LIGHT, 9), (1.8, LIGHT, 50), (1.9, LIGHT, 55))
    report = summary(FLIPS, [], [], {"3D view": view, "depth panel": []})
    assert report["too_early"] == 1 and report["moved_mm"] is None
    assert report["latency_ms"]["depth panel"] == {"mean": None, "p50": None, "p95": None, "max": None}


def test_the_source_flips_at_moments_of_its_own_and_tells_which_frame_it_was() -> None:
    frame = make_frame()
    source = FlippingSource((frame, shifted(frame, 420.0)), 200.0, (0.03, 0.06))
    source.open()
    calm = source.read(1.0)
    assert calm is not None and np.array_equal(calm.depth, frame.depth) and not source.flips
    source.begin()
    frames = []
    end_s = time.monotonic() + 5
    while len(source.flips) < 3 and time.monotonic() < end_s:
        read = source.read(1.0)
        assert read is not None
        frames.append(read)
    first, second, third = source.flips
    assert second.arrived_s - first.arrived_s >= 0.03 and first.number < second.number < third.number
    by_number = {one.number: one for one in frames}
    assert by_number[first.number].host_time_s == first.arrived_s
    moved = [bool(one.depth[0, 0] == 0) for one in frames]
    assert moved == [first.number <= one.number < second.number or one.number >= third.number for one in frames]


def test_a_shift_is_one_of_millimetres() -> None:
    frame = make_frame()
    columns = round(SHIFT_MM * CAMERA.fx / 420.0)
    moved = shifted(frame, 420.0).depth
    assert np.array_equal(moved[:, columns:], frame.depth[:, :-columns]) and not moved[:, :columns].any()
    assert moved[60, 60 + columns] == 420 and moved[60, 60] != 420


@pytest.mark.parametrize("wrong", [["--flips=1"], ["--flips=5000"], ["--fps=0"], ["--source=realsense"]])
def test_wrong_input_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "display", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1
