"""Settings of the interpreter and the scheduler that keep pauses out of the hot threads."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

#: A thread that computes in Python is asked to yield after this long; the default, 5 ms, is a third of a frame's time.
_SWITCH_INTERVAL_S = 0.0001
#: Start-up leaves hundreds of thousands of objects; frozen, they are never walked again. What frames make is freed by
#: reference counting, so that the collector only has rare cycles left to find: it looks through few objects at a time,
#: every 20 s or so.
_GC_THRESHOLDS = (2_000, 20, 100)
#: What threads make on first use, the tracker above all, is there so long after the window.
SETTLED_S = 5.0
#: The cores that the process was given; empty where the system cannot say, or keep a thread to some of them.
_CORES = frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset[int]()


@contextlib.contextmanager
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


def settle() -> None:
    """Inside low_latency(), SETTLED_S later: what has been made until now stays, and is not walked again either."""
    gc.freeze()


def keep_beside_tracking() -> None:
    """Keep this thread, and those it starts, to the second of two cores; with more of them there is room for all.

    The tracking takes two thirds of a core. Free to choose, the scheduler now and then puts the window's thread or the
    drawing on the same one, and the frame is late by as long as it takes to notice."""
    if sys.platform == "linux" and len(_CORES) == 2:
        os.sched_setaffinity(0, {max(_CORES)})


def interrupt_nobody() -> None:
    """Let this thread, and those it starts, take the core from nobody when they wake.

    What the window's thread sends wakes the drawing process on the core that both keep to. If that went first, the
    window's thread would keep the interpreter's lock while it waits, up to 5 ms in which the tracking cannot begin."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not allowed in some containers: pictures are drawn all the same
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def use_all_cores() -> None:
    """Let this thread run where it will, whatever the thread that started it keeps to."""
    if sys.platform == "linux" and len(_CORES) == 2:
        os.sched_setaffinity(0, _CORES)


@contextlib.contextmanager
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
