"""`evaluate FOLDER…`: measure the tracker against labelled recordings, or predictions in files against true joints."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import add_runner, add_weights
from app.evaluation_columns import RECORDINGS, RENDERED, WHERE_EXPLAINED, columns_in_words
from app.interrupts import interrupts_told
from app.plots import check_plot_path, write_figure
from engine.types import Intrinsics, LumbricalError

if TYPE_CHECKING:
    from engine.evaluation.measure import FrameTracker, Measured

_NO_LABELS = (
    "no labels (joints_mm.npy, palm_uv.npy or joints_uv_2d.npy): measured are only tracked, unoccluded, MDPC and "
    "residual"
)
#: How frames without a result count, by the columns' titles; the report says it by its own keys.
_UNTRACKED = "means and medians run over tracked frames; <20mm and palm<45 count untracked frames as misses"
_FRACTIONS = ("within_20mm", "palm_within_45mm")
#: tqdm stays silent for work that is over within this time, and (disable=None) where stderr is no terminal.
_QUIET_S = 2.0
#: No image is as wide, no lens as long.
_MOST_PIXELS = 1e5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = columns_in_words()
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="a sequence folder with its labels")
    parser.add_argument(
        "--rendered", action="store_true", help="measure the encoder on its rendered test sets instead of on folders"
    )
    add_weights(parser)
    add_runner(parser, "onnx, with which figures are the same everywhere")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument(
        "--gt-crop",
        action="store_true",
        help="crop around the labels' centre, as the papers do, not around the hand found",
    )
    parser.add_argument(
        "--smoothing",
        type=_amount,
        metavar="0-1",
        help="0 measures each frame's own pose (default: as the tracker does live)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write curves (and per-joint bars) to a .png, .svg or .pdf"
    )
    _add_file_arguments(parser.add_argument_group("compare joints in files (.npz, .npy, or what track --out wrote)"))


def _add_file_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--predictions",
        action="append",
        metavar="FILE[:KEY]",
        help="predicted joints (frames, joints, 3); all arrays of an .npz without KEY; may be repeated",
    )
    group.add_argument("--ground-truth", metavar="FILE[:KEY]", help="true joints of the same frames")
    group.add_argument(
        "--intrinsics",
        type=_intrinsics,
        metavar="FX,FY,CX,CY",
        help="camera, in pixels, of arrays whose name or file's name ends in uvd (known for files named nyu…)",
    )
    group.add_argument(
        "--second-subject",
        type=int,
        metavar="FRAME",
        help="first frame of another person: also tell the two apart by bone lengths (F1 of k-means)",
    )


def _intrinsics(text: str) -> Intrinsics:
    try:
        fx, fy, cx, cy = (float(number) for number in text.split(","))
    except ValueError:
        fx = fy = cx = cy = math.nan
    if not (min(fx, fy) >= 1 and max(fx, fy, abs(cx), abs(cy)) <= _MOST_PIXELS):
        raise argparse.ArgumentTypeError(f"{text} is not fx,fy,cx,cy in pixels, as 588.03,587.07,320,240")
    # The image's size is not known, and joints do not need it.
    return Intrinsics(1, 1, fx, fy, cx, cy)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Track all frames of all folders, or read predictions, print how far they are from their labels, and return 0."""
    with interrupts_told("not all was measured, so there are no figures"):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    if _names_files(args):
        return _run_files(args)
    if args.rendered:
        return _run_rendered(args)
    if not args.folders:
        raise LumbricalError(
            "evaluate needs a FOLDER to measure on, --rendered, or --predictions and --ground-truth; "
            "see main.py evaluate --help"
        )
    from engine.evaluation.measure import open_recordings
    from engine.evaluation.report import evaluate

    if args.plot is not None:
        check_plot_path(args.plot)
    recordings = open_recordings(args.folders, args.gt_crop)
    if args.plot is not None and all(recording.labels.joints_mm is None for recording in recordings):
        raise LumbricalError(
            "--plot draws errors of joints, and there is no joints_mm.npy to measure them by: leave it out"
        )
    tracker = make_tracker(args.smoothing, args.weights, args.runner)
    from tqdm import tqdm

    total = sum(recording.frame_count for recording in recordings)
    with tqdm(
        total=total, unit="frame", desc="evaluate", delay=_QUIET_S, leave=False, disable=None, file=sys.stderr
    ) as bar:
        report, measured = evaluate(recordings, tracker, args.gt_crop, lambda: bar.update(1) and None)
    if args.plot is not None:
        _write_plot(args.plot, report, measured)
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else as_table(report))
    return 0


def _names_files(args: argparse.Namespace) -> bool:
    options = (args.predictions, args.ground_truth, args.intrinsics, args.second_subject)
    return any(option is not None for option in options)


def _run_files(args: argparse.Namespace) -> int:
    if args.folders or args.rendered or args.gt_crop or args.smoothing is not None:
        raise LumbricalError(
            "--predictions and --ground-truth compare files and track nothing: no folders, no --rendered, --gt-crop or "
            "--smoothing"
        )
    if args.predictions is None or args.ground_truth is None:
        raise LumbricalError("files are compared by --predictions FILE and --ground-truth FILE: give both")
    from app.comparison import as_table as comparison_table
    from app.comparison import write_curves
    from engine.evaluation.compare import compare

    if args.plot is not None:
        check_plot_path(args.plot)
    report = compare(args.predictions, args.ground_truth, args.intrinsics, args.second_subject)
    if args.plot is not None:
        write_curves(args.plot, report)
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else comparison_table(report))
    return 0


def _run_rendered(args: argparse.Namespace) -> int:
    if args.folders or args.gt_crop or args.plot is not None or args.smoothing is not None:
        raise LumbricalError("--rendered stands alone: no folders, no --gt-crop, --plot or --smoothing")
    from tqdm import tqdm

    from engine.evaluation.rendered import evaluate_rendered, test_configs
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.choose import FIRST_RUNNER, make_runner
    from engine.training.config import ENCODER_CONFIG, load_config

    config = load_config(ENCODER_CONFIG)
    total = config.test_images * len(test_configs(config))
    with tqdm(total=total, unit="frame", desc="evaluate", leave=False, disable=None, file=sys.stderr) as bar:
        runner = make_runner(load_weights(args.weights or DEFAULT_WEIGHTS), args.runner or FIRST_RUNNER)
        report = evaluate_rendered(runner, config, lambda: bar.update(1) and None)
    if args.json:
        print(json.dumps(report, indent=2, allow_nan=False))
        return 0
    print(rendered_table(report))
    return 0


def rendered_table(report: dict[str, Any]) -> str:
    """The report on the rendered test sets for people."""
    lines = [f"{'':6}" + "  ".join(f"{one.title:>{one.width}}" for one in RENDERED)]
    for name, row in report["test_sets"].items():
        uncertainty = row["uncertainty"]
        cells = [str(row["frames"])]
        cells += [_cell(key, row[f"{key}_joint_error_mm"]) for key in ("mean", "median", "finger")]
        cells += [_percent(uncertainty["within_90"][group]) for group in ("all", "seen", "hidden")]
        cells.append(_cell("radius", uncertainty["interval_90_median_mm"]))
        figures = "  ".join(f"{cell:>{one.width}}" for cell, one in zip(cells, RENDERED, strict=True))
        lines.append(f"{name:6}{figures}")
    lines.append("")
    lines += [f"{name}: {row['what']}" for name, row in report["test_sets"].items()]
    lines.append(
        "in 90 %: joints within the 90 % interval of their expected error, 90 % when calibrated; seen, hidden: the "
        "same\nof joints the camera sees and of hidden ones; radius: of that interval, median; lengths in mm"
    )
    return "\n".join(lines)


def make_tracker(smoothing: float | None, weights: Path | None = None, runner: str | None = None) -> FrameTracker:
    """The tracker the app uses; smoothing 0 to 1, None as it is by itself; runner: a name of RUNNERS, None for full
    precision. Raises LumbricalError without weights, or where the runner cannot run here."""
    from app.commands.track import make_tracker as tracker_with
    from engine.runners.choose import FIRST_RUNNER

    tracker = tracker_with(weights=weights, runner=runner or FIRST_RUNNER)
    if smoothing is not None:
        tracker.set_smoothing(smoothing)
    return tracker


def as_table(report: dict[str, Any]) -> str:
    """The report for people: one row a recording, one for all, per-joint means below."""
    keys = [(one.key, one.width) for one in RECORDINGS if one.key]
    names = [*report["sequences"], *(["all"] if len(report["sequences"]) > 1 else [])]
    width = max(9, *(len(name) for name in names))
    lines = [f"{'':{width}}  " + "  ".join(f"{one.title:>{one.width}}" for one in RECORDINGS)]
    for name in names:
        row = report["sequences"].get(name, report)
        cells = "  ".join(f"{_cell(key, row[key]):>{size}}" for key, size in keys)
        lines.append(f"{name:{width}}  {row['frames_tracked']:>5}/{row['frames']:<5}  {cells}")
    joints = {name: error for name, error in report["per_joint_error_mm"].items() if error is not None}
    if joints:
        text = "mean error of each joint, mm: " + ", ".join(f"{n} {e:.1f}" for n, e in joints.items())
        lines += ["", *textwrap.wrap(text, 110)]
    lines.append("")
    for name, row in report["sequences"].items():
        convention = f"joints as in {row['joint_convention']}" if row["joint_convention"] else "no 3D labels"
        labels = f"; labels: {row['labels'] or 'not described'}" if row["joint_convention"] else ""
        side = f"{row['side_given']} hand, as sequence.json says" if row["side_given"] else "either hand"
        lines.append(f"{name}: {row['images']} images, {side}, {convention}{labels}")
        if not row["label_files"]:
            lines.append(f"{name} has {_NO_LABELS}")
    lines.append(f"{_UNTRACKED}; lengths in mm; {WHERE_EXPLAINED}")
    if report["gt_crop"]:
        lines.append("crops were centred by the labels (--gt-crop), not by finding the hand")
    return "\n".join(lines)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return _percent(value) if key in _FRACTIONS else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _write_plot(path: Path, report: dict[str, Any], measured: Measured) -> None:
    """Left: fraction of frames whose worst joint is within a distance. Right: mean error of each joint."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    from engine import metrics

    thresholds = np.linspace(0, 80, 161)
    worst = metrics.worst_joint_errors(measured.mapped, measured.truth)
    figure, (curve, bars) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    curve.plot(thresholds, 100 * metrics.fraction_within(worst, thresholds))
    curve.set(xlabel="worst joint within, mm", ylabel="frames, %", xlim=(0, 80), ylim=(0, 100))
    joints = report["per_joint_error_mm"]
    bars.bar(range(len(joints)), [np.nan if error is None else error for error in joints.values()])
    bars.set_xticks(range(len(joints)), list(joints), rotation=90)
    bars.set(ylabel="mean error, mm")
    for axes in (curve, bars):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{', '.join(report['sequences'])}: {report['frames']} {report['images']} frames")
    try:
        write_figure(path, figure)
    finally:
        pyplot.close(figure)
