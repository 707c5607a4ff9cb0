"""What a profile gives the tracker: a shape that it holds, and a surface that is the user's own."""

from __future__ import annotations

from calibration.frames import Build
from calibration.skin import personal_template
from engine.fitting.kinematics import Kinematics
from engine.fitting.state import KnownShape
from engine.hand.hand import HandModel
from engine.hand.relief import raised
from engine.hand.template import HandTemplate, load_template


def personal_hand(build: Build, template: HandTemplate | None = None) -> tuple[HandModel, KnownShape]:
    """The `model` and `shape` of an engine.tracker.Tracker that follows a hand of that build."""
    surface = personal_template(template or load_template(), build.skin, Kinematics())
    if build.relief.any():
        surface = raised(surface, build.relief)
    return HandModel(surface), KnownShape(build.beta, build.thickness)
