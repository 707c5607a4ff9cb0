"""Skin that moves on its bones: derivatives against differences, and the template that it makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from calibration.frames import Build
from calibration.skin import (
    ALL_PARAMETERS,
    SKIN_SIZE,
    LooseSurface,
    SkinPrior,
    personal_template,
    shares_along,
    skin_moves,
)
from engine.fitting.kinematics import Kinematics
from engine.fitting.observation import Observation
from engine.fitting.state import PARAMETERS, HandState
from engine.fitting.surface import FittedSurface, Pulls
from engine.geometry.rotations import matrix_to_euler
from engine.hand.hand import HandModel
from engine.hand.template import HandTemplate, load_template
from engine.types import HandParameters
from tests.fitting.hands import DISTANCE_MM, crop_of, half_open_hand

COUNT = 400


@pytest.fixture(scope="module")
def surface() -> LooseSurface:
    return LooseSurface(load_template(), Kinematics(), COUNT)


@pytest.fixture(scope="module")
def observation() -> Observation:
    hand = half_open_hand()
    return Observation(crop_of(hand, HandModel()), DISTANCE_MM, Kinematics().pose(hand).joints)


def points(surface: LooseSurface, hand: HandState, skin: np.ndarray, observation: Observation) -> np.ndarray:
    return surface.loosened(Kinematics().pose(hand), hand.thickness, skin, observation).points.astype(np.float64)


def test_derivatives_are_those_of_the_points(surface: LooseSurface, observation: Observation) -> None:
    hand, random = replace(half_open_hand(), beta=np.full(20, 0.3)), np.random.default_rng(0)
    skin = random.normal(0, 2, SKIN_SIZE)
    bones = Kinematics().pose(hand)
    seen = surface.loosened(bones, hand.thickness, skin, observation)
    direction = random.normal(size=(COUNT, 3)).astype(np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    pulls = Pulls(np.arange(COUNT), direction, np.zeros(COUNT), np.ones(COUNT))
    jacobian = surface.loose_jacobian(seen, pulls, bones, hand)
    assert jacobian.shape == (COUNT, ALL_PARAMETERS)
    for index in range(SKIN_SIZE):
        step = np.zeros(SKIN_SIZE)
        step[index] = 4.0
        ends = [points(surface, hand, skin + sign * step, observation) for sign in (1, -1)]
        moved = ((ends[0] - ends[1]) / 8.0 * direction).sum(1)
        assert np.abs(jacobian[:, PARAMETERS + index] - moved).max() < 1e-3, index
    assert np.abs(jacobian[:, PARAMETERS:]).max(0).min() > 0.05


def test_skin_that_stays_is_the_fitted_surface(surface: LooseSurface, observation: Observation) -> None:
    hand = half_open_hand()
    bones = Kinematics().pose(hand)
    plain = FittedSurface(load_template(), Kinematics(), COUNT).seen(bones, hand.thickness, observation)
    assert np.array_equal(points(surface, hand, np.zeros(SKIN_SIZE), observation), plain.points)


def test_the_personal_template_moves_with_the_bones_as_the_loose_skin_does() -> None:
    skin, kinematics, template = np.random.default_rng(1).normal(0, 2, SKIN_SIZE), Kinematics(), load_template()
    hand = half_open_hand()
    plain, own = (posed_vertices(one, hand) for one in (template, personal_template(template, skin, kinematics)))
    along = shares_along(template.vertices, template.bone_weights, kinematics)
    frames = kinematics.pose(hand).frames
    moved = skin_moves(skin, template.bone_weights, along, frames, posed_normals(plain, template.faces))
    assert np.linalg.norm(moved, axis=1).mean() > 2
    assert np.linalg.norm(own - plain - moved, axis=1).mean() < 0.15


def posed_vertices(template: HandTemplate, hand: HandState) -> np.ndarray:
    euler = matrix_to_euler(torch.from_numpy(hand.rotation)).numpy()
    theta = np.concatenate((hand.translation, euler, hand.articulation)).astype(np.float32)
    zeros = np.zeros(26, np.float32)
    return HandModel(template)(HandParameters(theta, zeros[:20], zeros[20:], 1.0)).surface.vertices


def posed_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def test_normals_of_a_personal_template_point_outwards() -> None:
    template = load_template()
    same = personal_template(template, np.zeros(SKIN_SIZE), Kinematics())
    assert np.allclose(same.vertices, template.vertices, atol=1e-4)
    assert ((same.normals * template.normals).sum(1) > 0.8).mean() > 0.99


def test_the_prior_lets_the_palm_slide_as_one() -> None:
    covariance = np.linalg.inv(SkinPrior(palm_slide=20.0).precision())
    assert np.isclose(covariance[0, 4], 400.0)
    assert np.isclose(covariance[1, 5], 0.0)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_a_build_survives_its_vector() -> None:
    vector = np.arange(126.0)
    assert np.array_equal(Build.of(vector).vector, vector)
