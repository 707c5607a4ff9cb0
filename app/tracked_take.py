"""A recording into a take, every frame of it tracked: what `record RECORDING` and `convert` share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.track import make_tracker
from app.runtime.describe import described
from app.runtime.methods import tracker_settings
from app.take_profile import profile_of_user
from engine.runners.choose import FIRST_RUNNER
from engine.sensors.protocol import Sensor
from engine.takes.facts import TakeInfo
from engine.types import DEFAULT_SMOOTHING, DepthFrame, Side

if TYPE_CHECKING:
    from engine.takes.writer import TakeWriter
    from engine.tracker import Tracker

_NO_HAND = "no hand in view"


@dataclass(frozen=True)
class TakeContents:
    """What a take is to hold. side: right, left or either, None as the source says; hand: the user's own mesh;
    runner: a name of RUNNERS; hand_only: nothing but the hand's pixels, which needs the tracker."""

    track: bool = True
    hand_only: bool = False
    side: str | None = None
    hand: Path | None = None
    runner: str = FIRST_RUNNER
    user: str = ""
    name: str = ""
    notes: str = ""

    def side_in(self, sensor: Sensor) -> Side | None:
        """The hand to look for in an open source, None for either."""
        if self.side is None:
            return sensor.side
        return None if self.side == "either" else Side(self.side)

    def info(self, sensor: Sensor, side: Side | None, weights: str = "") -> TakeInfo:
        """What the take says of itself; where it is made of another one, much of what that one said."""
        from engine.takes.source import TakeSource

        old = sensor.info if isinstance(sensor, TakeSource) else TakeInfo()
        settings = tracker_settings(side, DEFAULT_SMOOTHING, runner=self.runner) if self.track else None
        user = self.user or old.user
        profile = old.profile if user == old.user else None
        return TakeInfo(
            sensor=described(sensor), fps=min(1000.0, max(0.0, sensor.fps)), side=side,
            name=self.name or old.name, notes=self.notes or old.notes, user=user,
            profile=profile if profile is not None else profile_of_user(user, side),
            weights_version=weights, hand_only=self.hand_only or old.hand_only, settings=settings,
        )  # fmt: skip


def tracker_for(sensor: Sensor, wishes: TakeContents) -> Tracker | None:
    """The tracker for an open recording, at its start; None when it is not to be tracked."""
    if not wishes.track:
        return None
    tracker = make_tracker(wishes.hand, runner=wishes.runner)
    tracker.side = wishes.side_in(sensor)
    tracker.reset()
    return tracker


def write_tracked(
    writer: TakeWriter, frames: Iterable[DepthFrame], tracker: Tracker | None, hand_only: bool = False
) -> None:
    """Track and write frame by frame, however long it takes. Raises TakeError, and what the frames' source raises."""
    from engine.takes.hand_only import keep_hand

    for frame in frames:
        result = tracker.track(frame) if tracker is not None else None
        if not hand_only:
            writer.write_frame(frame)
        elif result is not None and (hand := keep_hand(result)) is not None:
            writer.write_frame(hand, whole=frame)
        else:
            writer.note_dropped(_NO_HAND)
        if result is not None:
            writer.write_pose(result)
