"""`finetune SOURCE…`: the encoder learns from recordings of the user's own hand, without labels."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.arguments import images, minutes
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.adaptation.finetune import Figures

_DEFAULT_OUT = Path("runs") / "finetune"
_COLUMNS = (("dissim", 10, 3), ("residual_mm", 14, 2), ("rendered_mm", 16, 2))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `finetune`."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a recording or sequence folder of your hand")
    parser.add_argument("--out", type=Path, default=_DEFAULT_OUT, help="folder of the new weights (runs/finetune)")
    parser.add_argument("--start-from", type=Path, metavar="WEIGHTS", help="begin with these, not the shipped weights")
    parser.add_argument("--config", type=Path, metavar="FILE", help="training settings (configs/finetune.toml)")
    parser.add_argument("--images", type=images, metavar="N", help="train on so many crops (as the settings say)")
    parser.add_argument("--minutes", type=minutes, default=None, help="stop after this long at the latest")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--force", action="store_true", help="replace weights that --out holds already")


def run(args: argparse.Namespace) -> int:
    """Track the recordings, train on their crops, write weights, and tell what has become better and what worse."""
    from app.observing import observe
    from engine.adaptation.finetune import Finetuning
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights, save_weights
    from engine.training.config import FINETUNE_CONFIG, load_config

    weights = args.out / "encoder.safetensors"
    if weights.exists() and not args.force:
        raise LumbricalError(f"{weights} exists already: choose another --out or add --force")
    start = args.start_from or DEFAULT_WEIGHTS
    loaded = load_weights(start)
    config = dataclasses.replace(load_config(args.config or FINETUNE_CONFIG), encoder=loaded.encoder.config)
    if args.images is not None:
        config = dataclasses.replace(config, images=args.images)
    observed = [observe(source, start) for source in args.sources]
    tuning = Finetuning(config, loaded.encoder.state_dict(), observed, args.out, args.device)
    before = tuning.figures()
    print(f"training on {tuning.trained} crops, {tuning.held_out} held out, from {loaded.version}", file=sys.stderr)
    tuning.trainer.run(args.minutes, _say)
    after = tuning.figures()
    save_weights(weights, tuning.trainer.average, config.name, loaded.images + tuning.trainer.images)
    print(_table(before, after, tuning.held_out, config.test_images))
    print(f"written to {weights}; use it with --weights {weights}")
    return 0


def _say(line: dict[str, float]) -> None:
    parts = " ".join(f"{name} {line[name]:.3f}" for name in ("loss", "dissim", "agree", "points") if name in line)
    print(f"{line['images']:>9} images  {parts}", file=sys.stderr, flush=True)


def _table(before: Figures, after: Figures, held_out: int, rendered: int) -> str:
    heads = ("E_dissim", "residual, mm", "joint error, mm")
    lines = [
        f"          {held_out} held-out frames      {rendered} rendered hands",
        "        " + "".join(f"{head:>{size}}" for head, (_, size, _) in zip(heads, _COLUMNS, strict=True)),
    ]
    for name, figures in (("before", before), ("after", after)):
        cells = "".join(f"{getattr(figures, key):>{size}.{digits}f}" for key, size, digits in _COLUMNS)
        lines.append(f"{name:8}{cells}")
    return "\n".join(lines)
