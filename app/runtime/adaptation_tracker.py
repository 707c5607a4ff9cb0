"""The tracker of an adapted version, made beside the one that runs, and how the running one goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.runtime.adaptation_folder import adapted_folder
from app.runtime.adaptation_process import WorkerSettings
from app.runtime.interfaces import FrameTracker
from engine.adaptation.versions import AdaptedVersion

if TYPE_CHECKING:
    from calibration.profiles import Profile

#: Makes a tracker for a version; of version 0 what the session began with. Slow: it belongs on no hot thread.
MakeVersion = Callable[[AdaptedVersion | None], FrameTracker]


def version_maker(begin: Callable[[], FrameTracker], weights: Path | None = None) -> MakeVersion:
    """begin: makes what the session begins with. weights: its encoder's, None for the shipped ones.

    The maker raises LumbricalError where a version's files cannot be used.
    """

    def make(version: AdaptedVersion | None) -> FrameTracker:
        from app.runtime.adaptation_trial import build_of
        from calibration.tracking import personal_hand
        from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights
        from engine.runners.onnx_runner import OnnxRunner
        from engine.tracker import Tracker

        if version is None or version.number == 0:
            return begin()
        own = version.weights is not None
        runner = OnnxRunner(
            load_weights(version.weights or weights or DEFAULT_WEIGHTS), path=version.onnx if own else None
        )
        build = build_of(version.hand)
        if build is None:
            return Tracker(runner=runner)
        model, shape = personal_hand(build)
        return Tracker(runner=runner, model=model, shape=shape)

    return make


def learning_of(
    profile: Profile | None, begin: Callable[[], FrameTracker], profiles: Path | None = None
) -> tuple[WorkerSettings, MakeVersion]:
    """What an AdaptationWorker needs to learn a profile's hand, or without one that of whoever is there.

    begin: makes what the session begins with, for any hand. profiles: their folder, None for the default one.
    """
    if profile is None:
        return WorkerSettings(adapted_folder(None, None, profiles)), version_maker(begin)

    def personal() -> FrameTracker:
        from calibration.tracking import personal_hand

        tracker = begin()
        tracker.hold(*personal_hand(profile.build))
        return tracker

    folder = adapted_folder(profile.user, profile.side, profiles)
    return WorkerSettings(folder, known=tuple(profile.build.vector.tolist())), version_maker(personal)


def go_on_with(tracker: FrameTracker) -> Callable[[FrameTracker], None]:
    """A request for TrackingWorker.between_frames: no frame is lost, and the hand is followed on."""

    def change(present: FrameTracker) -> None:
        from engine.tracker import Tracker

        if isinstance(present, Tracker) and isinstance(tracker, Tracker):
            present.go_on_with(tracker)

    return change
