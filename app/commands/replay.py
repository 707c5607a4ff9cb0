"""`replay TAKE`: play a take in the window, or track it again here and compare with the poses that were recorded."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.arguments import add_method, add_runner, add_weights
from engine.takes.words import counted
from engine.types import LumbricalError, Side, TrackingResult

if TYPE_CHECKING:
    from engine.takes.poses import PoseTable
    from engine.takes.reader import Take
    from engine.tracker import Tracker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("take", metavar="TAKE", help="a take (.mcap), also one that was cut off")
    parser.add_argument(
        "--headless", action="store_true", help="no window: track it again and compare with the recorded poses"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (implies --headless)")
    parser.add_argument("--hand", type=Path, metavar="FILE", help="your own hand's mesh, as for `track`")
    add_weights(parser)
    add_method(parser, "as recorded; in the window fit")
    add_runner(parser, "as recorded, where that can run here; in the window what suits the machine")


def run(args: argparse.Namespace) -> int:
    """Open the window on the take, or track it here; 0 when all of it could be read."""
    if not (args.headless or args.json):
        return _open_window(args)
    from engine.takes.reader import Take

    with Take(args.take) as take:
        if not take.frame_count:
            raise LumbricalError(f"{take.path} holds no frames: there is nothing to replay")
        tracker, runner = _tracker(args, take.info.settings or {})
        report = compare(take, tracker) | {"runner": runner}
        for line in take.damage:
            print(f"lumbrical: {take.path}: {line}", file=sys.stderr)
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else _as_text(report))
    return 0


def _open_window(args: argparse.Namespace) -> int:
    """What `run --source TAKE` does."""
    import app.commands.run as window

    parser = argparse.ArgumentParser()
    window.add_arguments(parser)
    given = {"hand": args.hand, "weights": args.weights, "method": args.method, "runner": args.runner}
    own = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return window.run(parser.parse_args([f"--source={args.take}", *own]))


def _tracker(args: argparse.Namespace, settings: Mapping[str, Any]) -> tuple[Tracker, str]:
    """What was asked for, else what the take was recorded with, and the name of its runner: full precision's where the
    recorded one can't run here, or not exactly."""
    from app.commands.track import make_tracker, tracker_by

    method = args.method or settings.get("method")
    make = partial(make_tracker, args.hand, args.weights, method if isinstance(method, str) else None, args.take)
    return (make(args.runner), args.runner) if args.runner else tracker_by(make, _recorded_runner(settings))


def _recorded_runner(settings: Mapping[str, Any]) -> str:
    from engine.runners.choose import FIRST_RUNNER, RUNNERS
    from engine.runners.int8 import int8_is_fast

    recorded = settings.get("runner", FIRST_RUNNER)
    trouble = ""
    if not isinstance(recorded, str) or recorded not in RUNNERS:
        trouble = "which is not known here"
    elif recorded == "int8" and not int8_is_fast():
        trouble = "in which this processor may not be exact"
    if not trouble:
        return recorded
    print(
        f"lumbrical: {RUNNERS[FIRST_RUNNER].title} tracks instead of {str(recorded)[:40]!r}, {trouble}", file=sys.stderr
    )
    return FIRST_RUNNER


def compare(take: Take, tracker: Tracker) -> dict[str, Any]:
    """Track the frames that have recorded poses (all, where none has) and say how far the two are apart.

    The tracker is started anew with each epoch, as it was while recording.
    """
    from tqdm import tqdm

    poses = take.poses()
    rows = {int(frame): row for row, frame in enumerate(poses.frame) if frame >= 0}
    _set_up(tracker, take)
    counts = {"frames": 0, "tracked": 0, "compared": 0, "identical": 0}
    apart: list[float] = []
    epoch = None
    for taken in tqdm(take.frames(color=False), total=take.frame_count, unit="frame", leave=False, disable=None):
        row = rows.get(taken.frame.number)
        if rows and row is None:
            continue
        if taken.epoch != epoch:
            tracker.reset()
            epoch = taken.epoch
        result = tracker.track(taken.frame)
        counts["frames"] += 1
        counts["tracked"] += result.geometry is not None
        if row is not None:
            counts["compared"] += 1
            counts["identical"] += is_identical(result, poses, row)
            if result.geometry is not None and poses.tracked[row]:
                apart.append(float(np.linalg.norm(result.geometry.joints - poses.joints_mm[row], axis=1).mean()))
    return {
        "path": str(take.path),
        "recorded_weights": sorted(set(poses.weights_version.tolist())),
        "weights": tracker.runner.version,
        "hand_only": take.info.hand_only,
        **counts,
        "mean_joint_distance_mm": round(float(np.mean(apart)), 4) if apart else None,
    }


def _set_up(tracker: Tracker, take: Take) -> None:
    """As it was while recording."""
    settings = take.info.settings or {}
    side, smoothing = settings.get("side"), settings.get("smoothing")
    tracker.side = take.info.side
    if take.info.settings is not None:
        tracker.side = Side(side) if side in ("right", "left") else None
    if isinstance(smoothing, int | float) and 0 <= smoothing <= 1:
        tracker.set_smoothing(smoothing)
    tracker.reset()


def is_identical(result: TrackingResult, poses: PoseTable, row: int) -> bool:
    """Whether a result is, bit for bit, the one that was recorded."""
    if result.state.value != poses.state[row] or result.side.value != poses.side[row]:
        return False
    hand, geometry = result.parameters, result.geometry
    pairs = (
        (hand.theta if hand else None, poses.theta),
        (hand.beta if hand else None, poses.beta),
        (hand.thickness if hand else None, poses.thickness),
        (geometry.joints if geometry else None, poses.joints_mm),
        (result.joint_sigma_mm, poses.joint_sigma_mm),
    )
    return all(
        np.isnan(recorded[row]).all() if now is None else now.astype(np.float32).tobytes() == recorded[row].tobytes()
        for now, recorded in pairs
    )


def _as_text(report: dict[str, Any]) -> str:
    line = f"{report['path']}: {counted(report['frames'], 'frame')} tracked again, a hand in {report['tracked']}"
    if not report["compared"]:
        return f"{line}; it holds no poses to compare with"
    line += f"; {report['identical']} of {counted(report['compared'], 'pose')} are bit for bit those that were recorded"
    if report["identical"] < report["compared"] and report["mean_joint_distance_mm"] is not None:
        line += f", joints {report['mean_joint_distance_mm']:.2f} mm apart on average"
    if report["hand_only"] and report["identical"] < report["compared"]:
        line += "; the recorded ones were made on whole images, of which the take holds the hand only"
    recorded = ", ".join(report["recorded_weights"])
    return line + (f" (recorded with {recorded}, now {report['weights']})" if recorded != report["weights"] else "")
