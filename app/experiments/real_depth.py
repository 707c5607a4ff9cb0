"""`experiment real-depth FOLDER`: the encoder alone and fine-tuned on unlabelled frames, with and without the fit."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from app.arguments import images

NAME, HELP = "real-depth", "real frames: encoder, fine-tuning without labels, and the fit at run time, one by one"
#: Given by whoever prepared the recording, over all of its 35 frames; see docs/results.md.
MEDIAPIPE_MM = 12.5
#: How many crops fine-tuning sees, unless told.
_IMAGES = 12_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `experiment real-depth`."""
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="sequence folders with labels, to measure on")
    parser.add_argument(
        "--unlabelled", nargs="+", default=[], metavar="SOURCE", help="recordings to fine-tune on, beside the FOLDERs"
    )
    parser.add_argument("--images", type=images, metavar="N", help=f"fine-tune on so many crops (default: {_IMAGES})")


def measure(args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Every combination on every folder. Fine-tuning sees the measured frames too, without their labels."""
    from app.observing import observe
    from engine.adaptation.finetune import Finetuning
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights, save_weights
    from engine.training.config import FINETUNE_CONFIG, load_config

    weights = {"as shipped": DEFAULT_WEIGHTS}
    tuned = out / "finetuned" / "encoder.safetensors"
    if not tuned.exists():
        loaded = load_weights()
        config = dataclasses.replace(
            load_config(FINETUNE_CONFIG), encoder=loaded.encoder.config, images=args.images or _IMAGES
        )
        observed = [observe(source) for source in (*args.folders, *args.unlabelled)]
        tuning = Finetuning(config, loaded.encoder.state_dict(), observed, tuned.parent)
        tuning.trainer.run()
        save_weights(tuned, tuning.trainer.average, "finetuned", loaded.images + config.images)
    weights["fine-tuned"] = tuned
    rows = [
        {"weights": name, "fit": fit, "folders": _measured(args.folders, path, fit)}
        for name, path in weights.items()
        for fit in (False, True)
    ]
    return {"rows": rows, "mediapipe_mm": MEDIAPIPE_MM}


def _measured(folders: list[str], weights: Path, fit: bool) -> dict[str, dict[str, Any]]:
    """By folder: frames, tracked, mean joint error and residual."""
    from engine.evaluation.measure import open_recordings
    from engine.evaluation.report import evaluate
    from engine.fitting.fitter import HandFitter, WithoutFit
    from engine.hand.template import load_template
    from engine.methods.gaussian.weights import load_weights
    from engine.runners.onnx_runner import OnnxRunner
    from engine.tracker import Tracker

    fitter = (HandFitter if fit else WithoutFit)(load_template())
    tracker = Tracker(runner=OnnxRunner(load_weights(weights)), fitter=fitter)
    report, _ = evaluate(open_recordings([Path(folder) for folder in folders], False), tracker, False, lambda: None)
    keys = ("frames", "frames_tracked", "mean_joint_error_mm", "depth_residual_median_mm")
    return {name: {key: row[key] for key in keys} for name, row in report["sequences"].items()}


def as_table(report: dict[str, Any]) -> str:
    """A line a combination, a pair of columns a folder."""
    names = list(report["rows"][0]["folders"])
    lines = [" " * 26 + "".join(f"{name:>22}" for name in names), " " * 26 + len(names) * "     error   residual "]
    for row in report["rows"]:
        title = f"{row['weights']}, {'with' if row['fit'] else 'without'} fit"
        cells = "".join(
            f"{_cell(folder['mean_joint_error_mm']):>10} {_cell(folder['depth_residual_median_mm']):>10} "
            for folder in row["folders"].values()
        )
        lines.append(f"{title:26}{cells}")
    lines.append(f"mm, over tracked frames; MediaPipe lifted by the depth, on open-hand: {report['mediapipe_mm']} mm")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def draw(report: dict[str, Any], path: Path) -> None:
    """Bars of the errors, and the baseline's line."""
    from matplotlib.figure import Figure

    from app.plots import write_figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row['weights']}\n{'with' if row['fit'] else 'without'} fit" for row in report["rows"]]
    for name in report["rows"][0]["folders"]:
        values = [row["folders"][name]["mean_joint_error_mm"] for row in report["rows"]]
        if None not in values:
            axes.bar(labels, values, 0.5, label=name)
    axes.axhline(report["mediapipe_mm"], color="k", linestyle="--", label="MediaPipe lifted by the depth, open-hand")
    axes.set(ylabel="mean joint error, mm")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right")
    write_figure(path, figure)
