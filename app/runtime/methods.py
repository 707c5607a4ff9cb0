"""The methods that a hand can be tracked with: --method and the window's list offer them, and takes name theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.compiling import compile_loops
from engine.runners.choose import FIRST_RUNNER
from engine.types import FloatArray, LumbricalError, Side

if TYPE_CHECKING:
    from calibration.profiles import Profile
    from engine.hand.template import HandTemplate
    from engine.runners.protocol import Estimate, Runner
    from engine.tracker import Tracker


@dataclass(frozen=True)
class TrackerParts:
    """What a tracker is made of. weights: None for the shipped ones; hand: the user's own mesh, if any; profile: the
    user's calibrated hand, for methods that need one; runner: a name of engine.runners.choose.RUNNERS."""

    weights: Path | None = None
    hand: HandTemplate | None = None
    profile: Profile | None = None
    runner: str = FIRST_RUNNER


@dataclass(frozen=True)
class Method:
    """name: as --method takes it and takes keep it; title: as the window shows it; what: it does, in a line; build:
    makes the tracker, whose results tell the method by the version of the weights."""

    name: str
    title: str
    what: str
    build: Callable[[TrackerParts], Tracker]
    needs_profile: bool = False

    def make(self, parts: TrackerParts) -> Tracker:
        """The tracker; slow. LumbricalError when the weights cannot be used."""
        if self.needs_profile and parts.profile is None:
            raise LumbricalError(f"the method {self.name} needs a take that names its user: choose another method")
        compile_loops()
        return self.build(parts)


class _Labelled:
    """A runner whose version says by which method its estimates become hands."""

    def __init__(self, runner: Runner, label: str) -> None:
        self._runner = runner
        self.name = runner.name
        self.version = f"{runner.version} ({label})"

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        return self._runner.run(crops, distances)


def runner_of(weights: Path | None = None, runner: str = FIRST_RUNNER) -> Runner:
    """What runs the shipped weights or other ones; runner: a name of RUNNERS. LumbricalError when it cannot."""
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
    from engine.runners.choose import make_runner

    return make_runner(load_weights(weights or DEFAULT_WEIGHTS), runner)


def _fitted(parts: TrackerParts) -> Tracker:
    from engine.hand.hand import HandModel
    from engine.tracker import Tracker

    return Tracker(runner=runner_of(parts.weights, parts.runner), model=HandModel(parts.hand))


def _encoder_alone(parts: TrackerParts) -> Tracker:
    from engine.fitting.fitter import WithoutFit
    from engine.hand.hand import HandModel
    from engine.tracker import Tracker

    model = HandModel(parts.hand)
    return Tracker(
        runner=_Labelled(runner_of(parts.weights, parts.runner), "no fit"),
        model=model,
        fitter=WithoutFit(model.template),
    )


def _holding_shape(parts: TrackerParts) -> Tracker:
    from calibration.tracking import personal_hand
    from engine.tracker import Tracker

    assert parts.profile is not None
    model, shape = personal_hand(parts.profile.build, parts.hand)
    return Tracker(
        runner=_Labelled(runner_of(parts.weights, parts.runner), f"{parts.profile.user}'s shape"),
        model=model,
        shape=shape,
    )


METHODS = (
    Method("fit", "Encoder and fit", "the encoder's hand, fitted to the depth, its shape learnt", _fitted),
    Method("encoder", "Encoder alone", "the encoder's hand as it is, without fitting", _encoder_alone),
    Method("profile", "User's shape", "fitted with the shape that the take's user calibrated", _holding_shape, True),
)
DEFAULT_METHOD = METHODS[0].name
#: What the default is called where a user's shape is held, too.
PROFILE_METHOD = METHODS[2].name


def tracker_settings(
    side: Side | None, smoothing: float, method: str = DEFAULT_METHOD, runner: str = FIRST_RUNNER
) -> dict[str, Any]:
    """What a take says of the tracker that made its poses; side: None for either."""
    return {"side": side.value if side else None, "smoothing": smoothing, "method": method, "runner": runner}


def method_named(name: str) -> Method:
    """The method of that name. LumbricalError when there is none, such as of a take from a newer version."""
    for method in METHODS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in METHODS)
    raise LumbricalError(f"there is no method {name[:40]!r}; there are: {known}")
