"""`train`: the shipped weights, encoder or detector, from nothing, on rendered hands; alone or under torchrun."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import minutes, whole_number
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.training.detector_training import DetectorTrainer
    from engine.training.processes import Processes
    from engine.training.trainer import Trainer

_SHOWN_LOSSES = ("loss", "points", "joints", "articulation", "beta", "heat", "pixel_mm", "depth_mm")
#: So long the first process has to tell what went wrong; torchrun then ends those that would only repeat it.
_FIRST_SPEAKS_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a TOML file, such as configs/encoder.toml")
    parser.add_argument("--out", type=Path, default=None, help="where checkpoint and log go (default: runs/NAME)")
    parser.add_argument("--minutes", type=minutes, default=None, help="stop after this long; run again to go on")
    parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=whole_number, default=None, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--render-workers",
        type=whole_number,
        default=0,
        help="processes that render beside the training (0: none)",
    )
    parser.add_argument(
        "--start-from", type=Path, metavar="WEIGHTS", help="encoder weights (.safetensors) to begin with, not at random"
    )
    parser.add_argument("--restart", action="store_true", help="start anew instead of resuming the checkpoint in --out")


def run(args: argparse.Namespace) -> int:
    """Train, or go on training; prints a line of losses after the first step, every 50 steps or 30 s, and at the end.
    Writing the weights then takes safetensors (encoder) or onnx (detector); where they are missing the checkpoint is
    there all the same.

    Under torchrun each process trains its share, and the first one prints and writes.
    """
    from engine.training.processes import from_environment

    processes = from_environment(os.environ)
    try:
        return _run(args, processes)
    except LumbricalError:
        if processes.rank:
            time.sleep(_FIRST_SPEAKS_S)
        raise


def _run(args: argparse.Namespace, processes: Processes) -> int:
    import torch

    from engine.training.processes import joined

    device = _device(args.device, processes)
    if args.render_workers and device != "cpu":
        raise LumbricalError("--render-workers: on a GPU the training renders there itself; leave it out")
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = _trainer(args, device, processes)
    with joined(processes, device):
        done = _train(args, trainer)
    if processes.rank:
        return 0
    print(f"{'finished' if done else 'stopped'} after {trainer.images} images: {trainer.checkpoint_path}")
    weights = _export(trainer)
    print(f"weights: {weights} (the shipped ones are assets/weights/{weights.name})", flush=True)
    if done:
        print("measuring on rendered test data …", file=sys.stderr, flush=True)
        print(" ".join(f"{name} {value:.3f}" for name, value in _rendered_figures(trainer).items()))
    return 0


def _train(args: argparse.Namespace, trainer: Trainer | DetectorTrainer) -> bool:
    """Start or resume; whether all images were seen."""
    resumed = False if args.restart else trainer.resume()
    if args.start_from is not None and not resumed:
        trainer.start_from(_encoder_weights(args.start_from, trainer))
    _say_what_begins(trainer, resumed)
    if args.start_from is not None and resumed and not trainer.processes.rank:
        print(f"--start-from {args.start_from} is not read again; --restart begins with it anew", file=sys.stderr)
    first, start = trainer.images, trainer.seconds

    def report(line: dict[str, float]) -> None:
        rate = (line["images"] - first) / max(1e-6, line["seconds"] - start)
        left = (trainer.config.images - line["images"]) / max(rate, 1e-6) / 60
        losses = " ".join(f"{name} {line[name]:.3f}" for name in line if name in _SHOWN_LOSSES)
        print(f"{line['images']:>9} images {rate:5.0f}/s {left:5.0f} min left  {losses}", file=sys.stderr, flush=True)

    return trainer.run(args.minutes, report)


def _say_what_begins(trainer: Trainer | DetectorTrainer, resumed: bool) -> None:
    processes = trainer.processes
    if processes.rank:
        return
    where = trainer.device if processes.alone else f"{processes.count} x {trainer.device.partition(':')[0]}"
    print(f"training {trainer.config.name} on {where}, files in {trainer.out}", file=sys.stderr)
    if resumed:
        print(f"resumed after {trainer.images} images", file=sys.stderr)
        if trainer.changed_settings:
            print(f"settings changed since then: {', '.join(trainer.changed_settings)}", file=sys.stderr)


def _device(asked: str | None, processes: Processes) -> str:
    """Where this process trains; among several, each takes the GPU of its own number."""
    import torch

    device = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise LumbricalError(f"--device {device}: must be cpu, cuda or cuda:NUMBER")
    if device != "cpu" and not processes.alone:
        if device != "cuda":
            raise LumbricalError(f"--device {device}: under torchrun each process takes a GPU of its own; say cuda")
        if processes.local_rank >= torch.cuda.device_count():
            raise LumbricalError(
                f"process {processes.local_rank} finds no GPU of its own among {torch.cuda.device_count()}; "
                "start as many as there are GPUs (--nproc_per_node), or train with --device cpu"
            )
        return f"cuda:{processes.local_rank}"
    if device != "cpu" and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise LumbricalError(f"--device {device}: torch finds no such device here; leave it out to train without")
    return device


def _trainer(args: argparse.Namespace, device: str, processes: Processes) -> Trainer | DetectorTrainer:
    """The trainer of what the configuration describes; its key `kind` tells."""
    from engine.training.config import load_config
    from engine.training.detector_training import DetectorTrainer, is_detector_config, load_detector_config
    from engine.training.trainer import Trainer

    if not is_detector_config(args.config):
        config = load_config(args.config)
        return Trainer(config, args.out or Path("runs") / config.name, device, args.render_workers, processes)
    if args.render_workers:
        raise LumbricalError("--render-workers: the training renders the detector's scenes itself; leave it out")
    detector = load_detector_config(args.config)
    return DetectorTrainer(detector, args.out or Path("runs") / detector.name, device, processes)


def _encoder_weights(path: Path, trainer: Trainer | DetectorTrainer) -> dict[str, Any]:
    """The state of a saved encoder of the trainer's own sizes."""
    from engine.methods.gaussian.weights import load_weights
    from engine.training.trainer import Trainer

    encoder = load_weights(path).encoder
    if not isinstance(trainer, Trainer) or encoder.config != trainer.config.encoder:
        raise LumbricalError(f"--start-from {path}: these are weights of an encoder of other sizes than CONFIG's")
    return encoder.state_dict()


def _export(trainer: Trainer | DetectorTrainer) -> Path:
    """Write the weights as the app reads them, beside the checkpoint."""
    from engine.training.detector_training import DetectorTrainer

    if isinstance(trainer, DetectorTrainer):
        from engine.localise.export import export_detector

        path = trainer.out / "detector.onnx"
        export_detector(trainer.average, path, trainer.facts())
    else:
        from engine.methods.gaussian.weights import save_weights

        path = trainer.out / "encoder.safetensors"
        save_weights(path, trainer.average, trainer.config.name, trainer.images)
    return path


def _rendered_figures(trainer: Trainer | DetectorTrainer) -> dict[str, float]:
    """How good the network is on rendered test data."""
    from engine.training.detector_training import DetectorTrainer, rendered_accuracy
    from engine.training.trainer import rendered_errors, test_set

    if isinstance(trainer, DetectorTrainer):
        return rendered_accuracy(trainer.average, trainer.config)
    return rendered_errors(trainer.average, test_set(trainer.config, trainer.device), trainer.skeleton)
