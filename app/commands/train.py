"""`train`: the shipped weights from nothing, on rendered hands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.types import LumbricalError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a TOML file, such as configs/encoder.toml")
    parser.add_argument("--out", type=Path, default=None, help="where checkpoint and log go (default: runs/NAME)")
    parser.add_argument("--minutes", type=float, default=None, help="stop after this long; run again to go on")
    parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--render-workers", type=int, default=0, help="processes that render beside the training (default: 0, none)"
    )
    parser.add_argument("--restart", action="store_true", help="start anew instead of resuming the checkpoint in --out")


def run(args: argparse.Namespace) -> int:
    """Train, or go on training; prints a line of losses every few seconds."""
    import torch

    from engine.training.config import load_config
    from engine.training.trainer import Trainer

    config = load_config(args.config)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise LumbricalError("--device cuda: torch finds no CUDA device here; leave it out to train on the CPU")
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = Trainer(config, args.out or Path("runs") / config.name, device, args.render_workers)
    resumed = False if args.restart else trainer.resume()
    print(f"training {config.name} on {device}, files in {trainer.out}", file=sys.stderr)
    if resumed:
        print(f"resumed after {trainer.images} images", file=sys.stderr)
    first = trainer.images
    start = trainer.seconds

    def report(line: dict[str, float]) -> None:
        rate = (line["images"] - first) / max(1e-6, line["seconds"] - start)
        left = (config.images - line["images"]) / max(rate, 1e-6) / 60
        losses = " ".join(f"{name} {line[name]:.3f}" for name in ("loss", "points", "joints", "articulation", "beta"))
        print(f"{line['images']:>9} images {rate:5.0f}/s {left:5.0f} min left  {losses}", file=sys.stderr, flush=True)

    done = trainer.run(args.minutes, report)
    print(f"{'finished' if done else 'stopped'} after {trainer.images} images: {trainer.checkpoint_path}")
    return 0
