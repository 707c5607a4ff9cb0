"""Shared memory that nobody else holds: what a leak would leave behind."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from pathlib import Path

_FOLDER = Path("/dev/shm")


def unclaimed() -> frozenset[str]:
    """Names of shared memory that no process but this one and its children has mapped; none where the system does
    not tell. The memory is the whole machine's, and other programs come and go."""
    if not _FOLDER.is_dir():
        return frozenset()
    # In this order: what another program makes meanwhile is not among the names yet.
    names = frozenset(os.listdir(_FOLDER))
    return names - _mapped_elsewhere() if names else names


def nameless_blocks() -> int:
    """How many pieces without a name, as sensors in processes of their own have, are mapped here; 0 where the system
    does not tell."""
    with suppress(OSError):
        return Path("/proc/self/maps").read_text().count(" /memfd:lumbrical")
    return 0


def _mapped_elsewhere() -> frozenset[str]:
    ours = {os.getpid(), *(child.pid for child in multiprocessing.active_children())}
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) in ours:
            continue
        with suppress(OSError):  # it has ended, or is somebody else's: what it holds is not told
            for line in (process / "maps").read_text().splitlines():
                _, mark, name = line.partition(f" {_FOLDER}/")
                if mark:
                    found.add(name)
    return frozenset(found)
