"""Makes the tracker for a live session, with as many threads as leave the window and the sensor room."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from app.config import TrackingConfig
from app.runtime.interfaces import FrameTracker
from app.runtime.methods import DEFAULT_METHOD, TrackerParts, method_named
from app.take_profile import profile_for_source
from engine.hand.template import HandTemplate
from engine.runners.choose import FIRST_RUNNER


def thread_count(wanted: int) -> int:
    """Threads for the networks: what was asked for, else half the cores, at least one and at most four."""
    return wanted or max(1, min(4, (os.cpu_count() or 2) // 2))


def limit_threads(wanted: int) -> None:
    """Tell libraries that start thread pools on import how many threads to take; call before they are imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(thread_count(wanted)))
    cv2.setNumThreads(thread_count(wanted))


def make_tracker(
    config: TrackingConfig,
    hand: HandTemplate | None = None,
    weights: Path | None = None,
    method: str = DEFAULT_METHOD,
    source: str = "",
    runner: str = FIRST_RUNNER,
) -> FrameTracker:
    """The tracker with the shipped weights or other ones, and the user's own hand, if any; slow, so it belongs on the
    tracking thread. source: what is tracked, for methods that ask whose hand it is. runner: a name of RUNNERS.

    Errors: LumbricalError when weights are missing or of another version, the method cannot track that source, or the
    runner cannot run here.
    """
    import torch

    torch.set_num_threads(thread_count(config.threads))
    chosen = method_named(method)
    profile = profile_for_source(source) if chosen.needs_profile else None
    tracker: FrameTracker = chosen.make(TrackerParts(weights, hand, profile, runner))
    tracker.set_smoothing(config.smoothing)
    return tracker
