"""`track SOURCE`: follow a hand in a camera or a recording, in the window or headless into numbers."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from app.arguments import HEADLESS_RUNNER, add_method, add_profile, add_runner, add_weights, one_hand, seconds
from app.compiling import load_loops
from app.interrupts import terminated_in_order
from app.results_file import ResultsWriter, check_results_path, result_record, results_file
from engine.runners.choose import FIRST_RUNNER, RUNNERS, cpu_runner
from engine.sensors.playback import Playback
from engine.sensors.protocol import EndOfStream, Sensor, SensorDisconnected
from engine.takes.words import counted
from engine.types import DepthFrame, LumbricalError, Side, TrackingResult, TrackingState

if TYPE_CHECKING:
    from engine.tracker import Tracker

#: tqdm stays silent for work that is over within this time, and (disable=None) where stderr is no terminal.
_QUIET_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a recording or sequence folder, or a camera as `doctor` lists it"
    )
    parser.add_argument(
        "--headless", action="store_true", help="no window: a file as fast as possible, a camera until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a frame (implies --headless)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .npz or .jsonl (implies --headless)")
    parser.add_argument(
        "--hand", type=Path, metavar="FILE", help="your own hand's mesh: .glb, or .npz from tools/convert_mano.py"
    )
    add_weights(parser)
    add_method(parser)
    add_runner(parser, default=f"{HEADLESS_RUNNER}; in the window as `run`")
    add_profile(parser)
    parser.add_argument("--adapt", action="store_true", help="in the window: learn your hand quietly")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--seconds", type=seconds, help="stop after this long (implies --headless)")
    parser.add_argument(
        "--side", choices=("right", "left", "either"), help="the hand to look for (default: as SOURCE says)"
    )


def run(args: argparse.Namespace) -> int:
    """Open the window on the source, or track it here; 0 when all went well."""
    one_hand(args.hand, args.profile)
    if not (args.headless or args.json or args.out is not None or args.seconds is not None):
        return _open_window(args)
    if args.adapt:
        raise LumbricalError("--adapt learns while a window is open: leave out what makes this run headless")
    if args.out is not None:
        check_results_path(args.out, args.force)
    sensor = open_sensor(args.source)
    # A sensor can hold a temporary file too: an older recording, converted.
    with terminated_in_order(), sensor:
        for warning in sensor.warnings:
            print(f"lumbrical: warning: {warning}", file=sys.stderr)
        make = partial(make_tracker, args.hand, args.weights, args.method, args.source)
        tracker, _ = suited_tracker(sensor, make, args.runner, args.weights)
        tracker.side = _side(args.side, sensor)
        if args.profile is not None:
            _hold_profile(tracker, args.profile, args.profiles)
        tracker.reset()
        return _track_all(sensor, tracker, args)


def _open_window(args: argparse.Namespace) -> int:
    """What `run --source SOURCE` does."""
    import app.commands.run as window

    if args.side is not None:
        raise LumbricalError("--side is for tracking without a window: add --headless")
    parser = argparse.ArgumentParser()
    window.add_arguments(parser)
    given = {
        "hand": args.hand,
        "weights": args.weights,
        "method": args.method,
        "runner": args.runner,
        "profile": args.profile,
        "profiles": args.profiles,
    }
    own = [f"--{name}={value}" for name, value in given.items() if value is not None]
    own += ["--adapt"] if args.adapt else []
    return window.run(parser.parse_args([f"--source={args.source}", *own]))


def open_sensor(source: str) -> Sensor:
    """The sensor that SOURCE names, not opened yet: the one the window would play, without a player's pace and loop."""
    from app.runtime.sources import open_source

    found = open_source(source)
    # What the app plays are sensors; the type it declares names only the part that its capture thread uses.
    return found.sensor if isinstance(found, Playback) else cast(Sensor, found)


def make_tracker(
    hand: Path | None = None,
    weights: Path | None = None,
    method: str | None = None,
    source: str = "",
    runner: str = FIRST_RUNNER,
) -> Tracker:
    """The tracker the app uses, with the user's own hand and weights, if any. source: what is tracked, for methods that
    ask whose hand it is; runner: a name of RUNNERS. LumbricalError when a file cannot be loaded, the method cannot
    track that source, or the runner cannot run here."""
    from app.runtime.methods import DEFAULT_METHOD, TrackerParts, method_named
    from app.take_profile import profile_for_source
    from engine.hand.imports import load_hand

    chosen = method_named(method or DEFAULT_METHOD)
    profile = profile_for_source(source) if chosen.needs_profile else None
    return chosen.make(TrackerParts(weights, load_hand(hand) if hand is not None else None, profile, runner))


def suited_tracker(
    sensor: Sensor, make: Callable[[str], Tracker], runner: str | None = None, weights: Path | None = None
) -> tuple[Tracker, str]:
    """What `make` makes for the name of a runner, and that name: the one that is asked for, else this processor's
    default for a camera, with which it has to keep up, and full precision for a recording, which has all the time."""
    if sensor.is_live:
        load_loops()
    if runner is not None:
        return make(runner), runner
    return tracker_by(make, cpu_runner(weights) if sensor.is_live else FIRST_RUNNER)


def tracker_by(make: Callable[[str], Tracker], runner: str) -> tuple[Tracker, str]:
    """What `make` makes for the name of a runner that nobody asked for, and that name: where it cannot run here, that
    of full precision, as stderr then says."""
    try:
        return make(runner), runner
    except LumbricalError as error:
        if runner == FIRST_RUNNER:
            raise
        tracker = make(FIRST_RUNNER)
        print(f"lumbrical: {RUNNERS[FIRST_RUNNER].title} tracks instead of {runner}: {error}", file=sys.stderr)
        return tracker, FIRST_RUNNER


def _hold_profile(tracker: Tracker, user: str, folder: Path | None) -> None:
    """Hold the hand of a user's profile, of the side that is tracked, or of the only one."""
    from app.runtime.profile_choice import find_profile
    from calibration.profiles import ProfileStore
    from calibration.tracking import personal_hand

    profile = find_profile(ProfileStore(folder), user, tracker.side)
    tracker.side = profile.side
    tracker.hold(*personal_hand(profile.build))


def _side(asked: str | None, sensor: Sensor) -> Side | None:
    if asked is None:
        return sensor.side
    return None if asked == "either" else Side(asked)


@dataclass
class _Counts:
    """What was tracked. passed_over: gaps in a camera's numbering, of frames that came while others were tracked; those
    of a recording's were lost when it was made."""

    live: bool
    frames: int = 0
    tracked: int = 0
    passed_over: int = 0
    last: int | None = None

    def add(self, result: TrackingResult) -> None:
        """Count a frame."""
        number = result.frame.number
        if self.live and self.last is not None:
            self.passed_over += max(0, number - self.last - 1)
        self.last = number
        self.frames += 1
        self.tracked += result.state is TrackingState.TRACKING


def _track_all(sensor: Sensor, tracker: Tracker, args: argparse.Namespace) -> int:
    """Track every frame; a camera that vanishes or is stopped (Ctrl-C, SIGTERM) leaves what it gave until then."""
    from tqdm import tqdm

    counts = _Counts(sensor.is_live)
    lost: SensorDisconnected | None = None
    start_s = time.monotonic()
    output: AbstractContextManager[ResultsWriter | None] = (
        results_file(args.out) if args.out is not None else nullcontext()
    )
    with (
        output as file,
        tqdm(
            total=sensor.frame_count,
            unit="frame",
            desc="track",
            delay=_QUIET_S,
            leave=False,
            disable=None,
            file=sys.stderr,
        ) as bar,
    ):
        try:
            for frame in _frames(sensor, args.seconds):
                result = tracker.track(frame)
                counts.add(result)
                _deliver(result, file, args.json)
                bar.update(1)
        except SensorDisconnected as error:
            lost = error
        except KeyboardInterrupt:
            if not sensor.is_live:
                raise
        if file is not None and sensor.is_live and not counts.frames:
            # A file that was there is worth more than one without a frame.
            raise lost or LumbricalError(f"{sensor.name} sent no picture: nothing was written to {args.out}")
    elapsed_s = time.monotonic() - start_s
    print(_summary(sensor.name, counts, elapsed_s, args.out), file=sys.stderr if args.json else sys.stdout)
    if lost is not None:
        raise lost
    return 0


def _frames(sensor: Sensor, seconds: float | None) -> Iterator[DepthFrame]:
    end_s = time.monotonic() + (seconds if seconds is not None else math.inf)
    while time.monotonic() < end_s:
        try:
            frame = sensor.read()
        except EndOfStream:
            return
        if frame is not None:
            yield frame


def _deliver(result: TrackingResult, file: ResultsWriter | None, as_json: bool) -> None:
    if file is None and not as_json:
        return
    record = result_record(result)
    if file is not None:
        file.add(record)
    if as_json:
        print(json.dumps(record, allow_nan=False), flush=True)


def _summary(name: str, counts: _Counts, elapsed_s: float, out: Path | None) -> str:
    share = f" ({100 * counts.tracked / counts.frames:.0f} %)" if counts.frames else ""
    passed_over = f" ({counts.passed_over} passed over)" if counts.live else ""
    rate = f"{counts.frames / elapsed_s:.0f}" if elapsed_s > 0 else "-"
    written = f"; written to {out}" if out is not None else ""
    frames = f"{counted(counts.frames, 'frame')}{passed_over}"
    return f"{name}: {frames}, {counts.tracked} tracked{share}, {rate} frames/s{written}"
