"""The whole fit: hands that find back to their joints and to the depth they were rendered from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.fitting.fitter import FitConfig, HandFitter
from engine.fitting.observation import Observation
from engine.fitting.state import HandState
from engine.geometry.rotations import euler_to_matrix
from engine.hand.hand import HandModel
from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.template import load_template
from tests.fitting.hands import DISTANCE_MM, bent, crop_of, half_open_hand, random_hand

UNSURE = np.full(21, 40.0)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def fitter(steps: int = FitConfig.steps) -> HandFitter:
    return HandFitter(load_template(), FitConfig(steps=steps))


def joints(hand: HandState) -> np.ndarray:
    return HandFitter(load_template()).kinematics.pose(hand).joints


def error(hand: HandState, truth: HandState) -> float:
    return float(np.linalg.norm(joints(hand) - joints(truth), axis=1).mean())


def test_a_disturbed_hand_finds_back_to_its_points() -> None:
    before: list[float] = []
    after: list[float] = []
    for seed in range(10):
        truth, random = random_hand(seed), np.random.default_rng(100 + seed)
        turn = euler_to_matrix(torch.from_numpy(random.normal(0, 0.1, 3))).numpy()
        start = HandState(
            truth.translation + random.normal(0, 8, 3),
            turn @ truth.rotation,
            truth.articulation + random.normal(0, 0.15, 20),
            truth.beta + random.normal(0, 0.5, 20),
            truth.thickness,
        )
        fitted = fitter().fit(start, joints(truth), np.full(21, 4.0)).hand
        before.append(error(start, truth))
        after.append(error(fitted, truth))
        assert np.allclose(fitted.rotation @ fitted.rotation.T, np.eye(3), atol=1e-6)
    assert np.mean(before) > 10
    assert np.mean(after) < 2


def test_unsure_points_pull_less_and_leave_more_doubt() -> None:
    truth = random_hand(3)
    target = joints(truth)
    off = target.copy()
    off[8] += (0, 0, 60)
    sure, unsure = np.full(21, 3.0), np.full(21, 3.0)
    unsure[8] = 60.0
    sharp, vague = (fitter().fit(truth, off, sigma) for sigma in (sure, unsure))
    errors = [np.linalg.norm(joints(result.hand)[8] - target[8]) for result in (sharp, vague)]
    assert errors[1] < 0.3 * errors[0]
    assert vague.joint_sigma_mm[8] > 1.5 * sharp.joint_sigma_mm[8]


def test_limits_hold_against_impossible_points() -> None:
    low, high = ARTICULATION_LIMITS.T
    truth = random_hand(4)
    beyond = truth.articulation.copy()
    beyond[10] = high[10] + 1.0
    fitted = fitter(steps=6).fit(truth, joints(replace(truth, articulation=beyond)), np.full(21, 5.0)).hand
    assert (fitted.articulation < high + 0.2).all()
    assert (fitted.articulation > low - 0.2).all()


def test_a_displaced_hand_is_pulled_back_to_its_depth(model: HandModel) -> None:
    truth = half_open_hand()
    start = replace(truth, translation=truth.translation + (3.0, -2.0, 9.0), articulation=truth.articulation + 0.15)
    wrong = joints(start)
    seen = Observation(crop_of(truth, model), DISTANCE_MM, wrong)
    without = fitter(steps=4).fit(start, wrong, UNSURE)
    result = fitter(steps=4).fit(start, wrong, UNSURE, seen)
    assert error(start, truth) > 9
    assert error(result.hand, truth) < 0.35 * error(start, truth)
    assert result.residual_mm < 1.5
    assert np.isnan(without.residual_mm)
    assert (result.joint_sigma_mm < without.joint_sigma_mm).all()


def test_a_finger_beside_its_depth_comes_to_it(model: HandModel) -> None:
    truth = half_open_hand()
    start = bent(truth, index_1=-0.3)
    wrong = joints(start)
    seen = Observation(crop_of(truth, model), DISTANCE_MM, wrong)
    fitted = fitter(steps=6).fit(start, wrong, UNSURE, seen).hand
    tip = slice(8, 9)
    assert np.linalg.norm(wrong[tip] - joints(truth)[tip]) > 18
    assert np.linalg.norm(joints(fitted)[tip] - joints(truth)[tip]) < 6


def test_flesh_is_found(model: HandModel) -> None:
    truth = replace(half_open_hand(), thickness=np.full(6, 3.0))
    start = replace(truth, thickness=np.zeros(6))
    seen = Observation(crop_of(truth, model), DISTANCE_MM, joints(start))
    fitted = fitter(steps=6).fit(start, joints(truth), np.full(21, 2.0), seen).hand
    assert fitted.thickness.mean() > 1.5


@pytest.mark.parametrize("what", ["nothing", "something far before it"])
def test_a_crop_that_does_not_show_the_hand_changes_nothing(what: str) -> None:
    crop = np.ones((128, 128), np.float32) if what == "nothing" else np.full((128, 128), -0.9, np.float32)
    hand = half_open_hand()
    result = fitter().fit(hand, joints(hand), np.full(21, 5.0), Observation(crop, DISTANCE_MM, joints(hand)))
    assert error(result.hand, hand) < 1e-3
    assert np.isnan(result.residual_mm)


def test_the_frame_before_holds_what_is_not_known() -> None:
    hand = half_open_hand()
    last = bent(hand, ring_2=0.6).articulation
    alone, held = (fitter().fit(hand, joints(hand), UNSURE, last_angles=angles).hand for angles in (None, last))
    assert abs(alone.articulation[14] - hand.articulation[14]) < 0.01
    assert held.articulation[14] - hand.articulation[14] > 0.2
