"""Gathering a user's frames from tracked ones: what `calibrate` and the wizard do alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from calibration.frames import CalibrationFrame
from calibration.profiles import Profile
from calibration.session import CalibrationSession, Judgement, Outcome, SessionConfig, Verdict
from engine.adaptation.observed import result_window
from engine.adaptation.samples import result_share
from engine.runners.protocol import Runner
from engine.takes.words import counted
from engine.types import LumbricalError, Side, TrackingResult, TrackingState

NO_HAND = "no hand"


@dataclass
class Collection:
    """Sessions by side, as a source need not say which hand it shows; and what became of the frames. reasons: why some
    are to be taken again."""

    config: SessionConfig = field(default_factory=SessionConfig)
    sessions: dict[Side, CalibrationSession] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    frames: int = 0

    def read(self, result: TrackingResult, runner: Runner) -> CalibrationFrame | None:
        """A tracked frame, looked at once more around its hand; None, and counted as such, where there is none."""
        self.frames += 1
        window = result_window(result)
        if result.state is not TrackingState.TRACKING or window is None or result.geometry is None:
            self.verdicts[NO_HAND] += 1
            return None
        frame = CalibrationFrame.read(runner, result.frame, window)
        return replace(frame, hidden=result_share(result.geometry, window, frame.crop)[1])

    def offer(self, frame: CalibrationFrame, result: TrackingResult) -> Judgement:
        """Judge what was read of a result, and keep it in its side's session where it passes."""
        judgement = self.session(result.side).offer(frame, result.residual_mm)
        self.verdicts[judgement.verdict.value] += 1
        if judgement.verdict is Verdict.RETAKE:
            self.reasons[judgement.reason] += 1
        return judgement

    def session(self, side: Side) -> CalibrationSession:
        """That hand's."""
        if side not in self.sessions:
            self.sessions[side] = CalibrationSession(config=self.config)
        return self.sessions[side]

    @property
    def passed(self) -> int:
        """How many frames were kept or could have been."""
        return self.verdicts[Verdict.PASS.value]

    def chosen(self) -> tuple[Side, CalibrationSession]:
        """The hand with the most frames. LumbricalError where there is none."""
        if not self.sessions:
            seen = counted(self.frames, "frame")
            raise LumbricalError(f"in {seen} no hand is seen: there is nothing to learn from")
        side = max(self.sessions, key=lambda one: len(self.sessions[one]))
        return side, self.sessions[side]


def learnt_profile(user: str, side: Side, outcome: Outcome, sensor: str) -> Profile:
    """What a session learnt, as a profile of now."""
    estimate = outcome.estimate
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Profile(
        user, side, estimate.build, estimate.covariance, estimate.frames, sensor, now,
        outcome.before_mm, outcome.after_mm,
    )  # fmt: skip
