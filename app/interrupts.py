"""What Ctrl-C does while a command is still loading, and being told to end (SIGTERM, SIGHUP) while it writes."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

#: Someone ends the program; its terminal was closed, or the connection to it is gone, which Windows does not tell.
_TOLD_TO_END = tuple(one for one in signal.Signals if one.name in ("SIGTERM", "SIGHUP"))


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP (number), to be handled as Ctrl-C is."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a process that ends by it returns: 143 or 129."""
        return 128 + self.number


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


@contextmanager
def interrupts_told(left: str) -> Iterator[None]:
    """While inside, Ctrl-C is told in one line on stderr, with what it has left, and raised on. Being told to end is
    not: whoever does it reads the exit status."""
    try:
        yield
    except Terminated:
        raise
    except KeyboardInterrupt:
        print(f"lumbrical: interrupted: {left}", file=sys.stderr)
        raise


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
    """While inside, SIGTERM and SIGHUP raise Terminated, so that what was begun can be put in order; a second one waits
    for that.

    Without, the process would be gone at once and its temporary files stay. Does nothing in other threads than the
    main one, and for signals that have a handler or are ignored.
    """
    taken = _untouched(_TOLD_TO_END)
    terminals = _terminals()

    told = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True
        for one in taken:
            signal.signal(one, signal.SIG_IGN)
        _leave_closed(terminals)
        raise Terminated(number)

    try:
        for one in taken:
            signal.signal(one, end)
        yield
    finally:
        for one in taken:
            # What HeldInterrupts left ignored stays so.
            if told or signal.getsignal(one) is end:
                signal.signal(one, signal.SIG_DFL)


def _untouched(signals: tuple[signal.Signals, ...]) -> tuple[signal.Signals, ...]:
    """Those that would end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    return tuple(one for one in signals if signal.getsignal(one) is signal.SIG_DFL)


def _terminals() -> tuple[int, ...]:
    """What of stdout and stderr is a terminal."""
    return tuple(number for number in (1, 2) if os.isatty(number))


def _leave_closed(terminals: tuple[int, ...]) -> None:
    """What was a terminal and is none any more takes no more words: trying to would end what is being put in order."""
    for number in terminals:
        if not os.isatty(number):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)


class HeldInterrupts:
    """Lets Ctrl-C, SIGTERM and SIGHUP wait for a moment at which nothing is half done: from hold() until the context
    ends they do nothing, however often they come, but what raise_now() does when it is called.

    Ignored ones stay ignored; holds nothing in other threads than the main one. came: the first one, or None.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._terminals = _terminals()

    def __enter__(self) -> Self:
        return self

    def hold(self) -> None:
        """Begin."""
        if threading.current_thread() is not threading.main_thread():
            return
        for one in (signal.SIGINT, *_TOLD_TO_END):
            if signal.getsignal(one) is not signal.SIG_IGN:
                self._before[one] = signal.signal(one, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or number
        _leave_closed(self._terminals)

    def raise_now(self) -> None:
        """Raise what came, KeyboardInterrupt or Terminated."""
        if self.came is not None:
            raise KeyboardInterrupt if self.came == signal.SIGINT else Terminated(self.came)

    @property
    def exit_status(self) -> int:
        """Of what was ended in order: 0 where it came to its end or Ctrl-C ended it, else 143 or 129."""
        return 0 if self.came in (None, signal.SIGINT) else Terminated(self.came).exit_status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Once told, the process is about to end: another word would only spoil its exit status.
        told = self.came in _TOLD_TO_END
        for one, handler in self._before.items():
            signal.signal(one, signal.SIG_IGN if told and one in _TOLD_TO_END else handler)
