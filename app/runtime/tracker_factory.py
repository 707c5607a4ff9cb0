"""Makes the tracker for a live session, with as many threads as leave the window and the sensor room."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from app.config import TrackingConfig
from app.runtime.interfaces import FrameTracker
from engine.hand.template import HandTemplate
from engine.runners.protocol import Runner


def thread_count(wanted: int) -> int:
    """Threads for the networks: what was asked for, else half the cores, at least one and at most four."""
    return wanted or max(1, min(4, (os.cpu_count() or 2) // 2))


def limit_threads(wanted: int) -> None:
    """Tell libraries that start thread pools on import how many threads to take; call before they are imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(thread_count(wanted)))
    cv2.setNumThreads(thread_count(wanted))


def make_runner(weights: Path | None = None) -> Runner:
    """A runner of the shipped weights or other ones, for whoever must not share the tracker's. LumbricalError as in
    make_tracker."""
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.onnx_runner import OnnxRunner

    return OnnxRunner(load_weights(weights or DEFAULT_WEIGHTS))


def make_tracker(config: TrackingConfig, hand: HandTemplate | None = None, weights: Path | None = None) -> FrameTracker:
    """The tracker with the shipped weights or other ones, and the user's own hand, if any; slow, so it belongs on the
    tracking thread.

    Errors: LumbricalError when weights are missing or of another version.
    """
    import torch

    from engine.hand.hand import HandModel
    from engine.tracker import Tracker

    torch.set_num_threads(thread_count(config.threads))
    tracker: FrameTracker = Tracker(runner=make_runner(weights), model=HandModel(hand))
    tracker.set_smoothing(config.smoothing)
    return tracker
