"""Small takes for tests."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from engine.takes.facts import TakeInfo
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import (
    DepthFrame,
    HandGeometry,
    HandParameters,
    HandSurface,
    Intrinsics,
    Side,
    TrackingResult,
    TrackingState,
)

CAMERA = Intrinsics(64, 48, 48.0, 48.0, 32.0, 24.0)
#: Chunks so small that a short take has many, on a disk of any size.
SMALL_CHUNKS = WriterConfig(chunk_bytes=20_000, min_free_bytes=0)


def make_frame(number: int, color: bool = False, camera: Intrinsics = CAMERA) -> DepthFrame:
    """Noise between 500 and 600 mm, another one for each number."""
    rng = np.random.default_rng(number)
    shape = (camera.height, camera.width)
    depth = rng.integers(500, 600, shape, np.uint16)
    depth[:4] = 0
    picture = np.full((*shape, 3), (200, 40, 90), np.uint8) if color else None
    return DepthFrame(depth, 0.9999999, camera, number, number / 30, time.monotonic(), color=picture)


def make_result(frame: DepthFrame, tracked: bool = True) -> TrackingResult:
    """A hand of random numbers, with a zero that is negative and a value that is tiny."""
    if not tracked:
        return TrackingResult(frame, TrackingState.SEARCHING, message="no hand in view", weights_version="test-1")
    rng = np.random.default_rng(frame.number)
    theta, beta, thickness = (rng.normal(0, 100, size).astype(np.float32) for size in (26, 20, 6))
    theta[3:6] = -0.0, 1e-42, np.float32(1) / np.float32(3)
    points = rng.normal(0, 40, (21, 3)).astype(np.float32) + np.array([0, 0, 550], np.float32)
    return TrackingResult(
        frame=frame,
        state=TrackingState.TRACKING,
        side=Side.LEFT,
        parameters=HandParameters(theta, beta, thickness, 0.75),
        geometry=HandGeometry.of(points, HandSurface(points, points, np.ones(21, np.float32))),
        joint_sigma_mm=rng.random(21).astype(np.float32),
        crop_corners_uv=np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32),
        confidence=0.75,
        residual_mm=1.25,
        stage_ms={"fit": 1.5},
        weights_version="test-1",
    )


def write_take(
    path: Path, frames: int = 20, *, color: bool = False, info: TakeInfo | None = None, poses: bool = True
) -> Path:
    """A closed take; every third frame has no hand."""
    writer = TakeWriter(path, info or TakeInfo(fps=30, side=Side.LEFT, user="Ann"), SMALL_CHUNKS, by_device_clock=True)
    for number in range(frames):
        frame = make_frame(number, color)
        writer.write_frame(frame)
        if poses:
            writer.write_pose(make_result(frame, tracked=number % 3 != 2), latency_s=0.01)
    writer.write_event("adaptation.step", {"loss": 0.5})
    writer.close()
    return writer.path
