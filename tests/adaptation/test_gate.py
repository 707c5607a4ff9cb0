"""A candidate is promoted when live frames and rendered hands both say so, and live residuals are watched after."""

from __future__ import annotations

import numpy as np
import pytest

from engine.adaptation.gate import GateConfig, LiveWatch, judge, no_worse

BEFORE = np.linspace(3.0, 5.0, 30)


def test_what_is_better_everywhere_is_promoted() -> None:
    verdict = judge(BEFORE, 0.9 * BEFORE, 8.0, 8.1)
    assert verdict.promoted and verdict.live_before == pytest.approx(4.0) and verdict.live_after == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("after", "rendered", "words"),
    [
        (BEFORE, 8.0, "no better"),
        (0.9 * BEFORE, 8.5, "rendered hands got worse"),
        (0.9 * BEFORE, float("nan"), "rendered hands got worse"),
        (np.where(np.arange(30) < 25, 0.9 * BEFORE, np.nan), 8.0, "the worst"),
        (np.full(30, np.nan), 8.0, "no better"),
        (np.where(np.arange(30) < 14, 1.01 * BEFORE, np.where(np.arange(30) < 17, 3.0, BEFORE + 0.1)), 8.0, "too few"),
    ],
)
def test_what_is_not_better_is_thrown_away(after: np.ndarray, rendered: float, words: str) -> None:
    verdict = judge(BEFORE, after, 8.0, rendered)
    assert not verdict.promoted and words in verdict.reason


def test_few_frames_promote_nothing() -> None:
    assert "to judge by" in judge(BEFORE[:5], 0.5 * BEFORE[:5], 8.0, 8.0, GateConfig(fewest=6)).reason


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (1.03 * BEFORE, "fit worse (by 3 %)"),
        (np.where(np.arange(30) < 16, 1.03 * BEFORE, 0.5 * BEFORE), "fit worse"),
        (np.where(np.arange(30) < 25, BEFORE, np.nan), "the worst"),
        (np.full(30, np.nan), "fit worse"),
    ],
)
def test_what_fits_worse_is_thrown_away_whatever_else_is_better(after: np.ndarray, words: str) -> None:
    verdict = no_worse(BEFORE, after, 1.02)
    assert not verdict.promoted and words in verdict.reason


def test_frames_are_compared_one_by_one_where_a_candidate_may_be_as_good() -> None:
    after = BEFORE.copy()
    after[14:16] += 0.2  # the middle ones: the median rises by 5 %, two frames of thirty are worse
    assert np.median(after) > 1.02 * np.median(BEFORE)
    assert no_worse(BEFORE, after, 1.02).promoted and not judge(BEFORE, after, 8.0, 8.0).promoted
    assert "to judge by" in no_worse(BEFORE[:5], BEFORE[:5], 1.02).reason


def _watched(after_mm: float) -> list[bool]:
    watch = LiveWatch(count=10)
    assert not any(watch.add(3.0) for _ in range(20))
    watch.promoted()
    return [watch.add(after_mm) for _ in range(30)]


def test_a_worse_live_residual_is_told_once() -> None:
    assert _watched(5.0).index(True) == 9 and sum(_watched(5.0)) == 1
    assert sum(_watched(float("nan"))) == 1


def test_a_like_or_better_one_is_not() -> None:
    assert not any(_watched(3.3)) and not any(_watched(2.0))


def test_nothing_is_compared_across_sources() -> None:
    watch = LiveWatch(count=10)
    for _ in range(20):
        watch.add(3.0)
    watch.promoted()
    watch.forget()
    assert not any(watch.add(9.0) for _ in range(30))
