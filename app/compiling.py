"""The loops of tracking are compiled before a window opens, which would stand still meanwhile.

`python -m app.compiling` does so once everything is installed.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache

from engine.types import LumbricalError


def compile_loops() -> None:
    """Compile what engine.compiled marks, unless that has been done for this processor: once, for some ten seconds,
    which stderr is told of. Where it fails, loops are compiled when they are called."""
    import numba
    from llvmlite.binding import get_host_cpu_name

    from engine.compiled import CACHE

    mark = CACHE / f"{get_host_cpu_name()}.done"
    if numba.config.DISABLE_JIT or os.path.isfile(mark):  # type: ignore[attr-defined]
        return
    print("lumbrical: compiling for this processor, once: some ten seconds", file=sys.stderr, flush=True)
    with suppress(LumbricalError, OSError):
        _track()
        CACHE.mkdir(parents=True, exist_ok=True)
        mark.touch()


@cache
def load_loops() -> None:
    """Load what was compiled, once in a process: the first frame would take a third of a second longer, in which a
    camera sends more that nobody tracks."""
    compile_loops()
    with suppress(LumbricalError, OSError):
        _track()


def _track() -> None:
    """Follow a hand for two frames: that calls all loops, in all ways that tracking does."""
    from app.config import DEMO_SOURCE
    from engine.sensors.sequence_folder import SequenceFolder
    from engine.tracker import Tracker

    tracker = Tracker()
    with SequenceFolder(DEMO_SOURCE, color=False) as demo:
        for frame in filter(None, (demo.read() for _ in range(2))):
            tracker.track(frame)


if __name__ == "__main__":
    try:
        compile_loops()
    except KeyboardInterrupt:
        sys.exit(130)
