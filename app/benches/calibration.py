"""`python main.py bench calibration`: how right a calibration session is on rendered people whose bones are known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from app.arguments import add_weights
from engine.types import LumbricalError

USERS, FRAMES = 8, 300
#: What has to be reached, mm: over all bones and people, and of the worst person.
MEAN_GOAL_MM, WORST_GOAL_MM = 2.0, 3.5
INTERVAL_GOAL = (0.85, 0.95)


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    parser = kinds.add_parser(
        "calibration", help="bone lengths of rendered people, by calibration sessions", description=run.__doc__
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--users", type=int, default=USERS, help=f"rendered people (default: {USERS})")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each person (default: {FRAMES})")
    parser.add_argument("--seed", type=int, help="of the first person (default: people whom no constant was set on)")
    parser.add_argument(
        "--recorded", type=Path, nargs="+", metavar="FOLDER", help="solve for the users of these recordings instead"
    )
    add_weights(parser)


def run(args: argparse.Namespace) -> int:
    """Render people of another surface and camera than training's, hold a calibration session with each, headless, and
    compare the bones with the truth; then track further frames of each with and without the profile. Half a minute of
    processor time for each person. Of recordings, whose users' bones nobody knows: how much nearer to the depth the
    solved hand lies than the mean one, and whether two halves of the frames tell the same hand.
    """
    if not (1 <= args.users <= 200 and 10 <= args.frames <= 2000):
        raise LumbricalError("--users must be from 1 to 200 and --frames from 10 to 2000")
    if args.seed is not None and not 0 <= args.seed < 2**31:
        raise LumbricalError("--seed must be a whole number from 0 up")
    if args.recorded:
        found = _recorded(args.recorded, args.weights)
        print(json.dumps(found, indent=2, allow_nan=False) if args.json else _recorded_table(found))
        return 0
    report = _measure(args.users, args.frames, args.seed, args.weights)
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else as_table(report))
    return 0


def _recorded(folders: list[Path], weights: Path | None) -> list[dict[str, Any]]:
    from calibration.recorded import measure_recorded
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.onnx_runner import OnnxRunner
    from engine.tracker import Tracker

    tracker = Tracker(runner=OnnxRunner(load_weights(weights or DEFAULT_WEIGHTS)))
    found = []
    for folder in folders:
        user = measure_recorded(folder, tracker)
        before, after = float(user.before_mm.mean()), float(user.after_mm.mean())
        bones = {"stated": user.stated_mm, "solved": user.solved_mm, "mean_hand": user.mean_hand_mm}
        found.append(
            {
                "name": folder.resolve().name, "weights": tracker.runner.version, "frames": len(user.before_mm),
                "residual_before_mm": before, "residual_after_mm": after, "change": after / before - 1,
                "other_half_mm": None if user.other_half_mm is None else float(user.other_half_mm.mean()),
                "halves_apart_mm": user.halves_apart_mm,
                "bones_mm": {name: mm.tolist() for name, mm in bones.items() if mm is not None},
            }
        )  # fmt: skip
    return found


def _recorded_table(found: list[dict[str, Any]]) -> str:
    """The report on recordings for people."""
    from engine.types import FINGERS

    lines = []
    for one in found:
        lines.append(
            f"{one['name']}, {one['frames']} frames, {one['weights']}: depth residual "
            f"{one['residual_before_mm']:.2f} mm with the mean hand, {one['residual_after_mm']:.2f} mm solved "
            f"({100 * one['change']:+.0f} %)"
        )
        if (apart := one["halves_apart_mm"]) is not None:
            lines.append(
                f"  solved from the other half of the frames {one['other_half_mm']:.2f} mm; the two halves' bones are "
                f"{apart:.2f} mm apart"
            )
        bones = one["bones_mm"]
        if bones:
            off = {
                name: sum(abs(a - b) for a, b in zip(bones[name], bones["stated"], strict=True)) / len(bones["stated"])
                for name in ("solved", "mean_hand")
            }
            lines.append(
                f"  bones in the label set's convention, mm: solved ones differ from those stated by "
                f"{off['solved']:.1f} on average, the mean hand's by {off['mean_hand']:.1f}"
            )
            for number, finger in enumerate(FINGERS):
                solved, stated = (
                    " ".join(f"{mm:5.1f}" for mm in bones[name][4 * number : 4 * number + 4])
                    for name in ("solved", "stated")
                )
                lines.append(f"  {finger:8} solved {solved}   stated {stated}")
    return "\n".join(lines)


def _measure(users: int, frames: int, seed: int | None, weights: Path | None) -> dict[str, Any]:
    from tqdm import tqdm

    from calibration.evaluation import REPORT_SEED, measure_person, summary
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.onnx_runner import OnnxRunner

    runner = OnnxRunner(load_weights(weights or DEFAULT_WEIGHTS))
    first = REPORT_SEED if seed is None else seed
    people = []
    with tqdm(total=users, unit="person", leave=False, disable=None, file=sys.stderr) as bar:
        for number in range(first, first + users):
            people.append(measure_person(number, frames, runner))
            bar.update(1)
    return {"frames_each": frames, "first_seed": first, "weights": runner.version} | summary(people)


def as_table(report: dict[str, Any]) -> str:
    """The report for people."""
    from calibration.estimate import BONE_NAMES

    low, high = INTERVAL_GOAL
    lines = [
        f"rendered people of another surface and camera than training's: {report['people']}, seeds from "
        f"{report['first_seed']}, {report['frames_each']} frames each, {report['weights']}",
        "",
        f"bone lengths, mean error          mean hand {report['mean_hand_bone_error_mm']:.2f} mm, single frames' fits "
        f"averaged {report['per_frame_fits_bone_error_mm']:.2f} mm, session {report['session_bone_error_mm']:.2f} mm "
        f"(goal {MEAN_GOAL_MM:g})",
        f"worst person                      {report['worst_person_mm']:.2f} mm (goal {WORST_GOAL_MM:g})",
        f"bones in their 90 % interval      {100 * report['in_90_percent_interval']:.1f} % (goal {100 * low:g} to "
        f"{100 * high:g})",
        f"joints of further frames          {report['joint_error_free_mm']:.2f} mm, with the profile "
        f"{report['joint_error_with_profile_mm']:.2f} mm",
        f"depth residual, frames held out   mean hand {report['residual_before_mm']:.2f} mm, session "
        f"{report['residual_after_mm']:.2f} mm",
        f"longest session                   {report['longest_session_s']:.1f} s, without reading its frames",
        "",
        f"{'bone':26}{'error':>7}{'bias':>7}{'± sd':>7}{'in 90 %':>9}",
    ]
    bones = report["per_bone"]
    for index, name in enumerate(BONE_NAMES):
        numbers = [bones[key][index] for key in ("error_mm", "bias_mm", "sd_mm", "in_90_percent_interval")]
        lines.append(f"{name:26}{numbers[0]:7.2f}{numbers[1]:7.2f}{numbers[2]:7.2f}{100 * numbers[3]:8.0f}%")
    return "\n".join(lines)
