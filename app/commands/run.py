"""`python main.py run`, and `python main.py` alone: the app's window on a camera, a recording or the demo take."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from app.arguments import add_weights
from app.display import require_display
from app.interrupts import end_at_once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument(
        "--source",
        metavar="SPEC",
        help="camera or recording (default: a camera, else the demo take); faulty:FAULTS:SPEC is one that misbehaves "
        "on purpose, such as faulty:unplug,stall:demo (docs/faults.md)",
    )
    parser.add_argument(
        "--isolate",
        action=argparse.BooleanOptionalAction,
        help="read the source in a process of its own, where a driver that hangs can be ended (default: cameras only)",
    )
    add_weights(parser)
    parser.add_argument("--exit-after", type=float, metavar="SECONDS", help="close the window after so many seconds")
    parser.add_argument("--screenshot", type=Path, metavar="FILE", help="write the window's picture before it closes")
    parser.add_argument(
        "--hand", type=Path, metavar="FILE", help="your own hand's mesh: .glb, or .npz from tools/convert_mano.py"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings in TOML, which docs/settings.md lists; options here override them",
    )


def run(args: argparse.Namespace) -> int:
    """Open the window; 0 when it was closed. LumbricalError on what the user can mend, before any window opens."""
    from app.config import Isolated, load_config
    from app.runtime.sources import check_source, choose_source, list_sources, open_source
    from app.runtime.tracker_factory import limit_threads, make_tracker

    config = load_config(args.config)
    _check(args.exit_after, args.screenshot)
    wanted = config.source if args.source is None else args.source
    if wanted is not None:
        check_source(wanted)
    require_display()
    end_at_once()
    limit_threads(config.tracking.threads)

    from app.runtime.interfaces import FrameTracker
    from app.runtime.session import LiveSession
    from app.runtime.tracker_choice import TrackerChoice
    from app.ui.application import WindowRun, run_window
    from engine.hand.imports import load_hand

    hand = load_hand(args.hand) if args.hand is not None else None
    sources = list_sources()

    def make(weights: Path | None) -> FrameTracker:
        return make_tracker(config.tracking, hand, weights)

    isolated = config.sensors.isolated if args.isolate is None else (Isolated.ALL if args.isolate else Isolated.NONE)
    session = LiveSession(
        partial(open_source, isolated=isolated), choose_source(wanted, sources), lambda: make(args.weights)
    )
    shown = WindowRun(args.exit_after, args.screenshot)
    return run_window(session, config, sources, shown, trackers=TrackerChoice(session, make, args.weights))


def _check(exit_after: float | None, screenshot: Path | None) -> None:
    from engine.types import LumbricalError

    if exit_after is not None and not 0 <= exit_after <= 86_400:
        raise LumbricalError(f"--exit-after must be from 0 to 86400 seconds, not {exit_after}")
    if screenshot is None:
        return
    if screenshot.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise LumbricalError(f"--screenshot {screenshot}: the name must end in .png or .jpg")
    if screenshot.is_dir():
        raise LumbricalError(f"--screenshot {screenshot} is a folder: give a file name")
    if not screenshot.parent.is_dir():
        raise LumbricalError(f"--screenshot {screenshot}: there is no folder {screenshot.parent}; make it first")
