"""Interpreter settings that keep pauses out of the hot threads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: A thread that computes in Python is asked to yield after this long; the default, 5 ms, is a third of a frame's time.
_SWITCH_INTERVAL_S = 0.0001
#: Start-up leaves hundreds of thousands of objects; frozen, they are never walked again. What frames make is freed by
#: reference counting, so that the collector only has rare cycles left to find.
_GC_THRESHOLDS = (20_000, 20, 100)


@contextmanager
def loading() -> Iterator[None]:
    """While inside, the garbage collector rests: importing makes hundreds of thousands of objects and hardly any
    garbage, and walking them time and again is a tenth of what importing costs. low_latency() inside wakes it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def low_latency() -> Iterator[None]:
    """While inside, the garbage collector and thread switching are set for latency; restored on leaving."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    # Not collected before: that would walk everything once more, for a few thousand objects of garbage.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
