"""`python main.py bench losses`: what the generative loss adds to a training step."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

#: Above the profiler's highest level of messages.
_NO_LOG = "6"


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    losses = kinds.add_parser("losses", help="a training step with all energies", description=run.__doc__)
    losses.add_argument("--json", action="store_true", help="print one JSON object")
    losses.add_argument("--batch", type=int, default=16, help="crops in a step (default: 16, the paper's)")
    losses.add_argument("--repeats", type=int, default=15, help="steps of each kind to time (default: 15)")
    losses.add_argument("--plain-repeats", type=int, default=2, help="plain steps, which take seconds (default: 2)")
    losses.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    losses.add_argument("--threads", type=int, help="threads on the CPU (default: what torch takes)")


def run(args: argparse.Namespace) -> int:
    """Time a training step with the generative loss: encoder, quadtree, decoder, all energies, backward.

    Batched and by the plain reference, on rendered crops, taking turns with the encoder alone; medians. Peak memory and
    the largest difference between batched and plain, in float64, are told too.
    """
    # The profiler that measures the memory would write its comings and goings to stderr. Read when torch is loaded.
    os.environ.setdefault("KINETO_LOG_LEVEL", _NO_LOG)
    import torch
    from tqdm import tqdm

    from app.benches.loss_steps import measure, part_count
    from engine.types import LumbricalError

    if not (1 <= args.batch <= 1024 and 1 <= args.repeats <= 1000 and 0 <= args.plain_repeats <= 1000):
        raise LumbricalError("--batch must be from 1 to 1024, --repeats from 1 and --plain-repeats from 0 to 1000")
    if args.threads is not None and not 1 <= args.threads <= 256:
        raise LumbricalError("--threads must be from 1 to 256")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    # Few and slow turns: each is shown, the last one too (mininterval 0).
    total = part_count(args.repeats, args.plain_repeats)
    with tqdm(
        total=total, unit="turn", desc="bench losses", leave=False, mininterval=0, disable=None, file=sys.stderr
    ) as bar:
        report = measure(args.batch, args.repeats, args.plain_repeats, args.device, lambda: bar.update(1) and None)
    print(json.dumps(report, indent=2) if args.json else as_table(report))
    return 0


def as_table(report: dict[str, Any]) -> str:
    leaves, memory, differences = (report[key] for key in ("leaves", "peak_memory_mb", "largest_relative_difference"))
    lines = [
        f"{report['batch']} crops, {report['device']}, {report['threads']} threads; {leaves['mean']:.0f} leaves a crop "
        f"(at most {leaves['max']}), {report['model_gaussians']} model Gaussians",
        f"  encoder     {report['encoder_ms']:8.1f} ms forward and backward",
        f"  energies    {report['energies_ms']:8.1f} ms, {report['energies_percent_of_encoder']:.1f} % of that",
        f"  both        {report['step_ms']:8.1f} ms a step",
    ]
    if "plain_step_ms" in report:
        times = report["plain_over_batched_step"]
        lines.append(f"  plain       {report['plain_step_ms']:8.1f} ms a step, {times:g} times as long")
    most = memory["every_pixel_a_leaf"]
    lines.append(f"  memory      {memory['energies']:8.1f} MB for the energies, {most:.1f} with every pixel a leaf")
    lines.append(f"  difference  {differences['value']:8.1e} in values, {differences['gradient']:.1e} in gradients")
    return "\n".join(lines)
