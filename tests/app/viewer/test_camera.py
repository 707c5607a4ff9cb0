"""The orbit camera: where it looks, what drags and the wheel do."""

from __future__ import annotations

import numpy as np
import pytest

from app.viewer.camera import OrbitCamera


def in_view(camera: OrbitCamera, point: np.ndarray) -> np.ndarray:
    return camera.pose().extrinsic()[:3] @ np.append(point, 1.0)


def test_the_target_lies_straight_ahead_at_the_distance() -> None:
    camera = OrbitCamera()
    camera.orbit(0.3, -0.2)
    assert in_view(camera, camera.target) == pytest.approx([0, 0, camera.distance_mm], abs=1e-9)


def test_rotations_are_rotations() -> None:
    camera = OrbitCamera()
    camera.orbit(0.7, 0.1)
    rotation = camera.pose().rotation
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_dragging_right_turns_the_near_side_right() -> None:
    camera = OrbitCamera()
    near = camera.target + 0.2 * (camera.pose().eye - camera.target)
    before = in_view(camera, near)[0]
    camera.orbit(0.05, 0.0)
    assert in_view(camera, near)[0] > before + 1


def test_a_panned_point_stays_under_the_cursor() -> None:
    camera = OrbitCamera()
    point = camera.target.copy()
    camera.pan(0.25, -0.125)
    view = in_view(camera, point)
    height = 400
    focal = camera.pose().focal_length(height)
    assert view[:2] / view[2] * focal == pytest.approx([0.25 * height, -0.125 * height], abs=1e-6)


def test_zoom_is_bounded_and_undone_by_its_opposite() -> None:
    camera = OrbitCamera()
    start = camera.distance_mm
    camera.zoom(3)
    camera.zoom(-3)
    assert camera.distance_mm == pytest.approx(start)
    camera.zoom(1000)
    closest = camera.distance_mm
    camera.zoom(-1000)
    assert 0 < closest < start < camera.distance_mm < 10_000


def test_it_follows_the_hand_until_moved_and_again_after_reset() -> None:
    camera = OrbitCamera()
    hand = np.array([50.0, 0.0, 600.0])
    camera.follow(hand, 10.0)
    assert camera.target == pytest.approx(hand, abs=0.1)
    camera.pan(0.1, 0.0)
    moved = camera.target.copy()
    camera.follow(np.zeros(3), 10.0)
    assert camera.target == pytest.approx(moved)
    camera.reset()
    camera.follow(np.full(3, np.nan), 10.0)
    camera.follow(hand, 10.0)
    assert camera.target == pytest.approx(hand, abs=0.1)
