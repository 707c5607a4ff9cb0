"""`python main.py bench start`: from the start of the process to the first tracked frame and the first drawn hand."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.compiling import compile_loops
from app.display import require_display
from app.interrupts import terminated_in_order

_REPOSITORY = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 180.0


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    start = kinds.add_parser("start", help="seconds from `run` to the first tracked frame", description=run.__doc__)
    start.add_argument("--runs", type=int, default=5, help="how often to start the app: 1 to 100 (default: 5)")
    start.add_argument("--source", metavar="SPEC", help="the recording to play (default: the demo take)")
    start.add_argument(
        "--cold", action="store_true", help="before each start, ask the system to forget the files it holds in memory"
    )
    start.add_argument(
        "--fresh", action="store_true", help="each start is the first one: nothing is in the user's cache"
    )
    start.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Start the app several times, as `run` does, each time until a tracked hand is drawn; medians and the slowest.

    Seconds are counted from when the system made the process. Beside them: the processor time that the app's own
    process had used by then, which a busy machine changes less; the drawing process has its own, on another core.
    """
    from app.config import DEMO_SOURCE
    from app.runtime.sources import check_source, is_demo, open_recording
    from engine.types import LumbricalError

    if not 1 <= args.runs <= 100:
        raise LumbricalError("--runs must be from 1 to 100")
    source = str(DEMO_SOURCE) if args.source is None else args.source
    check_source(source)
    open_recording(source)
    require_display()
    compile_loops()
    runs = [_start(source, args.cold, args.fresh) for _ in range(args.runs)]
    report: dict[str, Any] = {
        "source": "demo" if is_demo(source) else source,
        "runs": len(runs),
        "cold": args.cold,
        "fresh": args.fresh,
        "moments": summary(runs),
    }
    print(json.dumps(report, indent=2) if args.json else _as_table(report))
    return 0


def _start(source: str, cold: bool, fresh: bool) -> dict[str, dict[str, float]]:
    """One start's moments. LumbricalError with the app's own words when it did not come to a drawn hand."""
    from engine.types import LumbricalError

    if cold:
        forget_files()
    command = [sys.executable, "main.py", "run", "--time-start", f"--source={source}"]
    with terminated_in_order(), tempfile.TemporaryDirectory(prefix="lumbrical-bench-") as folder:
        cache = {"XDG_CACHE_HOME": folder} if fresh else {}
        try:
            done = subprocess.run(
                command, cwd=_REPOSITORY, env=os.environ | cache, capture_output=True, text=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise LumbricalError(f"the app did not come up within {_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise LumbricalError(words[-1].removeprefix("lumbrical: error: ") if words else "the app ended at once")
    moments: dict[str, dict[str, float]] = json.loads(done.stdout)
    return moments


def summary(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each moment that every run has, in their order: median and longest seconds, median of the
    processor's."""
    from app.start_times import MOMENTS

    found = {}
    for moment in MOMENTS:
        times = [one[moment] for one in runs if moment in one]
        if len(times) == len(runs):
            wall = [one["wall_s"] for one in times]
            found[moment] = {
                "wall_s": round(statistics.median(wall), 3),
                "wall_s_max": round(max(wall), 3),
                "processor_s": round(statistics.median(one["processor_s"] for one in times), 3),
            }
    return dict(sorted(found.items(), key=lambda one: one[1]["wall_s"]))


def forget_files() -> None:
    """Ask the system to drop this environment's and this repository's files from memory, so that they are read from the
    disk again. It keeps what another process has mapped, so this is coldest where nothing else runs them."""
    for file in _files():
        try:
            handle = os.open(file, os.O_RDONLY)
        except OSError:
            continue
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _files() -> Iterator[str]:
    folders = [Path(sys.prefix), Path(sys.base_prefix), *(_REPOSITORY / name for name in ("app", "engine", "assets"))]
    for folder in folders:
        for where, _, names in os.walk(folder):
            yield from (os.path.join(where, name) for name in names)


def _as_table(report: dict[str, Any]) -> str:
    kind = " ".join(name for name in ("cold", "fresh") if report[name])
    lines = [
        f"{report['source']}: {report['runs']} {kind + ' ' if kind else ''}starts; seconds since the process began",
        f"  {'':16}{'median':>8} {'slowest':>8} {'processor':>10}",
    ]
    lines += [
        f"  {name:16}{one['wall_s']:8.2f} {one['wall_s_max']:8.2f} {one['processor_s']:10.2f}"
        for name, one in report["moments"].items()
    ]
    return "\n".join(lines)
