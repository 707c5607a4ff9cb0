"""Loops that are compiled for the processor they run on.

In numpy, what the fit does to a few hundred points is a chain of calls that each cost more than their arithmetic, and
hold the interpreter's lock meanwhile. Numba compiles a loop where it is first called, for seconds, and keeps it beside
the source, in __pycache__, or in the user's cache where that cannot be written; app.compiling does so beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function of numbers and arrays, for the types that it is called with. Like C, it does not check
    indices; like numpy, it divides by zero."""
    try:
        loop = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep it
        loop = numba.njit(error_model="numpy")(function)
    return cast(F, loop)
