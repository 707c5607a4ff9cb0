"""The synthetic camera and the pinhole geometry under it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.geometry.camera import depth_to_points, project, unproject
from engine.sensors.protocol import EndOfStream, SensorError
from engine.sensors.synthetic import SyntheticSensor, moving_sphere
from engine.types import Intrinsics
from tests.sensors.taking import take

SMALL = Intrinsics(64, 48, 48.0, 50.0, 30.0, 22.0)


def test_points_and_pixels_agree() -> None:
    points = np.random.default_rng(0).uniform([-200, -200, 300], [200, 200, 900], (50, 3))
    uv = project(points, SMALL)
    assert uv[0] == pytest.approx([points[0, 0] / points[0, 2] * 48 + 30, points[0, 1] / points[0, 2] * 50 + 22])
    assert np.allclose(unproject(uv, points[:, 2], SMALL), points)
    assert np.isnan(project(np.array([1.0, 2.0, 0.0]), SMALL)).all()
    depth = np.full((48, 64), 500.0)
    cloud = depth_to_points(depth, SMALL)
    assert cloud[10, 20] == pytest.approx(unproject(np.array([20, 10]), np.array(500.0), SMALL), rel=1e-5)
    with pytest.raises(ValueError):
        depth_to_points(depth[:5], SMALL)


def test_the_sphere_is_a_sphere() -> None:
    points = depth_to_points(moving_sphere(SMALL)(0.0).astype(np.float32), SMALL)
    on_sphere = points[points[..., 2] < 790]
    assert len(on_sphere) > 20
    assert np.linalg.norm(on_sphere - [80, 0, 450], axis=1) == pytest.approx(60, abs=0.01)


def test_frames_are_the_same_every_time_and_end() -> None:
    sensor = SyntheticSensor(intrinsics=SMALL, fps=20, duration_s=0.5)
    runs = []
    for _ in range(2):
        with sensor:
            runs.append([take(sensor) for _ in range(10)])
            with pytest.raises(EndOfStream):
                take(sensor)
    for a, b in zip(*runs, strict=True):
        assert np.array_equal(a.depth, b.depth) and a.device_time_s == b.device_time_s == pytest.approx(a.number / 20)
    assert not np.array_equal(runs[0][0].depth, runs[0][9].depth)


def test_depth_is_quantised_and_what_cannot_be_stored_is_unmeasured() -> None:
    image = np.full((48, 64), 500.04)
    image[0, :5] = [np.nan, np.inf, -3, 0, 1e9]
    with SyntheticSensor(lambda t: image, SMALL, depth_unit_mm=0.125) as sensor:
        depth = take(sensor).depth
    assert not depth[0, :5].any() and depth[1, 1] == 4000


def test_a_live_camera_keeps_time_and_loses_what_nobody_reads() -> None:
    with SyntheticSensor(intrinsics=SMALL, fps=50, live=True) as sensor:
        assert sensor.frame_count is None
        start = time.monotonic()
        numbers = [take(sensor, 1.0).number for _ in range(6)]
        assert numbers == sorted(set(numbers))
        assert time.monotonic() - start == pytest.approx(numbers[-1] / 50, abs=0.05)
        time.sleep(0.2)
        assert take(sensor, 1.0).number >= numbers[-1] + 9
    with SyntheticSensor(intrinsics=SMALL, fps=2, live=True) as sensor:
        take(sensor)
        start = time.monotonic()
        assert sensor.read(0.05) is None
        assert 0.04 < time.monotonic() - start < 0.2


def test_wrong_use_is_told() -> None:
    for options in ({"fps": 0}, {"depth_unit_mm": 0}, {"duration_s": 0.001}):
        with pytest.raises(SensorError):
            SyntheticSensor(**options)
    with SyntheticSensor(lambda t: np.zeros((5, 5)), SMALL) as sensor, pytest.raises(SensorError, match="intrinsics"):
        take(sensor)
