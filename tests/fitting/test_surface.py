"""The surface term: its derivatives, and hands that are pulled to the depth they were rendered from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.fitting.surface import SurfaceConfig, SurfaceTerm
from engine.geometry.rotations import euler_to_matrix, matrix_to_euler
from engine.hand.hand import HandModel
from engine.hand.inverse_kinematics import FitConfig, FittedPose, PoseFitter
from engine.hand.template import load_template
from engine.localise.crop import cut, look_at
from engine.rendering.mesh_depth import render_depth
from engine.types import DepthFrame, HandParameters, Intrinsics

CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
CENTRE = np.array([0.0, 0.0, 500.0])
NO_FLESH = np.zeros(6, np.float32)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def a_hand() -> FittedPose:
    rotation = euler_to_matrix(torch.tensor([0.2, 0.3, -0.2], dtype=torch.float64)).numpy()
    articulation = np.zeros(20)
    articulation.reshape(5, 4)[1:, [0, 2, 3]] = (0.3, 0.5, 0.3)
    return FittedPose(np.array([0.0, 70.0, 500.0]), rotation, articulation, np.zeros(20))


def crop_of(fit: FittedPose, model: HandModel) -> NDArray[np.float32]:
    euler = matrix_to_euler(torch.from_numpy(fit.rotation)).numpy()
    theta = np.concatenate((fit.translation, euler, fit.articulation)).astype(np.float32)
    hand = HandParameters(theta, fit.beta.astype(np.float32), NO_FLESH, 1.0)
    depth = render_depth(model(hand).vertices, model.faces, CAMERA)
    frame = DepthFrame(np.rint(depth * 10).astype(np.uint16), 0.1, CAMERA, 0, 0.0, 0.0)
    return cut(frame, look_at(CENTRE))


def test_derivatives_are_those_of_the_points_along_their_normals(model: HandModel) -> None:
    fit, fitter = a_hand(), PoseFitter(model.skeleton)
    term = SurfaceTerm(load_template(), model.skeleton, SurfaceConfig(points=300))
    flesh = torch.zeros(1, 6)
    pose = fitter.pose(fit)
    points, normals = (t[0].double().numpy() for t in term._surface(pose, flesh))
    # Only points that belong to one bone alone: elsewhere the term takes the strongest one's derivative.
    weights = term._surface.position_weights.unflatten(1, (20, 4))[..., 3].numpy()
    alone = weights.max(1) > 0.999
    assert alone.sum() > 60
    jacobian = term._jacobian(points, normals, term._bone, fit, pose)
    for angle in range(20):
        step = np.zeros(20)
        step[angle] = 1e-3
        moved, _ = term._surface(fitter.pose(replace(fit, articulation=fit.articulation + step)), flesh)
        rate = ((moved[0].double().numpy() - points) * normals).sum(1) / 1e-3
        assert np.allclose(rate[alone], jacobian[alone, 6 + angle], atol=1.5), angle


def test_a_displaced_hand_is_pulled_back_to_its_depth(model: HandModel) -> None:
    truth = a_hand()
    crop = crop_of(truth, model)
    term = SurfaceTerm(load_template(), model.skeleton)
    fitter = PoseFitter(model.skeleton, FitConfig(steps=6))
    start = replace(truth, translation=truth.translation + (3.0, -2.0, 9.0), articulation=truth.articulation + 0.15)
    wrong = fitter.pose(start).joints[0].numpy()
    unsure = np.full(21, 40.0)
    with_depth = fitter.fit(
        start, wrong, unsure, lambda fit, pose: term.normal_equations(fit, pose, NO_FLESH, crop, 500.0)
    )
    target = fitter.pose(truth).joints[0].numpy()
    before = np.linalg.norm(wrong - target, axis=1).mean()
    after = np.linalg.norm(fitter.pose(with_depth).joints[0].numpy() - target, axis=1).mean()
    assert before > 9
    assert after < 0.45 * before


@pytest.mark.parametrize("what", ["nothing", "something far before it"])
def test_a_crop_that_does_not_show_the_hand_says_nothing(model: HandModel, what: str) -> None:
    crop = np.ones((128, 128), np.float32) if what == "nothing" else np.full((128, 128), -0.9, np.float32)
    fitter, term = PoseFitter(model.skeleton), SurfaceTerm(load_template(), model.skeleton)
    fit = a_hand()
    hessian, gradient = term.normal_equations(fit, fitter.pose(fit), NO_FLESH, crop, 500.0)
    assert not hessian.any()
    assert not gradient.any()
