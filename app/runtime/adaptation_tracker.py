"""The tracker of an adapted version, made beside the one that runs, and how the running one goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.runtime.adaptation_process import WorkerSettings
from app.runtime.interfaces import FrameTracker
from calibration.profiles import Profile, adapted_folder
from engine.adaptation.versions import AdaptedVersion
from engine.runners.choose import FIRST_RUNNER
from engine.runners.protocol import Progress

if TYPE_CHECKING:
    from engine.runners.protocol import Runner


@dataclass(frozen=True)
class MadeVersion:
    """runner: the name of what computes it; instead: why that is another one than the one in use, in words; empty where
    it is not."""

    tracker: FrameTracker
    runner: str
    instead: str = ""


#: Makes a tracker for a version; of version 0 what the session began with. Slow: it belongs on no hot thread.
MakeVersion = Callable[[AdaptedVersion | None, Progress], MadeVersion]


def first_runner() -> str:
    """The name of the runner in use, where it is never another."""
    return FIRST_RUNNER


def version_maker(begin: Callable[[], FrameTracker], runner: Callable[[], str] = first_runner) -> MakeVersion:
    """begin: makes what the session tracks with when nothing is adapted. runner: asked for the name of the runner in
    use.

    The maker raises LumbricalError where a version's files cannot be used.
    """

    def make(version: AdaptedVersion | None, progress: Progress) -> MadeVersion:
        from app.runtime.adaptation_trial import build_of
        from calibration.tracking import personal_hand
        from engine.tracker import Tracker

        if version is None or version.number == 0:
            return MadeVersion(begin(), runner())
        made, name, instead = _runner_of(version, runner(), progress)
        build = build_of(version.hand)
        if build is None:
            return MadeVersion(Tracker(runner=made), name, instead)
        model, shape = personal_hand(build)
        return MadeVersion(Tracker(runner=made, model=model, shape=shape), name, instead)

    return make


def _runner_of(version: AdaptedVersion, runner: str, progress: Progress) -> tuple[Runner, str, str]:
    """As adapted_runner: what runs a version's encoder; where it has none of its own, what runs the shipped one."""
    from app.runtime.adaptation_runner import adapted_runner
    from engine.methods.gaussian.weights import load_weights
    from engine.runners.choose import make_runner

    base = load_weights()
    if version.weights is None:
        return make_runner(base, runner, progress), runner, ""
    # Its graph was traced in the adaptation's process: here that would hold up the tracking thread.
    loaded = replace(load_weights(version.weights), onnx=version.onnx)
    return adapted_runner(loaded, base, runner, progress)


def learning_of(
    profile: Profile | None,
    begin: Callable[[], FrameTracker],
    profiles: Path | None = None,
    runner: Callable[[], str] = first_runner,
) -> tuple[WorkerSettings, MakeVersion]:
    """What an AdaptationWorker needs to learn a profile's hand, or without one that of whoever is there.

    begin: makes what the session begins with, for any hand. profiles: their folder, None for the default one. runner:
    see version_maker.
    """
    if profile is None:
        return WorkerSettings(adapted_folder(None, None, profiles)), version_maker(begin, runner)

    def personal() -> FrameTracker:
        from calibration.tracking import personal_hand

        tracker = begin()
        tracker.hold(*personal_hand(profile.build))
        return tracker

    folder = adapted_folder(profile.user, profile.side, profiles)
    return WorkerSettings(folder, known=tuple(profile.build.vector.tolist())), version_maker(personal, runner)
