"""What Ctrl-C does while a command is still loading."""

from __future__ import annotations

import signal


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
