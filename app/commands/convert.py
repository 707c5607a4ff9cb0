"""`convert SOURCE --out TARGET`: any recording into a take, a sequence folder or a RealSense file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from app.interrupts import terminated_in_order
from app.runtime.describe import described
from app.tracked_take import TakeContents, tracker_for, write_tracked
from engine.sensors.protocol import Sensor
from engine.takes.convert.frames import Converted, all_frames
from engine.takes.convert.targets import Target, check_target, whole_target
from engine.takes.words import counted
from engine.types import DepthFrame, LumbricalError

if TYPE_CHECKING:
    from engine.takes.poses import PoseTable

#: What only a take has: the options' names, for those that are set.
_FOR_TAKES = ("no_track", "side", "hand")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a take (.mcap), RealSense .db3 or .bag, Azure Kinect .mkv, or sequence folder"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="TARGET",
        help="what to write: NAME.mcap (a take), NAME.db3 (RealSense), or NAME (a sequence folder)",
    )  # fmt: skip
    parser.add_argument(
        "--no-color",
        action="store_true",
        help="depth only, also where SOURCE has colour (`record` takes it only with --color)",
    )
    parser.add_argument("--no-track", action="store_true", help="a take of images only, without poses")
    parser.add_argument(
        "--joints", action="store_true", help="with a sequence folder: the take's poses too, as joints_mm.npy"
    )
    parser.add_argument(
        "--side", choices=("right", "left", "either"), help="the hand to look for (default: as SOURCE says)"
    )
    parser.add_argument("--hand", type=Path, metavar="FILE", help="your own hand's mesh, as for `track`")
    parser.add_argument("--force", action="store_true", help="replace TARGET if it exists")


def run(args: argparse.Namespace) -> int:
    """Convert all of it and return 0, or leave nothing behind."""
    from app.runtime.sources import open_any

    target = check_target(args.out, args.force)
    _check_options(args, target)
    source = Path(args.source)
    if source.suffix.lower() == ".bag" and target is Target.REALSENSE:
        return _renew_bag(source, args)
    sensor = open_any(args.source, color=not args.no_color)
    if sensor.is_live:
        raise LumbricalError(
            f"{args.source} is a camera: `python main.py record {args.source} --out FILE.mcap` records it"
        )
    _check_pair(source, target, args.out)
    with terminated_in_order(), sensor:
        poses = _poses(source) if args.joints else None
        with whole_target(args.out, args.force) as work:
            done = _convert(sensor, work, target, args, poses)
        for line in (*sensor.warnings, *done.not_kept):
            print(f"lumbrical: warning: {line}", file=sys.stderr)
        total = sensor.frame_count
    of_all = "" if total == done.frames else f" of {total}"
    print(f"{args.out}: {done.frames}{of_all} frame{'s' if total != 1 else ''}")
    return 0


def _check_options(args: argparse.Namespace, target: Target) -> None:
    if args.joints and target is not Target.FOLDER:
        raise LumbricalError("--joints is for sequence folders: give --out a name without an ending")
    if target is not Target.TAKE:
        for name in _FOR_TAKES:
            if getattr(args, name):
                raise LumbricalError(f"--{name.replace('_', '-')} is for takes: end the name of --out in .mcap")
    if args.no_track and (args.side or args.hand):
        raise LumbricalError("--side and --hand are for tracking: leave --no-track out")


def _check_pair(source: Path, target: Target, out: Path) -> None:
    """Raise LumbricalError for a conversion that could only lose something."""
    if source.exists() and out.exists() and out.samefile(source):
        raise LumbricalError(f"--out {out} is what is to be converted: choose another name")
    same_kind = source.is_dir() if target is Target.FOLDER else source.suffix.lower() == target.value
    if same_kind and target is not Target.TAKE:
        kind = "a sequence folder" if target is Target.FOLDER else f"a {target.value} file"
        raise LumbricalError(f"{source} is {kind} already: copy it")


def _poses(source: Path) -> PoseTable:
    from engine.takes.names import is_take
    from engine.takes.reader import Take

    if not is_take(source):
        raise LumbricalError(f"--joints: only takes hold poses: `convert {source} --out FILE.mcap` makes one with them")
    with Take(source) as take:
        poses = take.poses()
    if not len(poses):
        raise LumbricalError(f"--joints: {source} holds no poses: `convert {source} --out FILE.mcap` tracks it")
    return poses


def _convert(
    sensor: Sensor, work: Path, target: Target, args: argparse.Namespace, poses: PoseTable | None
) -> Converted:
    """Write all frames to `work`."""
    from tqdm import tqdm

    from engine.takes.convert.folder import write_folder
    from engine.takes.convert.realsense import write_db3

    with tqdm(
        all_frames(sensor), total=sensor.frame_count, unit="frame", desc="convert", leave=False, disable=None
    ) as frames:
        if target is Target.TAKE:
            return _write_take(sensor, frames, work, args)
        if target is Target.FOLDER:
            return write_folder(sensor, frames, work, origin=described(sensor), poses=poses)
        return write_db3(sensor, frames, work, origin=described(sensor))


def _write_take(sensor: Sensor, frames: Iterable[DepthFrame], work: Path, args: argparse.Namespace) -> Converted:
    from engine.takes.writer import TakeWriter

    wishes = TakeContents(track=not args.no_track, side=args.side, hand=args.hand)
    tracker = tracker_for(sensor, wishes)
    weights = tracker.runner.version if tracker is not None else ""
    writer = TakeWriter(work, wishes.info(sensor, wishes.side_in(sensor), weights), by_device_clock=True)
    try:
        write_tracked(writer, frames, tracker)
    finally:
        receipt = writer.close("converted")
    return Converted(receipt.frames_written)


def _renew_bag(source: Path, args: argparse.Namespace) -> int:
    """From the older RealSense format to the newer one: the SDK does that itself, and keeps all streams."""
    from engine.takes.convert.realsense import renew_bag

    with terminated_in_order(), whole_target(args.out, args.force) as work:
        frames = renew_bag(source, work)
    print(f"{args.out}: {counted(frames, 'depth frame')}, and all else that {source} holds")
    return 0
