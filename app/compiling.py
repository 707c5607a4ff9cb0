"""The loops of tracking are compiled before a window opens, which would stand still meanwhile.

`python -m app.compiling` does so once everything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

_ENGINE = Path(__file__).resolve().parents[1] / "engine"


def compile_loops() -> None:
    """Compile what engine.compiled marks, unless that has been done here, of these sources and with this Numba: once,
    for some ten seconds, which stderr is told of."""
    mark = _folder() / f"compiled-{_digest()}"
    if mark.is_file():
        return
    print("lumbrical: compiling for this processor, once: some ten seconds", file=sys.stderr, flush=True)
    from app.config import DEMO_SOURCE
    from app.runtime.preloaded import load_frames
    from app.runtime.sources import open_recording
    from engine.tracker import Tracker

    tracker = Tracker()
    # The second frame is tracked from the first one's hand.
    for frame in load_frames(open_recording(str(DEMO_SOURCE)), 2):
        tracker.track(frame)
    with suppress(OSError):  # nowhere to note it: the next start looks again
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _folder() -> Path:
    """Where that is noted: beside what is compiled, where that can be written."""
    return _ENGINE / "__pycache__" if os.access(_ENGINE, os.W_OK) else user_cache_path("lumbrical")


def _digest() -> str:
    """Of what Numba compiles anew for: the machine, the interpreter, its own version, the sources' times."""
    seen = [platform.node(), platform.machine(), sys.version, importlib.metadata.version("numba")]
    for file in sorted(_ENGINE.rglob("*.py")):
        if b"@compiled" in file.read_bytes():
            status = file.stat()
            seen += [str(file), str(status.st_mtime_ns), str(status.st_size)]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]


if __name__ == "__main__":
    compile_loops()
