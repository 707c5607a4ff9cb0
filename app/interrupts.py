"""What Ctrl-C does while a command is still loading, and being told to end (SIGTERM) while it writes."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM, to be handled as Ctrl-C is."""


def end_at_once() -> None:
    """From now on Ctrl-C ends the process without a word: nothing is open yet.

    A KeyboardInterrupt raised while Qt or another C++ library is being imported would crash it, with pages of output.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt again, so that what was begun can be put in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_window(status: int) -> NoReturn:
    """End the process after its window, without taking the interpreter apart.

    That takes over a second with these libraries, and a thread that hangs in a camera's driver may crash in it. What
    was registered for the end runs first, and threads that are no daemons are waited for, as ever.
    """
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    os._exit(status)


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """While inside, SIGTERM raises Terminated, so that what was begun can be put in order; a second one waits for that.

    Without, the process would be gone at once and its temporary files stay. Does nothing in other threads than the
    main one, and where SIGTERM has a handler or is ignored.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
