"""What runs adapted weights: the runner in use, whose plan gets them, or one that can."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from app.runtime.runner_check import compare
from engine.runners.choose import FIRST_RUNNER, REFERENCE, RUNNERS, make_runner
from engine.runners.protocol import Progress, Runner, go_on
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.methods.gaussian.weights import LoadedEncoder


def adapted_runner(
    loaded: LoadedEncoder, base: LoadedEncoder, runner: str, progress: Progress = go_on
) -> tuple[Runner, str, str]:
    """What runs `loaded`, its name, and, in words, why it is not `runner`, where it is not. base: the weights they were
    made of.

    ONNX Runtime takes the place of a runner that cannot run them, torch that of one that is off, too. Slow where a plan
    is built, of which progress is told; raises LumbricalError when it said no.
    """
    trouble = ""
    for name in dict.fromkeys((runner, FIRST_RUNNER)):
        try:
            return _proven(loaded, base, name, progress), name, _instead(name, trouble)
        except LumbricalError as error:
            if not progress(0.0):
                raise
            trouble = trouble or str(error)
    return make_runner(loaded, REFERENCE), REFERENCE, _instead(REFERENCE, trouble)


def _proven(loaded: LoadedEncoder, base: LoadedEncoder, name: str, progress: Progress) -> Runner:
    """The runner of that name, found to say the same as torch: refitted where that can be done, else built."""
    kind = RUNNERS[name]
    if kind.fixed:
        raise LumbricalError(kind.fixed)
    if kind.refit is not None:
        # Whatever a refit does not bring to work is thrown away: building anew brings it, only later.
        with suppress(LumbricalError):
            made = kind.refit(base, loaded)
            compare(made, loaded, name)
            return made
    made = make_runner(loaded, name, progress)
    if name != REFERENCE:
        compare(made, loaded, name)
    return made


def _instead(name: str, trouble: str) -> str:
    return f"{RUNNERS[name].title} runs the adapted weights: {trouble}" if trouble else ""
