"""The sensor's own picture: depth in colours, and what is drawn on it, in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.viewer.depth_picture import DepthPainter, depth_in_colors, nearest_mm
from app.viewer.palette import FINGER_COLORS, RECORDED_COLOR
from engine.types import TrackingResult, TrackingState
from tests.app.fakes import FakeTracker, make_frame, open_hand

CAMERA = make_frame().intrinsics
SIZE = (2 * CAMERA.width, 2 * CAMERA.height)


def searching() -> TrackingResult:
    return FakeTracker(TrackingState.SEARCHING).track(make_frame())


def has_color(picture: np.ndarray, u: float, v: float, rgb: np.ndarray) -> bool:
    """Whether a pixel within one of place (u, v) of the camera's image has about that colour (0 to 1)."""
    column, row = (round((place + 0.5) * 2 - 0.5) for place in (u, v))
    near = picture[row - 1 : row + 2, column - 1 : column + 2, 2::-1].reshape(-1, 3) / 255.0
    return bool((np.abs(near - rgb).max(1) < 0.12).any())


def test_near_is_bright_far_is_dark_and_nothing_is_darkest() -> None:
    depth = np.array([[0, 250, 300, 600, 900, 1199, 3000, 65535]], np.uint16)
    unknown, nearer, *seen = depth_in_colors(depth, 1.0, 300.0, 900.0)[0].astype(int).sum(1)
    assert nearer == seen[0]
    assert seen == sorted(seen, reverse=True) and len(set(seen[:4])) == 4 and seen[-1] == seen[-2]
    assert unknown <= min(seen)


def test_colours_are_of_millimetres_whatever_the_unit() -> None:
    mm = np.arange(200, 1400, 40, dtype=np.uint16)[None]
    fine = depth_in_colors(10 * mm, 0.1, 300.0, 900.0).astype(int)
    assert np.abs(fine - depth_in_colors(mm, 1.0, 300.0, 900.0)).max() <= 3
    assert depth_in_colors(mm, 2.0, 1e9, 900.0).std((0, 1)).max() == 0


def test_what_stands_nearest_is_told_without_stray_pixels() -> None:
    depth = np.zeros((50, 50), np.uint16)
    assert nearest_mm(depth, 1.0) is None
    depth[:40] = 800
    depth[0, :3] = 100
    assert nearest_mm(depth, 0.5) == 400.0


def test_a_frame_without_a_hand_is_its_depth_alone() -> None:
    painter = DepthPainter()
    picture = painter.paint(searching(), None, SIZE)
    assert picture.shape == (SIZE[1], SIZE[0], 4) and picture.dtype == np.uint8
    square, plane = picture[2 * 60, 2 * 80, :3], picture[2 * 60, 2 * 20, :3]
    assert square.astype(int).sum() > plane.astype(int).sum()
    assert len(np.unique(picture[2 * 60, : 2 * 50, :3], axis=0)) == 1


def test_the_skeleton_and_the_crop_are_where_they_project_to() -> None:
    result = FakeTracker().track(make_frame())
    picture = DepthPainter().paint(result, None, SIZE)
    for finger, color in enumerate(FINGER_COLORS):
        x, y, z = open_hand().joints[4 * finger + 4]
        assert has_color(picture, CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy, color), finger
    without = DepthPainter().paint(searching(), None, SIZE)
    # The crop's outline crosses the plane at column 50, between rows 30 and 90; it is half transparent white.
    lighter = picture[2 * 60, 2 * 48 : 2 * 52, :3].astype(int) - without[2 * 60, 2 * 48 : 2 * 52, :3]
    assert lighter.max() > 40


def test_recorded_joints_are_drawn_beside_the_hand_and_what_is_behind_the_camera_is_not() -> None:
    recorded = open_hand().joints + np.array([25.0, 0.0, 0.0], np.float32)
    x, y, z = (recorded[11] + recorded[12]) / 2
    place = CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy
    assert has_color(DepthPainter().paint(searching(), recorded, SIZE), *place, RECORDED_COLOR)
    behind = recorded * np.array([1, 1, -1], np.float32)
    assert not has_color(DepthPainter().paint(searching(), behind, SIZE), *place, RECORDED_COLOR)


def test_the_range_of_colours_follows_noise_slowly_and_jumps_at_once() -> None:
    painter = DepthPainter()
    near, far = make_frame(), make_frame()
    far = replace(far, depth=far.depth + np.uint16(40))
    show = [replace(searching(), frame=frame) for frame in (near, far)]
    for _ in range(60):
        painter.paint(show[0], None, SIZE)
    settled = painter.paint(show[0], None, SIZE)[0, 0].astype(int)
    first = painter.paint(show[1], None, SIZE)[0, 0].astype(int)
    for _ in range(60):
        painter.paint(show[1], None, SIZE)
    followed = painter.paint(show[1], None, SIZE)[0, 0].astype(int)
    assert np.abs(followed - settled).max() < np.abs(first - settled).max()
    distant = replace(show[0], frame=replace(near, depth=near.depth + np.uint16(2000)))
    assert np.abs(painter.paint(distant, None, SIZE)[0, 0].astype(int) - settled).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (37, 101)])
def test_any_size_can_be_asked_for(size: tuple[int, int]) -> None:
    assert DepthPainter().paint(FakeTracker().track(make_frame()), None, size, 2.0).shape == (size[1], size[0], 4)
