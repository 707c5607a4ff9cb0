"""`python main.py bench smoothing`: how steady a still hand is and how late a moving one, by amount of smoothing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.plots import check_plot_path, write_figure
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.evaluation.smoothing import Recordings
    from engine.tracker import Tracker

STILL_S = 10.0
MOVING_S = 2.0
#: What the default amount has to reach: standard deviation of joints of a still hand, and lag at 1 m/s.
JITTER_GOAL_MM = 1.0
LAG_GOAL_MS = 25.0


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    parser = kinds.add_parser(
        "smoothing", help="jitter of a still hand against lag of a moving one", description=run.__doc__
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--seconds", type=float, default=STILL_S, help=f"how long each hand is held still (default: {STILL_S:g})"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the curve to a .png, .svg or .pdf")


def run(args: argparse.Namespace) -> int:
    """Track rendered hands, with sensor noise drawn anew for each frame, and run the filter over them at amounts of
    smoothing from 0 to 1: the standard deviation of joint positions while the hand is held still, and how late joints
    are while it moves at up to 1 m/s. Lag is the tracker's own; a camera's and a screen's come on top. Takes about a
    minute of processor time.
    """
    from engine.evaluation.smoothing import UNSMOOTHED, smoothing_report
    from engine.tracker import Tracker

    if not 0.5 <= args.seconds <= 600:
        raise LumbricalError("--seconds must be from 0.5 to 600")
    if args.plot is not None:
        check_plot_path(args.plot)
    tracker = Tracker(UNSMOOTHED)
    report = {"seconds": args.seconds} | smoothing_report(_record(tracker, args.seconds), tracker.model)
    if args.plot is not None:
        _write_curve(args.plot, report)
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else as_table(report))
    return 0


def _record(tracker: Tracker, seconds: float) -> Recordings:
    from tqdm import tqdm

    from engine.evaluation.moving_hand import FPS, moving_scenes, still_scenes
    from engine.evaluation.smoothing import Recordings, track

    plan = [(scene, seconds) for scene in still_scenes()], [(scene, MOVING_S) for scene in moving_scenes()]
    total = sum(round(FPS * length) for part in plan for _, length in part)
    with tqdm(total=total, unit="frame", desc="smoothing", leave=False, disable=None, file=sys.stderr) as bar:
        still, moving = (
            [track(scene, tracker, length, lambda: bar.update(1) and None) for scene, length in part] for part in plan
        )
    return Recordings(still, moving, tracker.runner.version)


def as_table(report: dict[str, Any]) -> str:
    """The report for people."""
    default = f"smoothed ({report['default_amount']:g})"
    lines = [
        f"held still for {report['seconds']:g} s: standard deviation of joint positions, mm, mean and worst joint",
        f"{'':22}{'camera':18}{'tracked':>9}  {'as read':>13}  {default:>15}",
    ]
    for row in report["still"]:
        cells = [f"{part['mean_mm']:.2f}  {part['worst_joint_mm']:5.2f}" for part in (row["as_read"], row["smoothed"])]
        lines.append(_row(row, cells))
    lines += ["", "moving: lag, ms, and mean joint error, mm"]
    for row in report["moving"]:
        cells = [f"{part['lag_ms']:.1f}  {part['error_mm']:5.1f}" for part in (row["as_read"], row["smoothed"])]
        lines.append(_row(row, cells))
    lines += ["", f"{'smoothing':<16}{'jitter':>8}{'worst joint':>13}{'lag at 1 m/s':>14}{'longest lag':>13}"]
    for row in report["amounts"]:
        name = f"{row['amount']:.1f}" + (" (default)" if row["amount"] == report["default_amount"] else "")
        lines.append(
            f"{name:<16}{row['jitter_mm']:8.2f}{row['worst_joint_mm']:13.2f}{row['lag_ms']:14.1f}"
            f"{row['longest_lag_ms']:13.1f}"
        )
    lines += [
        "",
        f"rendered images, {report['frames_per_s']:g} frames/s, sensor noise of strength {report['noise_strength']:g},"
        f" {report['weights']}",
        "jitter and worst joint: mm, in the pose that has most; longest lag: ms, of all motions but the slow one",
    ]
    return "\n".join(lines)


def _row(row: dict[str, Any], cells: list[str]) -> str:
    tracked = f"{row['frames_tracked']}/{row['frames']}"
    return f"{row['name']:22}{row['camera']:18}{tracked:>9}  {cells[0]:>13}  {cells[1]:>15}"


def _write_curve(path: Path, report: dict[str, Any]) -> None:
    """Jitter against lag, a point for each amount, the default's marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = report["amounts"]
    lags = [row["lag_ms"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(7.5, 4.8), layout="constrained")
    for key, label in (("jitter_mm", "mean of the joints"), ("worst_joint_mm", "worst joint")):
        (line,) = axes.plot(lags, [row[key] for row in rows], "o-", markersize=4, label=label)
        at = next(row for row in rows if row["amount"] == report["default_amount"])
        axes.plot(at["lag_ms"], at[key], "o", markersize=11, fillstyle="none", color=line.get_color())
    for row in rows:
        axes.annotate(
            f"{row['amount']:g}", (row["lag_ms"], row["worst_joint_mm"]), (4, 5), textcoords="offset points", fontsize=8
        )
    axes.axhline(JITTER_GOAL_MM, color="grey", linestyle=":")
    axes.axvline(LAG_GOAL_MS, color="grey", linestyle=":")
    axes.set(
        xlabel="lag at 1 m/s, ms",
        ylabel="standard deviation while still, mm",
        xlim=(-0.5, max(LAG_GOAL_MS + 2, *(lag + 1 for lag in lags))),
        ylim=(0, None),
        title=f"Smoothing 0 to 1, default {report['default_amount']:g} ringed; rendered hands, worst pose",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        write_figure(path, figure)
    finally:
        pyplot.close(figure)
