"""Frames of a hand of known build in known poses, as a camera without noise sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calibration.frames import Build, CalibrationFrame
from calibration.poses import CATALOGUE, GuidedPose, posed_hand, shown_frame
from calibration.solver import ShapeSolver


def shown_frames(
    solver: ShapeSolver, build: Build, poses: Sequence[GuidedPose] = CATALOGUE, seed: int = 0, off: float = 0.05
) -> list[CalibrationFrame]:
    """One frame a pose; the encoder's estimate of it is off by `off` radians and 100 * off mm."""
    random = np.random.default_rng(seed)
    frames = []
    for pose in poses:
        frame = shown_frame(posed_hand(pose, build), solver, build)
        start = replace(
            frame.start,
            translation=frame.start.translation + 100 * off * random.normal(size=3),
            articulation=frame.start.articulation + off * random.normal(size=20),
            beta=np.zeros(20),
            thickness=np.zeros(6),
        )
        points = frame.points + 100 * off * random.normal(size=(21, 3))
        frames.append(replace(frame, start=start, points=points))
    return frames
