"""Rendered recordings of one hand, held still or moving in a known way, as a depth camera delivers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.geometry.camera import pixel_rays, project
from engine.geometry.rotations import euler_to_matrix
from engine.hand.hand import HandModel
from engine.rendering.mesh_depth import render_depth
from engine.rendering.quadrics import Quadrics, limb_between, quadric_depth
from engine.training.noise import STEREO, STRUCTURED_LIGHT, TIME_OF_FLIGHT, SensorNoise
from engine.training.poses import FINGER_POSES, THUMB_POSES
from engine.types import BETA_SIZE, THETA_SIZE, THICKNESS_SIZE, DepthFrame, FloatArray, HandParameters, Intrinsics

Array = NDArray[np.float64]

FPS = 60.0
CAMERA = Intrinsics(640, 480, 475.0, 475.0, 319.5, 239.5)
CAMERA_FAMILIES = {STRUCTURED_LIGHT: "structured light", STEREO: "stereo", TIME_OF_FLIGHT: "time of flight"}
#: The mean strength of training's noise.
NOISE_STRENGTH = 0.4
_UNIT_MM = 0.25
_FOREARM_MM = 110.0
_MARGIN_PX = 12

_STRAIGHT, _RELAXED, _BENT, _HOOKED, _HALF, _TIGHT, _LOOSE, _ROLLED = range(len(FINGER_POSES))
_SPREAD, _ALONGSIDE, _FORWARD, _ACROSS, _TUCKED, _PINCHING, _AGAINST, _BENT_OVER = range(len(THUMB_POSES))


@dataclass(frozen=True)
class Scene:
    """A hand that is theta(time_s (N,)) -> (N, 26) at each moment (engine.types.HandParameters), before a camera of
    one family (engine.training.noise). seed: of its shape and of the noise. fast: joints of it reach about 1 m/s."""

    name: str
    theta: Callable[[Array], Array]
    family: int
    seed: int = 0
    fast: bool = False

    def shape(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """beta (20,) and thickness (6,) mm."""
        chance = np.random.default_rng(self.seed)
        beta, thickness = 0.8 * chance.standard_normal(BETA_SIZE), 0.8 * chance.standard_normal(THICKNESS_SIZE)
        return beta.astype(np.float32), thickness.astype(np.float32)


def true_joints(scene: Scene, model: HandModel, time_s: Array) -> Array:
    """Joints (N, 21, 3) mm in the camera frame at the times (N,)."""
    beta = torch.from_numpy(scene.shape()[0]).expand(len(time_s), -1)
    with torch.inference_mode():
        return model.skeleton(torch.from_numpy(scene.theta(time_s)).float(), beta).joints.double().numpy()


def frames(scene: Scene, model: HandModel, seconds: float, strength: float = NOISE_STRENGTH) -> Iterator[DepthFrame]:
    """The recording, FPS frames a second; noise is drawn anew for each frame, strength 0 is none."""
    generator = torch.Generator().manual_seed(scene.seed)
    noise = SensorNoise(generator)
    times = np.arange(round(seconds * FPS)) / FPS
    thetas = scene.theta(times).astype(np.float32)
    seen: tuple[tuple[slice, slice], NDArray[np.float32]] | None = None
    for number, (time_s, theta) in enumerate(zip(times, thetas, strict=True)):
        if seen is None or not np.array_equal(theta, thetas[number - 1]):
            seen = _seen(scene, model, theta)
        part, clean = seen
        depth = torch.from_numpy(clean).unsqueeze(0)
        if strength > 0:
            distance = float(theta[2])
            depth = noise.of_camera(depth, torch.tensor([distance]), distance / CAMERA.fx, scene.family, strength)
        image = np.zeros((CAMERA.height, CAMERA.width), np.uint16)
        steps = depth[0].numpy() / _UNIT_MM
        image[part] = np.rint(np.where(np.isfinite(steps), steps, 0)).clip(0, 65535)
        yield DepthFrame(image, _UNIT_MM, CAMERA, number, float(time_s), float(time_s))


def _seen(
    scene: Scene, model: HandModel, theta: NDArray[np.float32]
) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """The part of the image that shows the hand, and the depth there: mm, infinite where nothing is."""
    beta, thickness = scene.shape()
    vertices = model(HandParameters(theta, beta, thickness, 1.0)).surface.vertices
    to_elbow = euler_to_matrix(torch.from_numpy(theta[3:6])).numpy()[:, 1]
    end = theta[:3] + np.float32(_FOREARM_MM) * to_elbow
    low, high = (_clipped(f(project(np.vstack((vertices, end)), CAMERA), 0)) for f in (np.min, np.max))
    (left, top), (right, bottom) = low - _MARGIN_PX, high + _MARGIN_PX
    part = slice(max(top, 0), bottom), slice(max(left, 0), right)
    corners = vertices[model.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = (across * corners[:, 0]).sum(1) < 0
    skin = render_depth(vertices, model.faces[facing], CAMERA)[part]
    rays = torch.from_numpy(pixel_rays(CAMERA)[part].reshape(1, -1, 2).copy())
    arm = quadric_depth(rays, _forearm(theta[:3], end)).amin(1).numpy().reshape(skin.shape)
    return part, np.minimum(np.where(skin > 0, skin, np.inf), arm).astype(np.float32)


def _clipped(uv: Array) -> NDArray[np.int64]:
    return np.clip(np.rint(uv), 0, (CAMERA.width, CAMERA.height)).astype(np.int64)


def _forearm(wrist: FloatArray, end: FloatArray) -> Quadrics:
    start, stop = (torch.from_numpy(point).unsqueeze(0) for point in (end, wrist))
    centre, turn, half = limb_between(start, stop)
    sizes = torch.stack((torch.full_like(half, 29.0), half, torch.full_like(half, 29.0)), 1)
    one = torch.ones(1, 1, dtype=torch.bool)
    return Quadrics(centre[:, None], turn[:, None], sizes[:, None], torch.full((1, 1), -0.12), one[0], one)


def _pose(
    place_mm: tuple[float, float, float], turn_deg: tuple[float, float, float], thumb: int, *fingers: int
) -> Array:
    """theta (26,) of a wrist at a place, turned about x, y and z from the palm to the camera with fingers up."""
    theta = np.zeros(THETA_SIZE)
    theta[:3], theta[3:6] = place_mm, np.deg2rad(turn_deg)
    theta[6:10] = THUMB_POSES[thumb]
    for number, finger in enumerate(fingers):
        first, second, third = FINGER_POSES[finger]
        theta[10 + 4 * number : 14 + 4 * number] = first, 0.0, second, third
    return theta


_OPEN = _pose((10, 80, 480), (5, 10, -5), _SPREAD, _STRAIGHT, _STRAIGHT, _STRAIGHT, _STRAIGHT)
_FIST = _pose((10, 80, 480), (5, 10, -5), _ACROSS, _TIGHT, _TIGHT, _TIGHT, _TIGHT)
_POSES = {
    "open": _OPEN,
    "relaxed": _pose((-40, 60, 560), (-10, 35, 15), _ALONGSIDE, _RELAXED, _RELAXED, _RELAXED, _RELAXED),
    "pointing": _pose((20, 50, 430), (15, -30, 10), _AGAINST, _STRAIGHT, _TIGHT, _TIGHT, _TIGHT),
    "fist": _pose((0, 40, 500), (0, 200, -10), _ACROSS, _TIGHT, _TIGHT, _TIGHT, _TIGHT),
    "open pinch": _pose((30, 70, 450), (0, -50, -15), _PINCHING, _HALF, _RELAXED, _RELAXED, _RELAXED),
    "grip": _pose((-30, 60, 600), (10, 165, 20), _FORWARD, _HALF, _HALF, _HALF, _HALF),
}


def still_scenes() -> list[Scene]:
    """Natural poses, each held still; every family of cameras sees two of them."""
    return [Scene(name, _held(pose), k % 3, k + 1) for k, (name, pose) in enumerate(_POSES.items())]


def _held(pose: Array) -> Callable[[Array], Array]:
    return lambda time_s: np.tile(pose, (len(time_s), 1))


def moving_scenes() -> list[Scene]:
    """To and fro with the whole hand, fast and slowly; waving about the wrist; closing and opening. The fast ones peak
    near 1 m/s, of the finger tips where only they move."""
    way = np.zeros(THETA_SIZE)
    way[:3] = np.array([0.92, 0.2, 0.34])
    wave = np.zeros(THETA_SIZE)
    wave[5] = 1.0
    start = _POSES["relaxed"]
    return [
        Scene("to and fro, 1 m/s", _swinging(start, 160.0 * way, 1.0), STEREO, 11, True),
        Scene("to and fro, 0.25 m/s", _swinging(start, 40.0 * way, 1.0), STRUCTURED_LIGHT, 12),
        Scene("waving", _swinging(_OPEN, 0.55 * wave, 1.6), TIME_OF_FLIGHT, 13, True),
        Scene("closing and opening", _swinging((_OPEN + _FIST) / 2, (_FIST - _OPEN) / 2, 1.2), STEREO, 14, True),
    ]


def _swinging(middle: Array, reach: Array, hz: float) -> Callable[[Array], Array]:
    return lambda time_s: middle + np.sin(2 * np.pi * hz * time_s)[:, None] * reach
