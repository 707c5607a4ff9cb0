"""What measured pixels and the outline ask of a hand that is not where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.fitting.kinematics import Kinematics
from engine.fitting.nearest import NearestConfig, nearest_pulls
from engine.fitting.observation import Observation
from engine.fitting.silhouette import SilhouetteConfig, silhouette_pulls
from engine.fitting.state import HandState
from engine.fitting.surface import FittedSurface, Pulls, SeenSurface
from engine.hand.hand import HandModel
from engine.hand.template import load_template
from tests.fitting.hands import DISTANCE_MM, crop_of, half_open_hand

KINEMATICS = Kinematics()
SURFACE = FittedSurface(load_template(), KINEMATICS, 800)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def looked_at(crop: np.ndarray, hand: HandState) -> tuple[Observation, SeenSurface]:
    bones = KINEMATICS.pose(hand)
    observation = Observation(crop, DISTANCE_MM, bones.joints)
    return observation, SURFACE.seen(bones, hand.thickness, observation)


def shift_asked(pulls: Pulls) -> np.ndarray:
    """(3,) the one shift that answers all pulls best."""
    weighted = pulls.direction * pulls.weight[:, None]
    return -np.linalg.solve(weighted.T @ pulls.direction, weighted.T @ pulls.residual)


def test_measured_points_and_normals_are_those_of_the_surface(model: HandModel) -> None:
    hand = half_open_hand()
    observation, seen = looked_at(crop_of(hand, model), hand)
    assert 300 < len(observation.points) < 1500
    gaps = np.linalg.norm(observation.points[:, None] - seen.points[seen.visible], axis=2)
    assert np.median(gaps.min(1)) < 4
    agree = (observation.normals * seen.normals[seen.visible][gaps.argmin(1)]).sum(1)
    assert np.median(agree[observation.normals[:, 2] != 0]) > 0.9


def test_pixels_ask_a_displaced_hand_back(model: HandModel) -> None:
    truth, wrong = half_open_hand(), np.array([4.0, -3.0, 6.0])
    observation, seen = looked_at(crop_of(truth, model), replace(truth, translation=truth.translation + wrong))
    planes = nearest_pulls(observation, seen, SURFACE, NearestConfig(), 0)[0]
    asked = shift_asked(planes)
    assert np.linalg.norm(asked + wrong) < 0.6 * np.linalg.norm(wrong)
    assert SURFACE.skin[planes.index].all()


def test_every_pixel_is_asked_in_turn(model: HandModel) -> None:
    hand = half_open_hand()
    observation, seen = looked_at(crop_of(hand, model), hand)
    config = NearestConfig(turns=2)
    first, second = (len(nearest_pulls(observation, seen, SURFACE, config, turn)[0].index) for turn in (0, 1))
    every = len(nearest_pulls(observation, seen, SURFACE, replace(config, turns=1), 0)[0].index)
    assert first + second == every > 200


def test_pixels_of_something_else_say_nothing(model: HandModel) -> None:
    hand = half_open_hand()
    before = np.full((128, 128), -0.9, np.float32)
    observation, seen = looked_at(before, hand)
    assert sum(len(pulls.index) for pulls in nearest_pulls(observation, seen, SURFACE, NearestConfig(), 0)) == 0
    observation, seen = looked_at(np.ones((128, 128), np.float32), hand)
    assert nearest_pulls(observation, seen, SURFACE, NearestConfig(), 0) == []
    assert observation.outline(1e4) is None


def test_nearest_to_a_pixel_of_the_hand_is_itself_and_to_others_one_as_far_as_told(model: HandModel) -> None:
    hand = half_open_hand()
    outline = looked_at(crop_of(hand, model), hand)[0].outline(2000.0)
    assert outline is not None
    row, column = np.indices((128, 128)).reshape(2, -1)
    nearest = np.stack(np.divmod(outline.pixels[outline.labels.ravel() - 1], 128), 1)
    apart = np.linalg.norm(nearest - np.stack((row, column), 1), axis=1)
    told = outline.distance.ravel()
    assert (apart[told == 0] == 0).all() and len(outline.pixels) == (told == 0).sum() > 1000
    assert np.allclose(apart, told, rtol=0.05)


def test_points_over_the_background_are_pulled_to_the_outline(model: HandModel) -> None:
    truth, wrong = half_open_hand(), np.array([15.0, 0.0, 0.0])
    observation, seen = looked_at(crop_of(truth, model), replace(truth, translation=truth.translation + wrong))
    outline = observation.outline(2000.0)
    assert outline is not None
    pulls = silhouette_pulls(observation, outline, seen, SURFACE, SilhouetteConfig())
    assert len(pulls.index) > 10
    assert (pulls.direction[:, 0] > 0).mean() > 0.8
    assert 3 < np.median(pulls.residual) < 15
    settled = silhouette_pulls(
        observation, outline, looked_at(crop_of(truth, model), truth)[1], SURFACE, SilhouetteConfig()
    )
    assert len(settled.index) < 0.2 * len(pulls.index)
