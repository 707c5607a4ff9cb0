"""What every runner does: an encoder's estimate of a few crops, as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from engine.types import DepthFrame, FloatArray, LumbricalError

if TYPE_CHECKING:
    from engine.localise.crop import CropWindow

#: Told the part of the work that is done, 0 to 1; returns whether to go on.
Progress = Callable[[float], bool]


def go_on(done: float) -> bool:
    """A Progress that nobody looks at."""
    return True


class RunnerFailed(LumbricalError):
    """A GPU fails on which a runner has worked until then, as after a laptop slept."""


@dataclass(frozen=True)
class Estimate:
    """An encoder's outputs for a batch of B crops, each in its crop's virtual camera.

    points (B, 21, 3) and translation (B, 3): mm from the cube's centre. sigma: (B, 21) mm, expected error of a point.
    rotation (B, 3, 3); articulation (B, 20) radians; beta (B, 20); thickness (B, 6) mm; hand and right: (B,)
    probabilities that a hand is there and that it is a right one.
    """

    points: FloatArray
    sigma: FloatArray
    translation: FloatArray
    rotation: FloatArray
    articulation: FloatArray
    beta: FloatArray
    thickness: FloatArray
    hand: FloatArray
    right: FloatArray


class Runner(Protocol):
    """Runs one set of weights. name: shown to the user; version: of the weights."""

    name: str
    version: str

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """crops (B, 128, 128) float32 in [-1, 1], distances (B,) float32 mm -> Estimate."""
        ...


@runtime_checkable
class CuttingRunner(Runner, Protocol):
    """One that cuts crops where it reads them, as on a GPU."""

    def cut(self, frame: DepthFrame, windows: Sequence[CropWindow]) -> FloatArray:
        """The crops (B, 128, 128) of B windows, for the `run` that follows."""
        ...
