"""Stand-ins for a tracker and for sensors, with hands from the real skeleton."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from engine.fitting.state import KnownShape
from engine.hand.hand import HandModel
from engine.hand.skeleton import Skeleton
from engine.types import DepthFrame, HandGeometry, HandSurface, Intrinsics, Side, TrackingResult, TrackingState

CAMERA = Intrinsics(160, 120, 120.0, 120.0, 79.5, 59.5)


def make_frame(number: int = 0, host_time_s: float | None = None) -> DepthFrame:
    """A plane 500 mm away, a nearer square in its middle."""
    depth = np.full((CAMERA.height, CAMERA.width), 500, np.uint16)
    depth[40:80, 60:100] = 420
    arrival = time.monotonic() if host_time_s is None else host_time_s
    return DepthFrame(depth, 1.0, CAMERA, number, number / 30, arrival)


def open_hand(z_mm: float = 420.0) -> HandGeometry:
    """An open hand before the camera; its surface is a tetrahedron at each joint."""
    theta = torch.zeros(1, 26)
    theta[0, :3] = torch.tensor([0.0, 60.0, z_mm])
    with torch.no_grad():
        joints = Skeleton()(theta, torch.zeros(1, 20)).joints[0].numpy().astype(np.float32)
    corners = np.array([[8, 8, 8], [8, -8, -8], [-8, 8, -8], [-8, -8, 8]], np.float32)
    vertices = (joints[:, None] + corners).reshape(-1, 3)
    return HandGeometry.of(joints, HandSurface(vertices, joints.copy(), np.full(21, 9.0, np.float32)))


def tetrahedra() -> NDArray[np.int32]:
    """The triangles of open_hand()'s surface."""
    one = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int32)
    return (one[None] + 4 * np.arange(21, dtype=np.int32)[:, None, None]).reshape(-1, 3)


class FakeTracker:
    """Answers every frame with the same hand; remembers what was asked of it."""

    def __init__(self, state: TrackingState = TrackingState.TRACKING, sigma_mm: float | None = None) -> None:
        self.side: Side | None = None
        self.state = state
        self.smoothing: float | None = None
        self.resets = 0
        self.held: KnownShape | None = None
        self.tracked: list[int] = []
        self._hand = open_hand()
        self._sigma_mm = None if sigma_mm is None else np.full(21, sigma_mm, np.float32)

    @property
    def faces(self) -> NDArray[np.int32]:
        return tetrahedra()

    def track(self, frame: DepthFrame) -> TrackingResult:
        self.tracked.append(frame.number)
        if self.state is not TrackingState.TRACKING:
            return TrackingResult(frame, self.state)
        corners = np.array([[50, 30], [110, 30], [110, 90], [50, 90]], np.float32)
        return TrackingResult(
            frame,
            self.state,
            geometry=self._hand,
            joint_sigma_mm=self._sigma_mm,
            crop_corners_uv=corners,
            confidence=0.9,
        )

    def reset(self) -> None:
        self.resets += 1

    def hold(self, model: HandModel | None, shape: KnownShape | None = None) -> None:
        self.held = None if model is None else shape

    def set_smoothing(self, amount: float) -> None:
        self.smoothing = amount


class FakeSensor:
    """A camera at 100 fps under a test's control: fail_open and fail_read hold what the next open or read raises."""

    name = "fake camera"
    is_live = True
    frame_count: int | None = None
    fps = 100.0
    warnings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.fail_open: Exception | None = None
        self.fail_read: Exception | None = None
        self.opened = 0
        self.closed = 0
        self.number = 0
        self.skip = 0

    def open(self) -> None:
        if self.fail_open is not None:
            raise self.fail_open
        self.opened += 1

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        if self.fail_read is not None:
            raise self.fail_read
        time.sleep(min(timeout_s, 0.01))
        self.number += 1 + self.skip
        self.skip = 0
        return make_frame(self.number)

    def close(self) -> None:
        self.closed += 1


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        threading.Event().wait(0.005)
    return condition()
