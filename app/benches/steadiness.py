"""How steady the machine itself is: what the same computation takes, again and again, with nothing beside it.

Latencies are of the machine too. Where this varies, others' work shares its cores, or their clock goes up and down.
"""

from __future__ import annotations

import time

#: About a millisecond of arithmetic, no memory to speak of.
_STEPS = 40_000
_SECONDS = 1.5


def computations_ms(seconds: float = _SECONDS) -> list[float]:
    """How long each took, of as many as fit into that time."""
    times = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        total = 0
        for step in range(_STEPS):
            total += step
        times.append(1000 * (time.perf_counter() - began))
    return times
