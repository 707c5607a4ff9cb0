"""Frames as the detector sees them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.localise.frames import INPUT_HEIGHT, INPUT_WIDTH, downsample
from engine.types import DepthFrame, Intrinsics


def frame_of(width: int, height: int, fx: float, fy: float | None = None) -> DepthFrame:
    """Every pixel's depth tells its column and row."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    depth = (columns + 1000 * (rows % 60)).astype(np.uint16)
    camera = Intrinsics(width, height, fx, fy or fx, width / 2 - 0.5, height / 2 - 0.5)
    return DepthFrame(depth, 1.0, camera, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("size", "filled"),
    [((320, 240), (160, 120)), ((640, 480), (160, 120)), ((848, 480), (160, 90)), ((160, 120), (160, 120)),
     ((640, 576), (133, 120)), ((100, 60), (160, 96)), ((480, 640), (90, 120))],
)  # fmt: skip
def test_any_size_fits_with_its_aspect(size: tuple[int, int], filled: tuple[int, int]) -> None:
    frame = frame_of(*size, fx=0.8 * size[0])
    small, focal, _ = downsample(frame)
    assert small.shape == (INPUT_HEIGHT, INPUT_WIDTH)
    assert small.dtype == np.float32
    outside = np.ones_like(small, bool)
    outside[: filled[1], : filled[0]] = False
    assert (small[outside] == 0).all()
    assert np.count_nonzero(small) > 0.9 * filled[0] * filled[1]
    assert focal == pytest.approx(0.8 * filled[0], rel=0.01)


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (848, 480), (640, 576)])
def test_a_pixel_keeps_its_ray(size: tuple[int, int]) -> None:
    frame = frame_of(*size, fx=400.0, fy=404.0)
    small, focal, principal = downsample(frame)
    for v, u in ((5, 7), (40, 100), (80, 30)):
        value = int(small[v, u])
        column, row = value % 1000, value // 1000
        camera = frame.intrinsics
        # Sampling takes the nearest pixel: half a pixel of the frame is as near as it gets.
        assert (u - principal[0]) / focal == pytest.approx((column - camera.cx) / camera.fx, abs=0.6 / camera.fx)
        height = round(((v - principal[1]) / focal * camera.fy + camera.cy - row) / 60) * 60
        assert (v - principal[1]) / focal == pytest.approx((row + height - camera.cy) / camera.fy, abs=0.6 / camera.fy)


def test_depth_comes_in_millimetres() -> None:
    frame = frame_of(320, 240, 250.0)
    scaled = DepthFrame(frame.depth, 0.125, frame.intrinsics, 0, 0.0, 0.0)
    np.testing.assert_allclose(downsample(scaled)[0], downsample(frame)[0] / 8)
