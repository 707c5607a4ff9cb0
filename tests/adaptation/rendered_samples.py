"""Tracked frames of rendered users, for tests of what adaptation takes and refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from engine.adaptation.samples import Sample, sample_of
from engine.evaluation.rendered_user import RenderedUser, TrueFrame, user_of_length
from engine.tracker import Tracker
from engine.types import DepthFrame, Side, TrackingResult

Spoil = Callable[[DepthFrame], DepthFrame]


@cache
def frames(seed: int, deviations: float, seconds: float, fps: float = 6.0) -> tuple[TrueFrame, ...]:
    """Frames of one user."""
    return tuple(RenderedUser(user_of_length(seed, deviations)).frames(seconds, 3, fps))


def tracked(shown: tuple[TrueFrame, ...], spoil: Spoil = lambda frame: frame) -> list[TrackingResult]:
    """What the tracker makes of frames, each spoiled first."""
    tracker = Tracker()
    tracker.side = Side.RIGHT
    tracker.reset()
    return [tracker.track(spoil(one.frame), one.joints.mean(0)) for one in shown]


@cache
def samples(seed: int, deviations: float, seconds: float, start_s: float = 0.0) -> tuple[Sample, ...]:
    """Samples of a user's clean frames, their clock beginning at start_s."""
    found = (sample_of(result) for result in tracked(frames(seed, deviations, seconds)))
    return tuple(replace(one, time_s=one.time_s + start_s) for one in found if one is not None)


def half_covered(frame: DepthFrame) -> DepthFrame:
    """Something over the left half of the lens: nothing is measured there."""
    depth = frame.depth.copy()
    depth[:, : depth.shape[1] // 2] = 0
    return replace(frame, depth=depth)


def board_before(frame: DepthFrame) -> DepthFrame:
    """A board before the lower part of the hand, 60 mm nearer than all of it."""
    depth = frame.depth.copy()
    nearest = depth[depth > 0].min() if (depth > 0).any() else 3000
    middle = depth.shape[0] // 2
    depth[middle - 30 : middle + 40, 40:150] = np.uint16(max(1, int(nearest) - round(60 / frame.depth_unit_mm)))
    return replace(frame, depth=depth)


def ball_instead(frame: DepthFrame) -> DepthFrame:
    """A ball of 90 mm where the hand was."""
    size = frame.depth.shape[0]
    distance = 450.0
    camera = frame.intrinsics
    v, u = np.mgrid[:size, :size]
    aside = np.hypot((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy) * distance
    depth = np.where(aside < 45, distance - np.sqrt(np.maximum(45.0**2 - aside**2, 0)), 0)
    return replace(frame, depth=np.rint(depth / frame.depth_unit_mm).astype(np.uint16))
