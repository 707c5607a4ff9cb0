"""The tracker that `run` would have, for benches of what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.arguments import add_runner

if TYPE_CHECKING:
    from app.config import TrackingConfig
    from app.runtime.interfaces import FrameTracker


def add_runner_as_run(parser: argparse.ArgumentParser) -> None:
    """Declare --runner, a name of RUNNERS or None."""
    add_runner(parser, default="what `run` comes to by itself")


def tracker_as_run(config: TrackingConfig, runner: str | None = None) -> tuple[Callable[[], FrameTracker], str]:
    """What makes the tracker, and the name of its runner: for None that which suits this machine best."""
    from app.runtime.tracker_factory import make_tracker
    from engine.runners.choose import best_runner

    name = runner or best_runner()
    return lambda: make_tracker(config, runner=name), name
