"""`export TAKE|RESULTS --out FILE`: tracked motion for other programs."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from app.interrupts import terminated_in_order
from engine.hand.imports import load_hand
from engine.takes.export import EXPORT_KINDS, Exported, check_export, export_motion
from engine.takes.recorded_motion import load_motion
from engine.takes.words import counted
from engine.types import LumbricalError, Side

#: Only these draw the hand's mesh.
_WITH_MESH = ("glb", "ply")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _kinds_in_words()
    parser.add_argument(
        "source", type=Path, metavar="TAKE|RESULTS", help="a take (.mcap), or what `track --out` wrote (.npz, .jsonl)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file, or the folder of meshes")
    parser.add_argument("--kind", choices=tuple(EXPORT_KINDS), help="what to write (default: by FILE's ending)")
    parser.add_argument("--side", choices=("right", "left"), help="the hand that is meant where SOURCE holds both")
    parser.add_argument(
        "--fps", type=float, metavar="RATE", help="frames a second, 10,000 at most (default: the device's times)"
    )
    parser.add_argument(
        "--hand", type=Path, metavar="FILE", help="your own hand's mesh, as for `track`; for glb and ply"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def _kinds_in_words() -> str:
    lines = ["kinds:"]
    for kind in EXPORT_KINDS.values():
        ending = kind.suffix or "a folder"
        lines += textwrap.wrap(
            f"{kind.name} ({ending}): {kind.summary}", 100, initial_indent="  ", subsequent_indent="    "
        )
    return "\n".join([*lines, "", "docs/export.md says what each of them holds."])


def run(args: argparse.Namespace) -> int:
    """Write the export, say what it holds, and return 0."""
    kind = check_export(args.out, args.kind, force=args.force)
    if args.hand is not None and kind.name not in _WITH_MESH:
        raise LumbricalError(f"--hand is for {' and '.join(_WITH_MESH)}: {kind.name} holds no mesh; leave it out")
    if args.source.exists() and args.out.exists() and args.out.samefile(args.source):
        raise LumbricalError(f"--out {args.out} is what is to be exported: choose another name")
    template = load_hand(args.hand) if args.hand is not None else None
    motion = load_motion(args.source, Side(args.side) if args.side else None, lambda line: _warn(args.source, line))
    if args.side and not motion.tracked.any():
        raise LumbricalError(f"{args.source} has no {args.side} hand in any of its {len(motion)} frames")
    with terminated_in_order():
        done = export_motion(motion, args.out, kind.name, force=args.force, fps=args.fps, template=template)
    print(_as_text(done, motion.side))
    return 0


def _warn(path: Path, line: str) -> None:
    print(f"lumbrical: warning: {path}: {line}", file=sys.stderr)


def _as_text(done: Exported, side: Side) -> str:
    lost = f", {done.lost_frames} of them without a hand" if done.lost_frames else ""
    size = f"{done.byte_count / 1e6:.1f} MB" if done.byte_count >= 100_000 else f"{done.byte_count / 1e3:.1f} kB"
    return f"{done.path}: {done.kind.name}, {counted(done.frames, 'frame')} of a {side.value} hand{lost}, {size}"
