"""Clips of a moving hand whose joints are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.skeleton import Skeleton
from engine.takes.motion import Motion
from engine.types import FloatArray, HandParameters, Side

Array = NDArray[np.float64]
#: Lost at the start, in the middle and at the end.
LOST = (0, 1, 7, 8, 9, 23)


def joints_of(theta: FloatArray, beta: FloatArray, side: Side) -> Array:
    """(N, 21, 3) mm in the camera frame, on the hand's own side."""
    pose = Skeleton(torch.float64)(torch.tensor(theta), torch.tensor(np.array(beta)))
    return pose.joints.numpy() * ([-1, 1, 1] if side is Side.LEFT else [1, 1, 1])


def moving_hand(
    side: Side = Side.RIGHT,
    frames: int = 24,
    lost: tuple[int, ...] = LOST,
    changing: bool = True,
    thickness: float = 1.0,
) -> Motion:
    """A hand that closes and turns by more than half a circle about every axis, at 30 frames a second.

    changing: its shape changes with every frame. thickness: scale of its flesh.
    """
    random = np.random.default_rng(5)
    way = np.linspace(0, 1, frames)
    theta = np.zeros((frames, 26))
    theta[:, :3] = np.array([20.0, -30, 500]) + np.outer(way, [50, 30, -80])
    theta[:, 3:6] = np.outer(way, [2.5, 3.4, -4])
    theta[:, 6:] = 0.1 * random.normal(size=20) + np.outer(way, np.tile([1.5, 0.2, 1.8, 1.1], 5))
    drift = way if changing else np.zeros(frames)
    beta = 0.8 * random.normal(size=20) + np.outer(drift, random.normal(size=20))
    flesh = thickness * (random.normal(size=6) + np.outer(drift, np.ones(6)))
    tracked = np.ones(frames, np.bool_)
    tracked[[number for number in lost if number < frames]] = False
    return Motion(
        side=side,
        device_time_s=1000.0 + np.arange(frames) / 30,
        tracked=tracked,
        theta=theta,
        beta=beta,
        thickness=flesh,
        joints_mm=joints_of(theta, beta, side),
        joint_sigma_mm=np.abs(random.normal(3, 1, (frames, 21))),
        frame_number=np.arange(frames) + 100,
    )


def fields_of(motion: Motion) -> dict[str, Any]:
    """What Motion takes, to make another one from, its arrays writeable."""
    values = {name: getattr(motion, name) for name in Motion.__dataclass_fields__}
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def parameters_of(motion: Motion, frame: int) -> HandParameters:
    """What a tracker would have said of a frame."""
    theta, beta, thickness = (a[frame].astype(np.float32) for a in (motion.theta, motion.beta, motion.thickness))
    return HandParameters(theta, beta, thickness, 0.9)


def y_up(joints: NDArray[np.floating]) -> Array:
    """From the camera frame to that of BVH and glTF."""
    return np.asarray(joints * np.array([1.0, -1.0, -1.0]))
