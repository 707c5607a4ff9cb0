"""What the wizard says, in words."""

from __future__ import annotations

import math

from app.runtime.calibration_worker import CalibrationView, Phase
from app.ui import theme
from calibration.estimate import WITHIN_MM
from calibration.guide import GuideView, Stage
from calibration.session import Outcome, Verdict

VERDICT_COLORS = {Verdict.PASS: theme.GOOD, Verdict.RETAKE: theme.WARN, Verdict.NOT_ENOUGH: theme.ACCENT}
_MOST_NAMES = 4


def stage_words(view: CalibrationView) -> str:
    """What the user is to do now, one line."""
    guide = view.guide
    if view.phase is Phase.STARTING:
        return "Getting ready …"
    if view.phase is Phase.SOLVING or guide is None or guide.stage is Stage.ENDED:
        return "Solving for the whole session …"
    if guide.stage is Stage.LOOKING:
        return "Hold your hand before the camera."
    if guide.stage is Stage.COUNTDOWN:
        return "Take this pose."
    if guide.stage is Stage.HOLD:
        return "Hold it still." if guide.held == 0 else "Good, keep it …"
    if guide.stage is Stage.WATCHING:
        return "The recording is watched; poses are taken as they come."
    return ""


def verdict_words(guide: GuideView | None) -> tuple[str, str]:
    """The last verdict with its reason, and its colour; nothing before the first."""
    if guide is None or guide.judgement is None:
        return "", theme.QUIET
    judgement = guide.judgement
    whose = f"{guide.judged}: " if guide.judged else ""
    reason = f" – {judgement.reason}" if judgement.reason else ""
    return f"{whose}{judgement.verdict.value}{reason}", VERDICT_COLORS[judgement.verdict]


def count_words(view: CalibrationView) -> str:
    """How far the session has come."""
    guide, looked = view.guide, view.looked
    if guide is None:
        return ""
    parts = [f"{guide.frames} frames"]
    if guide.asked:
        parts.insert(0, f"{len(guide.passed)} poses passed")
    if looked is not None and looked.progress.frames:
        open_bones = len(looked.progress.undetermined())
        sure = f"{20 - open_bones} of 20 bones within ± {WITHIN_MM:g} mm"
        parts.append(sure)
    return " · ".join(parts)


def outcome_words(outcome: Outcome, compared_with: str) -> str:
    """Whether the new hand is the nearer one, and which bones are not known well."""
    before, after = outcome.before_mm, outcome.after_mm
    if not (math.isfinite(before) and math.isfinite(after)):
        told = "No frame was left to compare the new hand on."
    elif outcome.better:
        told = f"The new hand lies {100 * (1 - after / before):.0f} % nearer to {outcome.held_out} frames that it was"
        told += f" not learnt from than {compared_with} does."
    else:
        told = f"The new hand is no better than {compared_with} on {outcome.held_out} frames that it was not learnt"
        told += " from: better leave it, or show more poses."
    return f"{told} {unsure_words(outcome.estimate.undetermined())}"


def unsure_words(names: tuple[str, ...]) -> str:
    """Which bones are not known well."""
    if not names:
        return f"Every bone is within ± {WITHIN_MM:g} mm."
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"Not within ± {WITHIN_MM:g} mm: {listed}."


def residual_words(value: float) -> str:
    """A residual, beside the picture that it belongs to."""
    return f"{value:.1f} mm" if math.isfinite(value) else "not measured"
