"""The fitted surface: the skin's own points, their derivatives, and which of them the camera sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.fitting.kinematics import Kinematics
from engine.fitting.observation import Observation
from engine.fitting.state import ANGLES, PARAMETERS, HandState
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface
from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton
from engine.hand.template import load_template
from tests.fitting.hands import DISTANCE_MM, half_open_hand, random_hand

COUNT = 400
KINEMATICS = Kinematics()
SURFACE = FittedSurface(load_template(), KINEMATICS, COUNT)
NOTHING = np.ones((128, 128), np.float32)


def seen_of(hand: HandState) -> SeenSurface:
    bones = KINEMATICS.pose(hand)
    return SURFACE.seen(bones, hand.thickness, Observation(NOTHING, DISTANCE_MM, bones.joints))


def test_points_are_those_of_the_hand_model() -> None:
    hand, skeleton = random_hand(3), Skeleton()
    parts = (hand.translation, hand.rotation, hand.articulation, hand.beta, hand.thickness)
    place, rotation, angles, beta, thickness = (torch.from_numpy(part).float()[None] for part in parts)
    pose = skeleton.pose(place, rotation, angles, skeleton.bone_lengths(beta))
    points, normals = sample_surface(load_template(), COUNT, skeleton, seed=1)(pose, thickness)
    seen = seen_of(hand)
    assert np.allclose(seen.points, points[0], atol=5e-3)
    assert np.allclose(seen.normals, normals[0], atol=1e-4)


def test_derivatives_are_those_of_small_steps() -> None:
    hand = half_open_hand()
    seen, index = seen_of(hand), np.arange(COUNT)
    pulls = Pulls(index, seen.normals, np.zeros(COUNT), np.ones(COUNT))
    jacobian = SURFACE.jacobian(seen, pulls, KINEMATICS.pose(hand), hand)
    # Where skin bends about several joints at once the derivatives are approximate, so most points must agree.
    for parameter in range(PARAMETERS):
        size = 2e-3 if ANGLES.start <= parameter < ANGLES.stop else 2e-2
        step = np.zeros(PARAMETERS)
        step[parameter] = size
        ahead, back = (seen_of(hand.moved(sign * step)).points for sign in (1, -1))
        rate = ((ahead - back) * seen.normals).sum(1) / (2 * size)
        off = np.abs(rate - jacobian[:, parameter])
        assert np.quantile(off, 0.8) < 0.02 * np.abs(rate).max() + 0.05, parameter


def test_what_lies_behind_the_hand_is_hidden() -> None:
    seen = seen_of(half_open_hand())
    assert 0.2 * COUNT < seen.visible.sum() <= seen.facing.sum() < 0.7 * COUNT
    fist = half_open_hand()
    fist.articulation.reshape(5, 4)[1:, [0, 2, 3]] = (1.3, 1.8, 0.9)
    closed = seen_of(fist)
    assert closed.visible.sum() < 0.9 * closed.facing.sum()


def test_nothing_is_seen_of_a_hand_outside_the_crop() -> None:
    away = replace(half_open_hand(), translation=np.array([900.0, 0.0, DISTANCE_MM]))
    assert not seen_of(away).facing.any()
