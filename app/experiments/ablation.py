"""`experiment ablation`: what each part of the generative loss is worth (Wang et al. Tables Ia and Ic), on rendered
people of another surface and camera than training's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from app.arguments import images

NAME, HELP = "ablation", "the generative loss without each of its parts (Wang et al. Table Ia)"
#: Rows by the names of their configurations, as the paper orders them, with its All-21.
ROWS = {
    "full": ("Full", None),
    "without_dissim": ("w/o Dissim.", 19.75),
    "without_prior": ("w/o Prior", 19.53),
    "without_shapes": ("w/o other people (HANDID)", 18.78),
    "without_collision": ("w/o Collision", 18.34),
    "without_limits": ("w/o Lim.", 19.73),
}
LABELLED = (0, 4, 8, 12, 16, 20)
#: The person that most crops show, others that are trained on, and one that is not; seeds of their shapes.
_SUBJECT, _OTHERS, _UNSEEN = 100, range(101, 107), 107
_SUBJECT_CROPS, _OTHERS_CROPS, _TEST_CROPS = 3000, 160, 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `experiment ablation`."""
    parser.add_argument("--images", type=images, metavar="N", help="train each row on so many crops (default: 30000)")


def measure(args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train every row; errors in mm and F1 by row."""
    from app.experiments.training import EXPERIMENTS, fresh_heads, posed_hands, shipped, trained, with_crops
    from engine import metrics
    from engine.training.config import load_config
    from engine.training.shares import join

    subject, others, tests = _people(out)
    test = join(tests)
    who = np.repeat([0, 1], [len(part.distance) for part in tests])
    start, truth = fresh_heads(shipped()), test.joints.numpy()
    rows: dict[str, Any] = {}
    for name in ROWS:
        shares = {subject: 1.0} if name == "without_shapes" else {subject: 0.75, others: 0.25}
        config = with_crops(load_config(EXPERIMENTS / "ablation" / f"{name}.toml"), shares, args.images)
        joints, lengths = posed_hands(trained(config, out / name, start), test)
        errors = metrics.joint_errors(joints, truth)
        rows[name] = _figures(errors) | {
            "bone_length_f1": [float(score) for score in metrics.subject_f1(lengths, who)],
            "bone_length_error_mm": float(np.abs(lengths - metrics.bone_lengths(truth)).mean()),
        }
    return {"rows": rows, "test_crops": len(truth), "train_crops": _SUBJECT_CROPS + len(_OTHERS) * _OTHERS_CROPS}


def _figures(errors: np.ndarray) -> dict[str, float]:
    hidden = [joint for joint in range(errors.shape[1]) if joint not in LABELLED]
    parts = {"unlab_15": errors[:, hidden], "lab_6": errors[:, LABELLED], "all_21": errors}
    return {name: float(part.mean()) for name, part in parts.items()}


def _people(out: Path) -> tuple[Path, Path, list[Any]]:
    """Files of training crops, with six labels each, of the subject and of others; test crops of the subject and of a
    person never seen."""
    from app.experiments.training import labelled
    from engine.evaluation.second_hand import person, render_person
    from engine.training.shares import join

    files = out / "subject.npz", out / "others.npz"
    if not files[0].exists():
        batch = render_person(person(_SUBJECT), _SUBJECT_CROPS, seed=1)
        labelled(batch, batch.joints, LABELLED, files[0])
    if not files[1].exists():
        batch = join([render_person(person(other), _OTHERS_CROPS, seed=other) for other in _OTHERS])
        labelled(batch, batch.joints, LABELLED, files[1])
    return *files, [render_person(person(seed), _TEST_CROPS, seed=900 + seed) for seed in (_SUBJECT, _UNSEEN)]


def as_table(report: dict[str, Any]) -> str:
    """Rows in the paper's order."""
    lines = [f"{'':26}  Unlab-15   Lab-6  All-21   bones, mm    F1 of two users   (paper's All-21)"]
    for name, (title, paper) in ROWS.items():
        row = report["rows"][name]
        scores = " / ".join(f"{score:.2f}" for score in row["bone_length_f1"])
        lines.append(
            f"{title:26}  {row['unlab_15']:8.2f}{row['lab_6']:8.2f}{row['all_21']:8.2f}"
            f"{row['bone_length_error_mm']:12.2f}    {scores:>15}   {'' if paper is None else f'({paper})':>16}"
        )
    lines.append(f"mm, over {report['test_crops']} rendered crops of two people, one of them never seen in training")
    return "\n".join(lines)


def draw(report: dict[str, Any], path: Path) -> None:
    """Bars of the three errors by row."""
    from matplotlib.figure import Figure

    from app.plots import write_figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    for place, (key, label) in enumerate((("unlab_15", "Unlab-15"), ("lab_6", "Lab-6"), ("all_21", "All-21"))):
        values = [report["rows"][name][key] for name in ROWS]
        axes.bar(np.arange(len(ROWS)) + 0.27 * (place - 1), values, 0.25, label=label)
    axes.set_xticks(range(len(ROWS)), [title for title, _ in ROWS.values()], rotation=12)
    axes.set(ylabel="mean joint error, mm")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    write_figure(path, figure)
