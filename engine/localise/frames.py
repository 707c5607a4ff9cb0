"""Whole depth frames as the hand detector sees them: 160 x 128 pixels, sampled, not averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.types import DepthFrame, Intrinsics

#: The detector's weights and this program must agree on this: the network's inputs, outputs and their meaning.
DETECTOR_VERSION = 1
#: The network's input; 4:3 frames fill 120 of the rows.
INPUT_WIDTH, INPUT_HEIGHT = 160, 128
_FRAME_WIDTH, _FRAME_HEIGHT = 160, 120
#: Input pixels per cell of the network's output.
STRIDE = 4
#: The palm's centre is the mean of these joints: the wrist and the four knuckles.
PALM_JOINTS = [0, 5, 9, 13, 17]

Array = NDArray[np.float32]


def downsample(frame: DepthFrame) -> tuple[Array, float, Array]:
    """The frame as the network sees it: (128, 160) mm, its focal length, and its principal point (2,), in its pixels.

    Where pixels are not square the vertical scale differs, so that the picture has one focal length.
    """
    camera = frame.intrinsics
    height, width = frame.depth.shape
    scale = min(_FRAME_WIDTH / width, _FRAME_HEIGHT * camera.fy / (height * camera.fx), _FRAME_HEIGHT / height)
    columns, rows = _ticks(width, scale), _ticks(height, scale * camera.fx / camera.fy)
    small = np.zeros((INPUT_HEIGHT, INPUT_WIDTH), np.float32)
    rows, columns = rows[:INPUT_HEIGHT], columns[:INPUT_WIDTH]
    small[: len(rows), : len(columns)] = frame.depth[np.ix_(rows, columns)] * np.float32(frame.depth_unit_mm)
    principal = _principal(camera, scale)
    return small, camera.fx * scale, principal


def _ticks(size: int, scale: float) -> NDArray[np.intp]:
    """Which of `size` pixels are sampled: the middle one of each new pixel."""
    count = max(1, int(size * scale + 1e-6))
    return np.minimum(((np.arange(count) + 0.5) / scale).astype(np.intp), size - 1)


def _principal(camera: Intrinsics, scale: float) -> Array:
    """The principal point after sampling; pixel centres are at whole numbers in both."""
    down = scale * camera.fx / camera.fy
    return np.array([(camera.cx + 0.5) * scale - 0.5, (camera.cy + 0.5) * down - 0.5], np.float32)
