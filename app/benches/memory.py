"""How much memory processes hold, and whether it grows."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WARM_UP_SHARE, _WARM_UP_LEAST_S = 0.25, 20.0
_LEAST_SAMPLES = 10


def resident_mb(pid: int | None = None) -> float:
    """What a process holds in memory, MB; this one's without a pid. 0 where the system does not tell or it is gone."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope_of(samples: Sequence[tuple[float, float]], lasted_s: float) -> tuple[float | None, float]:
    """Of (seconds, MB) over a run: MB a minute once warm, by least squares, and over how many seconds; None where there
    is too little to tell."""
    import numpy as np

    if not samples:
        return None, 0.0
    warm_s = samples[0][0] + max(_WARM_UP_LEAST_S, _WARM_UP_SHARE * lasted_s)
    late = np.array([sample for sample in samples if sample[0] >= warm_s])
    if len(late) < _LEAST_SAMPLES:
        return None, 0.0
    times = (late[:, 0] - late[0, 0]) / 60
    return float(np.polyfit(times, late[:, 1], 1)[0]), float(late[-1, 0] - late[0, 0])


class MemoryLog:
    """Samples of this process's memory and of a child's, no more than one a second."""

    _EVERY_S = 1.0

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[float, float]]] = {"app": [], "drawing": []}
        self._last_s = -float("inf")

    def sample(self, drawing_pid: int | None) -> None:
        """Note what both hold now, unless a second has not passed."""
        now_s = time.monotonic()
        if now_s - self._last_s < self._EVERY_S:
            return
        self._last_s = now_s
        self._samples["app"].append((now_s, resident_mb()))
        if drawing_pid is not None:
            self._samples["drawing"].append((now_s, resident_mb(drawing_pid)))

    def report(self) -> dict[str, Any]:
        """For each process: MB at first, at most and at last; MB a minute once warm, told over how many seconds."""
        found = {}
        for name, samples in self._samples.items():
            if not samples:
                continue
            slope, seen_s = slope_of(samples, samples[-1][0] - samples[0][0])
            held = [mb for _, mb in samples]
            found[name] = {
                "mb": [round(held[0], 1), round(max(held), 1), round(held[-1], 1)],
                "mb_a_minute": None if slope is None else round(slope, 3),
                "seen_s": round(seen_s, 1),
            }
        return found


class CollectorWatch:
    """How long the garbage collector held everything up, while it is in gc.callbacks."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._pauses_s: list[float] = []

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        else:
            self._pauses_s.append(time.perf_counter() - self._began_s)

    def begin(self) -> None:
        """From now on."""
        self._pauses_s.clear()
        gc.callbacks.append(self)

    def end(self) -> dict[str, float]:
        """No longer; how many pauses there were, the longest and all together, ms."""
        gc.callbacks.remove(self)
        return {
            "pauses": len(self._pauses_s),
            "longest_ms": round(1000 * max(self._pauses_s, default=0.0), 2),
            "total_ms": round(1000 * sum(self._pauses_s), 1),
        }
