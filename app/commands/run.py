"""`python main.py run`, and `python main.py` alone: the app's window on a camera, a recording or the demo take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.arguments import add_method, add_profile, add_runner, add_weights, camera_fps, one_hand
from app.display import require_display
from app.interrupts import end_at_once
from app.runtime.tuning import loading
from app.start_times import StartTimes

if TYPE_CHECKING:
    from app.config import AppConfig
    from app.runtime.adaptation_worker import AdaptationWorker
    from app.runtime.interfaces import FrameTracker
    from app.runtime.profile_choice import ProfileChoice
    from app.runtime.session import LiveSession
    from app.runtime.sources import CameraSearch
    from app.runtime.tracker_choice import TrackerChoice, TrackerWish
    from app.viewer.render_process import RenderProcess
    from engine.runners.protocol import Progress


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
    parser.add_argument(
        "--fps",
        type=camera_fps,
        metavar="N",
        help="frames a second that a RealSense is asked for, from 5 to 300: the fastest that it has up to N, else its "
        "slowest (default: the settings' sensors.fps, which is 60 unless set)",
    )
    add_weights(parser)
    add_method(parser)
    add_runner(parser, default="onnx, and, once it tracks, what suits the machine best: docs/runners.md")
    add_profile(parser)
    parser.add_argument("--side", choices=("right", "left"), help="which of NAME's hands --profile is to hold")
    parser.add_argument("--exit-after", type=float, metavar="SECONDS", help="close the window after so many seconds")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="with --exit-after: write the window's picture before it closes"
    )
    parser.add_argument(
        "--time-start", action="store_true", help="close once a tracked hand is drawn; print when what came, as JSON"
    )
    parser.add_argument(
        "--adapt", action="store_true", help="learn your hand quietly from the start (a switch in the window does too)"
    )
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
    from app.config import DEMO_SOURCE, load_config
    from app.runtime.methods import DEFAULT_METHOD, method_named
    from app.runtime.sources import CameraSearch, camera_is_likely, check_source, list_sources
    from app.runtime.tracker_factory import limit_threads
    from app.take_profile import profile_for_source
    from app.viewer.render_process import RenderProcess
    from engine.methods.gaussian.weights_file import read_metadata

    times = StartTimes() if args.time_start else None
    config = load_config(args.config)
    one_hand(args.hand, args.profile)
    _check_side(args.side, args.profile)
    _check(args.exit_after, args.screenshot)
    _check_adapt(args)
    if args.weights is not None:
        read_metadata(args.weights)
    wanted = config.source if args.source is None else args.source
    if wanted is not None:
        check_source(wanted)
        config = replace(config, source=wanted)
    if method_named(args.method or DEFAULT_METHOD).needs_profile:
        profile_for_source(wanted or str(DEMO_SOURCE))
    require_display()
    end_at_once()
    limit_threads(config.tracking.threads)
    # Open3D and the drivers load in processes of their own, while this one loads torch and Qt.
    search = CameraSearch(list_sources) if wanted is None and camera_is_likely() else None
    begun = _Begun(RenderProcess(), search, times)
    if begun.search is not None:
        begun.search.start()
    try:
        with loading():
            return _open_window(args, config, wanted, begun)
    finally:
        begun.drawing.stop()


@dataclass(frozen=True)
class _Begun:
    """What works while the rest is loading. search: None where the window is to look for cameras later."""

    drawing: RenderProcess
    search: CameraSearch | None
    times: StartTimes | None


def _check_side(side: str | None, profile: str | None) -> None:
    from engine.types import LumbricalError

    if side is not None and profile is None:
        raise LumbricalError("--side says which hand of a --profile is held; without one, choose it in the window")


def _open_window(args: argparse.Namespace, config: AppConfig, wanted: str | None, begun: _Begun) -> int:
    """The slow part of run, once it is known that there will be a window."""
    from app.config import Isolated
    from app.runtime import runner_check
    from app.runtime.methods import DEFAULT_METHOD
    from app.runtime.profile_choice import ProfileChoice, find_profile
    from app.runtime.session import LiveSession
    from app.runtime.sources import choose_source, open_source
    from app.runtime.tracker_choice import TrackerChoice, TrackerWish
    from app.runtime.tracker_factory import make_tracker
    from app.ui.application import WindowRun, run_window
    from calibration.profiles import ProfileStore
    from engine.hand.imports import load_hand
    from engine.runners.choose import FIRST_RUNNER, REFERENCE, best_runner
    from engine.types import Side

    store, side = ProfileStore(args.profiles), Side(args.side) if args.side else None
    profile = None if args.profile is None else find_profile(store, args.profile, side)
    hand = load_hand(args.hand) if args.hand is not None else None
    sources = begun.search.wait() if begun.search is not None else None

    def make(wish: TrackerWish) -> FrameTracker:
        return make_tracker(config.tracking, hand, wish.weights, wish.method, wish.source, wish.runner)

    method = args.method or DEFAULT_METHOD
    runner = args.runner or config.tracking.runner
    # What has to be built first, or cannot run here, leaves the first one tracking.
    first = REFERENCE if runner == REFERENCE else FIRST_RUNNER
    wish = TrackerWish(args.weights, method, choose_source(wanted, sources or []), first)
    isolated = config.sensors.isolated if args.isolate is None else (Isolated.ALL if args.isolate else Isolated.NONE)
    fps = args.fps or config.sensors.fps
    session = LiveSession(partial(open_source, isolated=isolated, fps=fps), wish.source, lambda: make(wish))

    def check(wish: TrackerWish, progress: Progress) -> str:
        return runner_check.check_runner(wish.weights, wish.runner, progress)

    trackers = TrackerChoice(session, make, wish, check, None if runner else best_runner)
    profiles = ProfileChoice(session, store) if hand is None else None
    # Versions are of the shipped weights and surface; what is made of others would not be found again.
    adaptation = None
    if profiles is not None and args.weights is None:
        adaptation = _adaptation(session, profiles, trackers, lambda: make(trackers.used), args.adapt)
    if profiles is not None and profile is not None:
        profiles.use(profile)
    shown = WindowRun(args.exit_after, args.screenshot)
    if runner not in ("", first):
        trackers.choose_runner(runner)
    on_shown = None
    if begun.times is not None:
        session.tracking.add_listener(begun.times)
        on_shown = partial(begun.times.watch, session)
    status = run_window(session, config, sources, shown, None, on_shown, trackers, profiles, adaptation, begun.drawing)
    if begun.times is not None:
        begun.times.tell()
    return status


def _adaptation(
    session: LiveSession, profiles: ProfileChoice, trackers: TrackerChoice, begin: Callable[[], FrameTracker], on: bool
) -> AdaptationWorker:
    """What learns the hand of the profile that is held, or of whoever is there. begin: makes the session's tracker."""
    from app.runtime.adaptation_tracker import learning_of
    from app.runtime.adaptation_worker import AdaptationWorker

    learning = partial(learning_of, begin=begin, profiles=profiles.store.folder, runner=lambda: trackers.used.runner)
    worker = AdaptationWorker(session, *learning(None))
    worker.set_on(on)
    profiles.changed = lambda held: worker.follow(*learning(held))
    first = trackers.used

    def in_place(used: TrackerWish) -> bool:
        """Whether versions are of what is used: other weights, or another method, are chosen instead of them."""
        return (used.weights, used.method) == (first.weights, first.method)

    # Another runner is to run the version in use.
    trackers.changed = lambda used: worker.renew() if in_place(used) else None
    trackers.replaced = lambda: worker.holds and in_place(trackers.used)
    return worker


def _check_adapt(args: argparse.Namespace) -> None:
    from engine.types import LumbricalError

    if args.adapt and (args.weights is not None or args.hand is not None):
        raise LumbricalError("--adapt starts from the shipped weights and surface: leave out --weights and --hand")


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
    if exit_after is None:
        raise LumbricalError("--screenshot is taken when --exit-after closes the window: name the seconds")
