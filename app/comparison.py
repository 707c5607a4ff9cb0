"""A comparison of predictions (engine.evaluation.compare) for people: a table and a plot of curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.evaluation_columns import PREDICTIONS, WHERE_EXPLAINED
from app.plots import write_figure

_WITHIN_MM = (20, 40)
#: The last columns, which only two people's frames have.
_ABOUT_TWO = 2
#: How missing predictions and labels count, by the columns' titles; the report says it by its own keys.
_MISSING = (
    "means and medians run over predicted frames and labelled joints; <20mm, <40mm: frames whose worst joint is within "
    "20, 40 mm, those not predicted count as misses"
)


def as_table(report: dict[str, Any]) -> str:
    """One row a prediction, the best first, and what was compared below; lengths in mm."""
    truth, rows = report["ground_truth"], _best_first(report)
    with_f1 = truth["bone_length_f1"] is not None
    width = max(12, *(len(name) for name in rows))
    titles = [f"{one.title:>{one.width}}" for one in PREDICTIONS]
    plain, two_people = titles[:-_ABOUT_TWO], titles[-_ABOUT_TWO:]
    lines = [f"{'':{width}}  " + "  ".join(plain + two_people * with_f1)]
    for name, row in rows.items():
        cells = [f"{row['frames_predicted']:>6}/{row['frames']:<6}"]
        cells += [f"{_number(row[f'{key}_joint_error_mm']):>7}" for key in ("mean", "median")]
        within = dict(zip(report["thresholds_mm"], row["fraction_within"], strict=True))
        cells += [f"{100 * within[mm]:>5.1f} %" for mm in _WITHIN_MM]
        lines.append(f"{name:{width}}  " + "  ".join(cells + _f1_cells(row) * with_f1).rstrip())
    if with_f1:
        blank = " " * (len("  ".join(plain)) + 2)
        lines.append(f"{'ground truth':{width}}  {blank}" + "  ".join(_f1_cells(truth)))
    return "\n".join([*lines, "", *_notes(report)])


def _notes(report: dict[str, Any]) -> list[str]:
    truth, second = report["ground_truth"], report["second_subject"]
    lines = [f"ground truth: {_labelled(truth)} frames of {truth['joints']} joints, {truth['file']}, {_read_as(truth)}"]
    ways = {_read_as(row) for row in report["predictions"].values()} - {_read_as(truth)}
    if ways:
        lines += [f"{name}: {row['file']}, {_read_as(row)}" for name, row in report["predictions"].items()]
    lines.append(f"{_MISSING}; lengths in mm; {WHERE_EXPLAINED}")
    if second is not None:
        lines.append(
            f"F1: the first {second} frames against the others, told apart by k-means (k = 2) of their 20 bone lengths"
        )
    return lines


def _labelled(truth: dict[str, Any]) -> str:
    known, frames = truth["frames_labelled"], truth["frames"]
    return f"{frames}" if known == frames else f"{known} labelled of {frames}"


def _read_as(row: dict[str, Any]) -> str:
    return f"read as {row['read_as']}"


def _best_first(report: dict[str, Any]) -> dict[str, Any]:
    means = {name: row["mean_joint_error_mm"] for name, row in report["predictions"].items()}
    known = {name: float("inf") if mean is None else mean for name, mean in means.items()}
    return {name: report["predictions"][name] for name in sorted(known, key=lambda name: known[name])}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _f1_cells(row: dict[str, Any]) -> list[str]:
    first, second = row["bone_length_f1"] or (None, None)
    return [f"{_number(first):>8}", f"{_number(second):>9}"]


def write_curves(path: Path, report: dict[str, Any]) -> None:
    """Fraction of frames whose worst joint is within a distance, one curve a prediction.

    Raises LumbricalError where the plot cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, row in _best_first(report).items():
        percent = [100 * fraction for fraction in row["fraction_within"]]
        axes.plot(report["thresholds_mm"], percent, label=f"mean {_number(row['mean_joint_error_mm'])} mm: {name}")
    truth = report["ground_truth"]
    axes.set(xlabel="worst joint within, mm", ylabel="frames, %", xlim=(0, 80), ylim=(0, 100))
    title = f"{Path(truth['file']).name}: {_labelled(truth)} frames, {truth['joints']} joints"
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.grid(alpha=0.3)
    for text in axes.legend(loc="lower right").get_texts():
        # A name is no formula, whatever signs are in it.
        text.set_parse_math(False)
    write_figure(path, figure)
