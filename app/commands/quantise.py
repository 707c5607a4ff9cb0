"""`quantise`: the encoder in int8, if it is as accurate as in full."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from app.arguments import add_weights
from app.interrupts import terminated_in_order
from app.whole_file import check_new_file, written_to
from engine.types import FloatArray, LumbricalError
from engine.whole_file import write_whole

if TYPE_CHECKING:
    from engine.evaluation.measure import Recording
    from engine.runners.protocol import Runner
    from engine.training.config import TrainConfig

#: Of the hands that the ranges are taken from; neither training, the test sets nor the development set has it.
_SEED = 20_261_122
#: By how much, at most, an error may grow.
_WORST_RISE = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `quantise`."""
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="recordings with joints_mm.npy to measure on, too"
    )
    add_weights(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the .onnx goes (default: beside the weights, where it is used)"
    )
    parser.add_argument("--crops", type=int, default=128, help="rendered crops to take ranges from (default: 128)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> int:
    """Quantise the encoder for ONNX Runtime, measure it beside the full one on the rendered test sets and on labelled
    recordings, and write it only where no mean joint error is more than 2 % larger."""
    from engine.evaluation.measure import open_recordings
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.choose import make_runner
    from engine.runners.int8 import int8_path
    from engine.runners.onnx_runner import OnnxRunner
    from engine.runners.quantise import quantise
    from engine.training.config import ENCODER_CONFIG, load_config

    weights = args.weights or DEFAULT_WEIGHTS
    out = args.out or int8_path(weights)
    if not 1 <= args.crops <= 100_000:
        raise LumbricalError("--crops must be from 1 to 100000")
    recordings = open_recordings(args.folders)
    unlabelled = [recording.name for recording in recordings if recording.labels.joints_mm is None]
    if unlabelled:
        raise LumbricalError(f"{unlabelled[0]} has no joints_mm.npy to measure errors by")
    check_new_file("--out", out, (".onnx",), args.force)
    loaded, config = load_weights(weights), load_config(ENCODER_CONFIG)
    with terminated_in_order(), TemporaryDirectory(prefix="lumbrical-") as folder:
        small = Path(folder) / "encoder-int8.onnx"
        quantise(loaded, *_rendered_crops(config, args.crops), small)
        runners: dict[str, Runner] = {"full": make_runner(loaded), "int8": OnnxRunner(loaded, path=small)}
        errors = {name: _errors(runner, config, recordings) for name, runner in runners.items()}
        accepted = _accepted(errors["full"], errors["int8"])
        print(_table(errors["full"], errors["int8"]))
        if not accepted:
            print("not written: an error has grown by more than 2 %", file=sys.stderr)
            return 1
        with written_to("--out", out):
            write_whole(out, small.read_bytes())
    place = "" if out.absolute() == int8_path(weights).absolute() else f", from {int8_path(weights)}"
    print(f"written to {out}; use it with --runner int8{place}")
    return 0


def _rendered_crops(config: TrainConfig, count: int) -> tuple[FloatArray, FloatArray]:
    """Crops (N, 128, 128) and distances (N,) mm of hands like those the encoder was trained on, N >= count."""
    import numpy as np

    from engine.training.trainer import test_set

    batches = test_set(dataclasses.replace(config, test_seed=_SEED, test_images=count))
    crops = np.concatenate([batch.crop[:, 0].numpy() for batch in batches])
    return crops, np.concatenate([batch.distance.numpy() for batch in batches])


def _errors(runner: Runner, config: TrainConfig, recordings: list[Recording]) -> dict[str, float]:
    """Mean joint error, mm, by test set and recording."""
    from tqdm import tqdm

    from engine.evaluation.rendered import evaluate_rendered, test_configs
    from engine.evaluation.report import evaluate
    from engine.tracker import Tracker

    total = config.test_images * len(test_configs(config)) + sum(recording.frame_count for recording in recordings)
    with tqdm(total=total, unit="frame", desc="measure", leave=False, disable=None, file=sys.stderr) as bar:
        rendered = evaluate_rendered(runner, config, lambda: bar.update(1) and None)["test_sets"]
        errors = {f"rendered, {name}": figures["mean_joint_error_mm"] for name, figures in rendered.items()}
        for recording in recordings:
            report, _ = evaluate([recording], Tracker(runner=runner), on_frame=lambda: bar.update(1) and None)
            errors[recording.name] = report["mean_joint_error_mm"]
    return errors


def _accepted(full: dict[str, float], small: dict[str, float]) -> bool:
    return all(small[name] <= (1 + _WORST_RISE) * error for name, error in full.items())


def _table(full: dict[str, float], small: dict[str, float]) -> str:
    lines = [f"{'mean joint error, mm':24} {'full':>7} {'int8':>7} {'change':>8}"]
    for name, error in full.items():
        lines.append(f"{name:24} {error:7.2f} {small[name]:7.2f} {100 * (small[name] / error - 1):+7.1f} %")
    return "\n".join(lines)
