"""Crops of tracked frames: placed around the hand, upright, mirrored for left hands, and never too many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.adaptation.observed import ObservedCrops, result_window
from engine.geometry.rotations import matrix_to_euler, rotation_about_axis
from engine.hand.hand import HandModel
from engine.rendering.mesh_depth import render_depth
from engine.types import DepthFrame, HandParameters, Intrinsics, Side, TrackingResult, TrackingState

_CAMERA = Intrinsics(320, 240, 240.0, 240.0, 159.5, 119.5)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def _result(model: HandModel, roll: float = 0.0, left: bool = False) -> TrackingResult:
    """A flat hand, its fingers up but for a roll, 450 mm away and to the side."""
    theta = np.zeros(26, np.float32)
    theta[:3] = (60.0, 30.0, 450.0)
    turn = rotation_about_axis(2, torch.tensor([roll])) @ rotation_about_axis(1, torch.tensor([torch.pi]))
    theta[3:6] = matrix_to_euler(turn)[0].numpy()
    parameters = HandParameters(theta, np.zeros(20, np.float32), np.zeros(6, np.float32), 1.0)
    geometry = model(parameters)
    if left:
        geometry = geometry.mirrored()
    depth = render_depth(geometry.surface.vertices, model.faces, _CAMERA)
    pixels = np.where(np.isfinite(depth), depth, 0).round().astype(np.uint16)
    frame = DepthFrame(pixels, 1.0, _CAMERA, 0, 0.0, 0.0)
    side = Side.LEFT if left else Side.RIGHT
    return TrackingResult(frame, TrackingState.TRACKING, side, parameters, geometry)


def test_a_crop_shows_the_hand_upright_whatever_its_roll(model: HandModel) -> None:
    observed = ObservedCrops()
    for roll in (0.0, 0.7, -1.2):
        assert observed.add(_result(model, roll))
    crops = observed.crops()
    seen = crops.depth.isfinite()
    assert seen.flatten(1).sum(1).min() > 1000
    for other in seen[1:]:
        assert (seen[0] & other).sum() > 0.85 * (seen[0] | other).sum()
    rows = torch.nonzero(seen[0])[:, 0].float()
    assert abs(rows.mean() - 63.5) < 20  # the palm, below, outweighs the fingers
    middle = crops.depth[0][seen[0]].mean()
    assert abs(middle - crops.distance[0]) < 25
    assert crops.joints.isnan().all()


def test_a_left_hand_is_seen_as_a_right_one(model: HandModel) -> None:
    observed = ObservedCrops()
    observed.add(_result(model, 0.4))
    observed.add(_result(model, 0.4, left=True))
    right, left = observed.crops().depth.isfinite()
    assert (right & left).sum() > 0.95 * (right | left).sum()


def test_frames_without_a_hand_are_not_taken(model: HandModel) -> None:
    observed = ObservedCrops()
    nothing = replace(_result(model), state=TrackingState.LOST, geometry=None, parameters=None)
    assert result_window(nothing) is None
    assert not observed.add(nothing) and len(observed) == 0


def test_many_results_are_thinned_out_evenly(model: HandModel) -> None:
    observed, result = ObservedCrops(most=8), _result(model)
    taken = [number for number in range(100) if observed.add(result)]
    assert len(observed) <= 8
    assert taken[:9] == list(range(9)) and taken[-1] >= 96
    assert len(observed.crops(slice(-2, None)).distance) == 2
