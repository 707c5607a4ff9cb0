"""Whether a candidate is better: on frames of the user that it was not learnt from, and on rendered hands. Both must
say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import FloatArray

#: What a frame counts as whose hand is lost, mm: as much as the tracker believes at most.
LOST_MM = 12.0


@dataclass(frozen=True)
class GateConfig:
    """fewest: frames to judge by. ratio: the candidate's median residual over the present one's, at most. share: of
    frames that must have got better. tail: how much worse the worst tenth may get. rendered: by how much the error on
    rendered hands may rise."""

    fewest: int = 12
    ratio: float = 0.98
    share: float = 0.55
    tail: float = 1.10
    rendered: float = 1.03


@dataclass(frozen=True)
class Verdict:
    """promoted, and why or why not in words. live_before, live_after: median residuals, mm, NaN where not judged."""

    promoted: bool
    reason: str
    live_before: float = float("nan")
    live_after: float = float("nan")


def judge(
    before: FloatArray,
    after: FloatArray,
    rendered_before: float,
    rendered_after: float,
    config: GateConfig = GateConfig(),
    verb: str = "fit",
) -> Verdict:
    """before, after: (N,) residuals, or what else frames are judged by, mm, of the same held-out frames; not finite
    where the hand was lost. rendered_before, rendered_after: mean joint errors, mm, on the fixed rendered set. verb:
    what frames do better or worse, in words."""
    if len(before) < config.fewest:
        return Verdict(False, f"only {len(before)} frames to judge by, {config.fewest} are needed")
    old, new, live = _of_frames(before, after)
    if not live[1] <= config.ratio * live[0]:
        return Verdict(False, f"your frames {verb} no better ({live[0]:.2f} to {live[1]:.2f} mm)", *live)
    if np.mean(new < old) < config.share:
        return Verdict(False, f"too few of your frames {verb} better", *live)
    if worse := _worse_tail(old, new, config, verb):
        return Verdict(False, worse, *live)
    if not rendered_after <= config.rendered * rendered_before:
        return Verdict(False, f"rendered hands got worse ({rendered_before:.2f} to {rendered_after:.2f} mm)", *live)
    return Verdict(True, f"your frames {verb} better ({live[0]:.2f} to {live[1]:.2f} mm)", *live)


def no_worse(before: FloatArray, after: FloatArray, ratio: float, config: GateConfig = GateConfig()) -> Verdict:
    """Whether a candidate that is better by another measure fits the same frames no worse.

    ratio: a frame's residual with the candidate over that with the present one, at most, in the median of the frames.
    Taken frame by frame, as frames differ by more from each other than by who fits them. The rest as judge."""
    if len(before) < config.fewest:
        return Verdict(False, f"only {len(before)} frames to judge by, {config.fewest} are needed")
    old, new, live = _of_frames(before, after)
    change = float(np.median(new / np.maximum(old, 1e-3)))
    if not change <= ratio:
        return Verdict(False, f"your frames fit worse (by {100 * (change - 1):.0f} %)", *live)
    if worse := _worse_tail(old, new, config, "fit"):
        return Verdict(False, worse, *live)
    return Verdict(True, f"your frames fit no worse ({live[0]:.2f} to {live[1]:.2f} mm)", *live)


def _of_frames(before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray, tuple[float, float]]:
    """What frames are judged by, a lost hand as LOST_MM, and the medians of both."""
    old, new = (np.where(np.isfinite(each), np.minimum(each, LOST_MM), LOST_MM) for each in (before, after))
    return old, new, (float(np.median(old)), float(np.median(new)))


def _worse_tail(old: FloatArray, new: FloatArray, config: GateConfig, verb: str) -> str:
    worst = np.quantile(old, 0.9), np.quantile(new, 0.9)
    if worst[1] <= config.tail * worst[0]:
        return ""
    return f"the worst of your frames {verb} worse ({worst[0]:.2f} to {worst[1]:.2f} mm)"


class LiveWatch:
    """Tells when live residuals have worsened since a promotion: the median of the last `count` frames against that of
    as many before it. A hand that is lost counts as LOST_MM."""

    def __init__(self, count: int = 60, worse: float = 1.3, least_mm: float = 0.5) -> None:
        self._count, self._worse, self._least = count, worse, least_mm
        self._recent: list[float] = []
        self._before: float | None = None
        self._left = 0

    @property
    def recent(self) -> list[float]:
        """The last residuals, mm."""
        return list(self._recent)

    def add(self, residual_mm: float) -> bool:
        """Take a frame's residual; True, once, when it is worse than before the last promotion."""
        value = min(residual_mm, LOST_MM) if np.isfinite(residual_mm) else LOST_MM
        self._recent = [*self._recent[-(self._count - 1) :], value]
        if self._before is None:
            return False
        self._left -= 1
        if self._left > 0 or len(self._recent) < self._count:
            return False
        now, before = float(np.median(self._recent)), self._before
        if now > self._worse * before and now > before + self._least:
            self._before = None
            return True
        return False

    def promoted(self) -> None:
        """From the next frame on another version tracks."""
        self._before = float(np.median(self._recent)) if len(self._recent) >= self._count // 2 else None
        self._left = self._count
        self._recent = []

    def forget(self) -> None:
        """Another source, or the version before again: nothing to compare."""
        self._recent, self._before = [], None
