"""`recover TAKE`: a clean take from one that was cut off or damaged, which is left as it is."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from engine.takes.names import SUFFIX
from engine.takes.recovery import recover
from engine.types import LumbricalError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("take", metavar="TAKE", type=Path, help="the take to read")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write (default: NAME.mcap for NAME.part.mcap, else beside)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the clean take and say what is in it and what is lost."""
    from tqdm import tqdm

    if args.out is not None and args.out.suffix.lower() != SUFFIX:
        raise LumbricalError(f"--out {args.out}: the name must end in {SUFFIX}")
    with tqdm(total=1.0, desc="recover", leave=False, delay=1, disable=None, bar_format="{desc} |{bar:30}|") as bar:
        done = recover(args.take, args.out, lambda share: bar.update(share - bar.n) and None)
    if args.json:
        print(json.dumps({"path": str(done.path), "damage": done.damage, "receipt": asdict(done.receipt)}, indent=2))
        return 0
    print(f"{done.path}: {done.receipt.sentence()}")
    for line in done.damage:
        print(f"  {args.take}: {line}")
    return 0
