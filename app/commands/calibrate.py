"""`calibrate SOURCE --user NAME`: learn the shape of a user's hand from a recording or a camera, without a window."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import add_profiles_folder, add_weights, frame_count, seconds
from app.commands.track import make_tracker, open_sensor
from app.interrupts import interrupts_told, terminated_in_order
from engine.fitting.kinematics import Kinematics
from engine.sensors.protocol import EndOfStream, Sensor, SensorDisconnected
from engine.takes.words import counted
from engine.types import DepthFrame, Side

if TYPE_CHECKING:
    from calibration.collecting import Collection
    from calibration.poses import GuidedPose
    from calibration.profiles import Profile, ProfileStore
    from calibration.session import Outcome
    from engine.tracker import Tracker

_FRAMES = 150
_QUIET_S = 2.0
#: In so many words: the new shape should not take the old one's place, and was not saved.
EXIT_NO_BETTER = 1
#: So many poses, and so many reasons why frames are to be taken again, are named as advice.
_NAMED, _REASONS = 3, 1
#: A profile whose bones are surer than a new one's by more than this stays.
_LESS_SURE = 1.25
#: Held-out frames that a profile may be replaced by.
_FEWEST_HELD_OUT = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("source", metavar="SOURCE", help="a recording or sequence folder, or a camera")
    parser.add_argument("--user", required=True, metavar="NAME", help="whose hand it is: the profile's name")
    parser.add_argument(
        "--frames", type=frame_count, default=_FRAMES, metavar="N", help=f"to learn from, at most (default: {_FRAMES})"
    )
    parser.add_argument("--side", choices=("right", "left"), help="the hand to learn (default: the one that is seen)")
    parser.add_argument("--seconds", type=seconds, help="stop reading after this long")
    add_profiles_folder(parser)
    parser.add_argument("--dry-run", action="store_true", help="tell what was learnt, write nothing")
    parser.add_argument(
        "--force",
        action="store_true",
        help="save it even where it is no better, less sure, or another hand than what is there",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_weights(parser)


@dataclass(frozen=True)
class _Learnt:
    """What a source told of a hand. old: the profile there is. objection: why the new one should not take its place.
    next_poses: what would tell most, where bones stayed unsure. seconds: of solving."""

    take: Collection
    profile: Profile
    outcome: Outcome
    old: Profile | None
    objection: str
    next_poses: list[GuidedPose]
    seconds: float


def run(args: argparse.Namespace) -> int:
    """Track the source, choose frames, solve, compare with the old profile on frames held out, and save.

    Returns 0 when the profile was saved, EXIT_NO_BETTER when the new one was no better, of another hand, or less sure.
    """
    from calibration.profiles import ProfileStore, checked_name

    store = ProfileStore(args.profiles)
    checked_name(args.user)
    with interrupts_told("no profile was written"):
        learnt = _learn(store, args)
    profile = learnt.profile
    saved = previous = None
    if not args.dry_run and (args.force or not learnt.objection):
        previous = store.keep_previous(profile.user, profile.side) if learnt.old is not None else None
        saved = store.save(profile)
    report = _report(learnt, saved, previous)
    print(json.dumps(report, allow_nan=False) if args.json else as_text(report))
    return 0 if saved is not None or args.dry_run else EXIT_NO_BETTER


def _learn(store: ProfileStore, args: argparse.Namespace) -> _Learnt:
    from calibration.collecting import learnt_profile

    sensor = open_sensor(args.source)
    with terminated_in_order(), sensor:
        for warning in sensor.warnings:
            print(f"lumbrical: warning: {warning}", file=sys.stderr)
        if args.side and sensor.side is not None and Side(args.side) is not sensor.side:
            print(
                f"lumbrical: warning: the recording says that it shows a {sensor.side.value} hand: it is taken for a "
                f"{args.side} one",
                file=sys.stderr,
            )
        tracker = make_tracker(weights=args.weights)
        tracker.side = Side(args.side) if args.side else sensor.side
        tracker.reset()
        take = _collect(sensor, tracker, args)
    side, session = take.chosen()
    old = store.find(args.user, side)
    if old is not None:
        session.old = old.build
    start_s = time.monotonic()
    outcome = session.solve()
    profile = learnt_profile(args.user, side, outcome, sensor.name)
    why_not = objection(profile, outcome, old)
    seconds_taken = time.monotonic() - start_s
    poses = session.next_poses()[:_NAMED] if outcome.estimate.undetermined() else []
    return _Learnt(take, profile, outcome, old, why_not, poses, seconds_taken)


def _collect(sensor: Sensor, tracker: Tracker, args: argparse.Namespace) -> Collection:
    """Track every frame and offer it to the session of its hand's side."""
    from tqdm import tqdm

    from calibration.collecting import Collection
    from calibration.session import SessionConfig

    take = Collection(SessionConfig(frames=args.frames, candidates=2 * args.frames))
    with tqdm(
        total=sensor.frame_count, unit="frame", desc="calibrate", delay=_QUIET_S, leave=False, disable=None,
        file=sys.stderr,
    ) as bar:  # fmt: skip
        for frame in _frames(sensor, args.seconds):
            bar.update(1)
            if sensor.fps == 0:
                tracker.reset()  # single pictures: where the hand was in the last one says nothing
            result = tracker.track(frame)
            shown = take.read(result, tracker.runner)
            if shown is not None:
                take.offer(shown, result)
    return take


def _frames(sensor: Sensor, seconds: float | None) -> Iterator[DepthFrame]:
    """Until the source's end; a camera's until it vanishes or Ctrl-C, which only ends the reading."""
    end_s = time.monotonic() + (seconds if seconds is not None else math.inf)
    try:
        while time.monotonic() < end_s:
            frame = sensor.read()
            if frame is not None:
                yield frame
    except (EndOfStream, SensorDisconnected):
        return
    except KeyboardInterrupt:
        if not sensor.is_live:
            raise


def objection(profile: Profile, outcome: Outcome, old: Profile | None) -> str:
    """Why a profile should not take the place of what is there, in words; nothing where it should."""
    from calibration.estimate import ONE_HAND_MM

    if not outcome.better:
        return "no better than " + _compared_with(old)
    if old is None:
        return ""
    if outcome.held_out < _FEWEST_HELD_OUT:
        return (
            f"only {counted(outcome.held_out, 'frame')} to compare it with the old profile by, {_FEWEST_HELD_OUT} are "
            "needed: record longer"
        )
    kinematics = Kinematics()
    known, new = old.estimate(kinematics), profile.estimate(kinematics)
    apart = float(abs(known.lengths_mm - new.lengths_mm).mean())
    if apart > ONE_HAND_MM:
        return f"it is another hand than the old profile's, bones {apart:.1f} mm apart"
    if new.sd_mm.mean() > _LESS_SURE * known.sd_mm.mean():
        return "less sure than the old profile, which has seen more of the hand"
    return ""


def _compared_with(old: Profile | None) -> str:
    return "the old profile" if old is not None else "the mean hand"


def _report(learnt: _Learnt, saved: Path | None, previous: Path | None) -> dict[str, Any]:
    from calibration.estimate import BONE_NAMES

    take, profile, outcome = learnt.take, learnt.profile, learnt.outcome
    estimate = outcome.estimate
    rows = zip(BONE_NAMES, estimate.lengths_mm.tolist(), estimate.sd_mm.tolist(), strict=True)
    return {
        "user": profile.user,
        "side": profile.side.value,
        "frames": take.frames,
        "verdicts": dict(take.verdicts),
        "advice": [reason for reason, _ in take.reasons.most_common()],
        "frames_learnt_from": estimate.frames,
        "frames_held_out": outcome.held_out,
        "bones_mm": {name: {"length": length, "sd": sd} for name, length, sd in rows},
        "undetermined": list(estimate.undetermined()),
        "next_poses": [{"name": pose.name, "how": pose.instruction} for pose in learnt.next_poses],
        "compared_with": _compared_with(learnt.old),
        "residual_before_mm": outcome.before_mm if math.isfinite(outcome.before_mm) else None,
        "residual_after_mm": outcome.after_mm if math.isfinite(outcome.after_mm) else None,
        "better": outcome.better,
        "seconds": learnt.seconds,
        "profile": str(saved) if saved is not None else None,
        "objection": learnt.objection,
        "previous": str(previous) if previous is not None else None,
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for people."""
    from calibration.estimate import WITHIN_MM

    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in report["verdicts"].items())
    before, after = (_mm(report[f"residual_{when}_mm"]) for when in ("before", "after"))
    unsure = report["undetermined"]
    lines = [
        f"{report['user']}'s {report['side']} hand: {counted(report['frames'], 'frame')} ({verdicts}), learnt from "
        f"{report['frames_learnt_from']} in {report['seconds']:.1f} s",
        *(f"{name:26}{bone['length']:6.1f} ± {bone['sd']:.1f} mm" for name, bone in report["bones_mm"].items()),
        f"every bone is within ± {WITHIN_MM:g} mm"
        if not unsure
        else f"not within ± {WITHIN_MM:g} mm: {', '.join(unsure)}",
        *(f'advice: show "{pose["name"]}": {pose["how"]}' for pose in report["next_poses"]),
        *(f"advice: {reason}" for reason in report["advice"][: _REASONS if unsure else 0]),
        f"median depth residual of {counted(report['frames_held_out'], 'frame')} held out: {report['compared_with']} "
        f"{before}, new {after}",
    ]
    if report["profile"] is not None:
        lines.append(f"saved: {report['profile']}")
        if report["previous"] is not None:
            lines.append(
                f"the old profile is taken back by: python main.py profiles import {report['previous']} --force"
            )
    else:
        lines.append("not saved" + (f": {report['objection']} (--force saves it)" if report["objection"] else ""))
    return "\n".join(lines)


def _mm(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} mm"
