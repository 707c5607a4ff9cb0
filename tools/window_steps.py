"""Waiting in the window's own thread, for tools that use it as a person would."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.types import LumbricalError

#: Calibrating takes minutes on a busy machine.
_LIMIT_S = 400.0


def wait(seconds: float) -> None:
    """Let the window live for so long."""
    # Qt only once it is needed: what sets the number of threads comes before it.
    from app.ui.application import get_application

    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        get_application().processEvents()
        time.sleep(0.004)


def until(condition: Callable[[], bool], what: str) -> None:
    """Let it live until the condition holds; LumbricalError, with what did not come, after minutes."""
    end_s = time.monotonic() + _LIMIT_S
    while not condition():
        wait(0.05)
        if time.monotonic() > end_s:
            raise LumbricalError(f"{what} did not come within {_LIMIT_S:g} s")
