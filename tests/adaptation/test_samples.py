"""What is learnt from: diverse, within its memory, and no poison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.adaptation.samples import FrozenWatch, Sample, SampleBuffer, SampleGate, SamplePace, sample_of, seen_share
from tests.adaptation.rendered_samples import (
    Spoil,
    ball_instead,
    board_before,
    frames,
    half_covered,
    tracked,
)


def _sample(pose: float, time_s: float = 0.0) -> Sample:
    descriptor = np.zeros(26, np.float32)
    descriptor[0] = pose
    crop = np.ones((128, 128), np.float16)
    return Sample(crop, 500.0, descriptor, 3.0, 0.95, 1.0, 0.0, True, time_s)


def test_poses_that_are_held_already_are_not_held_again() -> None:
    buffer = SampleBuffer(spacing=0.5)
    assert [buffer.offer(_sample(pose)) for pose in (0.0, 0.2, 1.0, 1.1)] == [True, False, True, False]
    assert len(buffer) == buffer.taken == 2


def test_an_unknown_hand_is_sampled_more_often_than_a_known_one() -> None:
    counts = []
    for known in (False, True):
        pace = SamplePace()
        pace.known = known
        counts.append(sum(pace.due(number / 90) for number in range(900)))
    assert counts == [300, 100]


def test_memory_is_capped_and_the_most_alike_make_room() -> None:
    size = _sample(0.0).size_bytes
    buffer = SampleBuffer(3 * size, spacing=0.1)
    for pose in (0.0, 0.3, 5.0):
        assert buffer.offer(_sample(pose))
    assert not buffer.offer(_sample(5.2))
    assert buffer.offer(_sample(9.0))
    assert [one.pose[0] for one in buffer.samples] == pytest.approx([0.3, 5.0, 9.0])
    assert buffer.size_bytes <= 3 * size
    assert not SampleBuffer(size - 1).offer(_sample(0.0))


def test_the_spread_takes_the_farthest_poses_in_order_of_time() -> None:
    buffer = SampleBuffer(spacing=0.01)
    for pose in (0.0, 0.1, 4.0, 4.1, 8.0):
        buffer.offer(_sample(pose))
    assert [one.pose[0] for one in buffer.spread(3)] == pytest.approx([0.0, 4.0, 8.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"confidence": 0.5}, "no hand is seen"),
        ({"confidence": float("nan")}, "no hand is seen"),
        ({"residual_mm": 9.5}, "not followed well"),
        ({"residual_mm": float("nan")}, "not followed well"),
        ({"whole": False}, "not whole"),
        ({"covered": 0.5}, "not measured"),
        ({"hidden": 0.6}, "lies before"),
    ],
)
def test_the_gate_says_why(change: dict[str, Any], words: str) -> None:
    assert SampleGate().objection(_sample(0.0)) == ""
    assert words in SampleGate().objection(replace(_sample(0.0), **change))


def test_shares_of_a_flat_hand() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-40, 40, 60), np.linspace(-40, 40, 60)), -1).reshape(-1, 2)
    surface = np.concatenate((grid, np.full((len(grid), 1), 500.0)), 1).astype(np.float32)
    crop = np.zeros((128, 128), np.float32)
    assert seen_share(surface, 500.0, crop) == (1.0, 0.0)
    crop[:, :64] = 1.0
    assert seen_share(surface, 500.0, crop)[0] == pytest.approx(0.5, abs=0.03)
    crop[:, :64] = -0.4
    assert seen_share(surface, 500.0, crop)[1] == pytest.approx(0.5, abs=0.03)


def _taken(spoil: Spoil) -> float:
    shown = frames(5, 0.0, 5.0)
    gate = SampleGate()
    found = [sample_of(result) for result in tracked(shown, spoil)]
    return sum(one is not None and gate.objection(one) == "" for one in found) / len(shown)


def test_most_clean_frames_are_taken() -> None:
    assert _taken(lambda frame: frame) > 0.6


@pytest.mark.parametrize("spoil", [half_covered, board_before, ball_instead])
def test_poisoned_frames_are_not_taken(spoil: Spoil) -> None:
    assert _taken(spoil) < 0.12


def test_a_frozen_camera_is_noticed() -> None:
    watch, shown = FrozenWatch(), [one.frame for one in frames(5, 0.0, 5.0)[:3]]
    assert [watch.repeats(frame) for frame in shown] == [False, False, False]
    assert watch.repeats(replace(shown[2], number=9, device_time_s=99.0))
    assert not watch.repeats(shown[0])
