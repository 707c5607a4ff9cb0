"""Loops that are compiled for the processor they run on.

In numpy, what the fit does to a few hundred points is a chain of calls that each cost more than their arithmetic. Numba
compiles a loop where it is first called, for seconds, and keeps it in CACHE; app.compiling does so beforehand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

import numba
from platformdirs import user_cache_path

F = TypeVar("F", bound=Callable[..., object])

_ENGINE = Path(__file__).parent


def compiled(function: F) -> F:
    """Compile a function of numbers and arrays, for the types that it is called with. Like C, it does not check
    indices; like numpy, it divides by zero."""
    try:
        loop = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep it
        loop = numba.njit(error_model="numpy")(function)
    return cast(F, loop)


def cache_of(engine: Path) -> Path:
    """Where to keep what is compiled of these sources: beside them, else in the user's cache.

    A folder for each state of all of them: machine code holds the constants and functions of other modules, too, and
    Numba looks at a loop's own module only.
    """
    sources = b"".join(file.read_bytes() for file in sorted(engine.rglob("*.py")))
    name = f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}"
    beside = engine / "__pycache__"
    with suppress(OSError):
        beside.mkdir(exist_ok=True)
    return (beside if os.access(beside, os.W_OK) else user_cache_path("lumbrical")) / name


#: NUMBA_CACHE_DIR, where that is set.
CACHE = Path(numba.config.CACHE_DIR or cache_of(_ENGINE))  # type: ignore[attr-defined]
numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]
