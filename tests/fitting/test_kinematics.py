"""The fit's own kinematics against the hand model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.fitting.kinematics import Kinematics
from engine.fitting.state import PARAMETERS
from engine.hand.skeleton import Skeleton
from tests.fitting.hands import random_hand


@pytest.mark.parametrize("seed", range(4))
def test_bones_stand_where_the_skeletons_do(seed: int) -> None:
    skeleton, hand = Skeleton(torch.float64), random_hand(seed)
    place, rotation, angles, beta = (
        torch.from_numpy(part)[None] for part in (hand.translation, hand.rotation, hand.articulation, hand.beta)
    )
    expected = skeleton.pose(place, rotation, angles, skeleton.bone_lengths(beta))
    bones = Kinematics().pose(hand)
    assert np.allclose(bones.joints, expected.joints[0], atol=1e-9)
    assert np.allclose(bones.frames, expected.rotations[0], atol=1e-12)
    assert np.allclose(bones.origins, expected.origins[0], atol=1e-9)
    assert np.allclose(bones.lengths, expected.bone_lengths[0])


def test_a_bone_never_shrinks_to_nothing() -> None:
    hand = random_hand(0)
    hand.beta[:] = -30.0
    kinematics = Kinematics()
    assert (kinematics.pose(hand).lengths >= 0.2 * kinematics.mean - 1e-9).all()


def test_derivatives_are_those_of_small_steps() -> None:
    kinematics, hand = Kinematics(), random_hand(1)
    jacobian = kinematics.joint_jacobian(kinematics.pose(hand))
    for parameter in range(PARAMETERS):
        step = np.zeros(PARAMETERS)
        step[parameter] = 1e-5
        ahead, back = (kinematics.pose(hand.moved(sign * step)).joints for sign in (1, -1))
        assert np.allclose(jacobian[:, parameter], (ahead - back).reshape(-1) / 2e-5, atol=1e-4), parameter


def test_away_from_is_the_step_that_was_taken() -> None:
    hand = random_hand(2)
    step = np.random.default_rng(0).normal(0, 0.3, PARAMETERS)
    assert np.allclose(hand.moved(step).away_from(hand), step)
