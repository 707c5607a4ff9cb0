"""What becomes of samples: a hand is learnt from good ones, and poison is not promoted."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.runtime.adaptation_round import Adapter, Outcome, RoundConfig
from app.runtime.adaptation_trial import Contender, build_of
from calibration.frames import Build
from engine.adaptation.anchors import AnchorConfig
from engine.adaptation.gate import GateConfig
from engine.adaptation.versions import VersionStore
from engine.methods.gaussian.weights import load_weights
from engine.training.renders import RenderConfig
from tests.adaptation.rendered_samples import samples

#: Small enough for tests; what is judged stays.
SMALL = RoundConfig(learn=12, judge=5, fewest=12, solve=16, news=8, train=False, rendered=8, gate=GateConfig(fewest=5))


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path)


def _worked(adapter: Adapter) -> list[Outcome]:
    found = []
    while adapter.busy:
        outcome = adapter.work()
        if outcome is not None:
            found.append(outcome)
    return found


def test_a_users_hand_is_learnt_and_comes_back(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, SMALL)
    for sample in samples(5, 2.0, 20.0):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert outcomes[-1].version == adapter.number > 0 and outcomes[-1].verdict.promoted
    hand = build_of(store.load(adapter.number).hand)
    assert hand is not None and np.linalg.norm(hand.beta) > 0.3
    assert Adapter(store, load_weights(), None, SMALL).number == 0  # what is in use, its owner says
    store.use(adapter.number)
    assert Adapter(store, load_weights(), None, SMALL).number == adapter.number


def test_few_frames_tell_an_average_but_no_build(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, replace(SMALL, fewest=1000))
    for sample in samples(5, 2.0, 20.0):
        adapter.take(sample)
    assert {one.what for one in _worked(adapter)} == {"surface"}


def test_another_users_frames_are_not_promoted_into_a_known_hand(store: VersionStore) -> None:
    beta = np.zeros(20)
    beta[0] = -2.2  # far from the user below
    adapter = Adapter(store, load_weights(), replace(Build.mean(), beta=beta), SMALL)
    for sample in samples(5, 2.0, 10.0):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert outcomes and store.numbers() == []
    assert all("another hand" in one.verdict.reason for one in outcomes)


def test_two_users_in_turn_are_not_promoted(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, replace(SMALL, solve=32, learn=24))
    for sample in (*samples(5, 2.0, 10.0), *samples(7, -2.5, 10.0, start_s=20.0)):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert outcomes and store.numbers() == []


def test_a_hand_that_was_learnt_is_solved_further_but_not_into_another_users(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, SMALL)
    for sample in samples(5, 2.0, 10.0):
        adapter.take(sample)
    _worked(adapter)
    learnt = adapter.number
    assert learnt
    for sample in samples(5, 2.0, 14.0, start_s=20.0):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert outcomes and all(one.what == "hand" for one in outcomes)
    known = adapter.number
    for sample in samples(7, -2.5, 20.0, start_s=40.0):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert outcomes and adapter.number == known >= learnt
    assert all("hand" in one.verdict.reason for one in outcomes if one.what == "hand"), [o.verdict for o in outcomes]


def test_frames_that_say_nothing_new_start_nothing(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, SMALL)
    frozen = samples(5, 2.0, 10.0)[0]
    for number in range(200):
        adapter.take(replace(frozen, time_s=number / 10))
    assert not adapter.busy and adapter.work() is None and len(adapter.buffer) <= 1


def test_who_shows_few_poses_is_learnt_too_but_later(store: VersionStore) -> None:
    few = samples(5, 2.0, 5.0)
    adapter = Adapter(store, load_weights(), None, replace(SMALL, learn=60, least=12, patience=80))
    busy = []
    for number in range(120):
        adapter.take(few[number % len(few)])
        busy.append(adapter.busy)
    assert 12 <= len(adapter.buffer) < 60 and len(adapter.held) >= SMALL.judge
    begun = busy.index(True)
    assert begun >= 79


def test_what_makes_rendered_hands_worse_is_thrown_away(store: VersionStore) -> None:
    wild = AnchorConfig(steps=3, batch=6, own=0, general=0, rate=0.05, render=RenderConfig(points=1000))
    adapter = Adapter(store, load_weights(), Build.mean(), replace(SMALL, train=True, anchors=wild, one_hand_mm=-1.0))
    for sample in samples(5, 2.0, 10.0):
        adapter.take(sample)
    outcomes = _worked(adapter)
    assert [one.what for one in outcomes] == ["hand", "encoder"]
    assert not outcomes[1].verdict.promoted and store.numbers() == []


def test_an_encoder_that_reads_the_user_more_rightly_is_promoted_and_one_that_does_not_is_not(
    store: VersionStore,
) -> None:
    shipped = load_weights()
    askew = replace(shipped, encoder=copy.deepcopy(shipped.encoder))
    with torch.no_grad():
        askew.encoder.moved.bias[:3] += 3.0 / 60.0  # all points 3 mm aside in each direction
    for encoder, other, better in ((askew, shipped, True), (shipped, askew, False), (shipped, shipped, False)):
        adapter = Adapter(store, encoder, Build.mean(), SMALL)
        for sample in samples(5, 0.0, 10.0):
            adapter.take(sample)
        verdict = adapter._read_better(Contender(other.encoder, Build.mean()))
        assert verdict.promoted is better, verdict.reason
        assert "read" in verdict.reason


def test_after_a_roll_back_new_frames_are_needed(store: VersionStore) -> None:
    adapter = Adapter(store, load_weights(), None, SMALL)
    for sample in samples(5, 2.0, 10.0):
        adapter.take(sample)
    _worked(adapter)
    adapter.rolled_back(0)
    assert adapter.number == 0 and not adapter.busy and len(adapter.buffer) == len(adapter.held) == 0
