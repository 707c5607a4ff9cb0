"""Hands to be fitted, and what a camera would see of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from engine.fitting.state import HandState
from engine.geometry.rotations import euler_to_matrix, matrix_to_euler
from engine.hand.hand import HandModel
from engine.hand.limits import ARTICULATION_LIMITS
from engine.localise.crop import cut, look_at
from engine.rendering.mesh_depth import render_depth
from engine.types import DepthFrame, HandParameters, Intrinsics

DISTANCE_MM = 500.0
_CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)


def random_hand(seed: int) -> HandState:
    """Any pose, view and shape."""
    random = np.random.default_rng(seed)
    rotation = euler_to_matrix(torch.from_numpy(random.normal(0, 0.6, 3))).numpy()
    low, high = ARTICULATION_LIMITS.T
    place = random.normal(0, 50, 3) + (0, 0, DISTANCE_MM)
    return HandState(place, rotation, random.uniform(low, high), random.normal(0, 1, 20), random.normal(0, 1, 6))


def half_open_hand() -> HandState:
    """A hand of mean shape in the middle of the crop, its palm to the camera."""
    rotation = euler_to_matrix(torch.tensor([0.2, 0.3, -0.2], dtype=torch.float64)).numpy()
    articulation = np.zeros(20)
    articulation.reshape(5, 4)[1:, [0, 2, 3]] = (0.3, 0.5, 0.3)
    return HandState(np.array([0.0, 70.0, DISTANCE_MM]), rotation, articulation, np.zeros(20), np.zeros(6))


def crop_of(hand: HandState, model: HandModel) -> NDArray[np.float32]:
    """The crop (128, 128) of the hand, DISTANCE_MM before the camera."""
    euler = matrix_to_euler(torch.from_numpy(hand.rotation)).numpy()
    theta = np.concatenate((hand.translation, euler, hand.articulation)).astype(np.float32)
    parameters = HandParameters(theta, hand.beta.astype(np.float32), hand.thickness.astype(np.float32), 1.0)
    depth = render_depth(model(parameters).surface.vertices, model.faces, _CAMERA)
    frame = DepthFrame(np.rint(depth * 10).astype(np.uint16), 0.1, _CAMERA, 0, 0.0, 0.0)
    return cut(frame, look_at(np.array([0.0, 0.0, DISTANCE_MM])))


def bent(hand: HandState, **angles: float) -> HandState:
    """The hand with angles added; a name is a finger and the angle's number in it, such as index_1."""
    fingers = ("thumb", "index", "middle", "ring", "little")
    articulation = hand.articulation.copy()
    for name, angle in angles.items():
        finger, number = name.split("_")
        articulation[4 * fingers.index(finger) + int(number)] += angle
    return replace(hand, articulation=articulation)
