"""Is there a display to open a window on? Asked before any window is made, because Qt and GLFW abort without one."""

from __future__ import annotations

import os
import re
import socket
import sys

_TIMEOUT_S = 2.0
HEADLESS = (
    "without a window: `python main.py track SOURCE --headless`, "
    "or under a virtual display: put `xvfb-run -a` before the command"
)


def display_problem() -> str | None:
    """Why no window can be opened here, in a few words, or None when one can.

    Takes at most 2 s: the X server that DISPLAY names is really contacted, because a stale DISPLAY is common over ssh.
    """
    if not sys.platform.startswith("linux"):
        return None
    name = os.environ.get("DISPLAY", "")
    if not name:
        if os.environ.get("WAYLAND_DISPLAY"):
            return "no X display: the 3D view needs X11, so turn Xwayland on"
        return "no display"
    matched = re.fullmatch(r"(?:(?:unix|[^/:]*/unix)|(?P<host>.*)):(?P<number>\d{1,5})(?:\.\d+)?", name)
    if matched is None:
        return f"DISPLAY={name} is not the name of a display"
    if not _answers(matched["host"] or "", int(matched["number"])):
        return f"the display {name} does not answer"
    return None


def _answers(host: str, number: int) -> bool:
    """Whether an X server listens: on its socket (as a file, then abstract) for the local host, else on TCP."""
    if host:
        try:
            socket.create_connection((host.strip("[]"), 6000 + number), timeout=_TIMEOUT_S).close()
        except (OSError, OverflowError):
            return False
        return True
    path = f"/tmp/.X11-unix/X{number}"
    return any(_connects(address) for address in (path, "\0" + path))


def _connects(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True


def require_display() -> None:
    """Return when a window can be opened, else raise LumbricalError naming the headless command."""
    problem = display_problem()
    if problem is not None:
        # Imported here because it brings numpy, and `doctor` asks for the display where nothing is installed.
        from engine.types import LumbricalError

        raise LumbricalError(f"{problem}; {HEADLESS}")
