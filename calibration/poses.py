"""The poses that a guided session asks for: a catalogue, what each would tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.frames import Build, CalibrationFrame
from calibration.selection import Array
from calibration.skin import personal_template
from calibration.solver import ShapeSolver
from engine.fitting.observation import Observation
from engine.fitting.state import HandState
from engine.geometry.rotations import euler_to_matrix, matrix_to_euler
from engine.hand.hand import HandModel
from engine.localise.crop import cut, look_at
from engine.rendering.mesh_depth import render_depth
from engine.types import BONE_COUNT, DepthFrame, FloatArray, HandParameters, Intrinsics

_DISTANCE_MM = 450.0
_CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
#: The encoder's points of a pose that is shown clearly are this good, mm.
_SIGMA_MM = 8.0
#: A pose held before the camera for a moment gives so many frames that tell something new.
HELD_FRAMES = 8


@dataclass(frozen=True)
class GuidedPose:
    """name and instruction: for the user. articulation (20,) radians. turn: Euler angles x, y, z of the hand, radians;
    0 is the palm to the camera, fingers up."""

    name: str
    instruction: str
    articulation: tuple[float, ...]
    turn: tuple[float, float, float]


class Finger(NamedTuple):
    """Flexions of its three joints, radians."""

    knuckle: float
    middle: float
    end: float


def _pose(
    name: str,
    instruction: str,
    fingers: Finger | tuple[Finger, Finger, Finger, Finger],
    thumb: tuple[float, float, float, float] = (0.0, 0.1, 0.1, 0.1),
    spread: bool = False,
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> GuidedPose:
    """Angles in radians; fingers: all four alike, or each."""
    rows = (fingers,) * 4 if isinstance(fingers, Finger) else fingers
    aside = (-0.2, -0.02, 0.2, 0.35) if spread else (0.14, 0.0, -0.14, -0.3)
    angles = list(thumb)
    for finger, side in zip(rows, aside, strict=True):
        angles += [finger.knuckle, side, finger.middle, finger.end]
    return GuidedPose(name, instruction, tuple(float(angle) for angle in angles), turn)


_BACK = (0.0, np.pi, 0.0)
_OPEN, _HOOK, _TABLE, _FIST = (
    Finger(0.05, 0.05, 0.05),
    Finger(0.1, 1.5, 0.8),
    Finger(1.4, 0.1, 0.1),
    Finger(1.4, 1.7, 0.9),
)
#: The first two are the open hand, from its palm and from its back.
CATALOGUE = (
    _pose("open hand", "Show your palm, fingers straight and a little apart.", _OPEN, spread=True),
    _pose(
        "back of the hand",
        "Show the back of your hand, fingers straight and a little apart.",
        _OPEN,
        spread=True,
        turn=_BACK,
    ),
    _pose("turned to one side", "Open hand, turned half to one side.", _OPEN, spread=True, turn=(0.0, -0.7, 0.0)),
    _pose(
        "turned to the other side",
        "Open hand, turned half to the other side.",
        _OPEN,
        spread=True,
        turn=(0.0, 0.7, 0.0),
    ),
    _pose("leaning back", "Open hand, finger tips away from the camera.", _OPEN, spread=True, turn=(-0.6, 0.0, 0.0)),
    _pose("leaning forward", "Open hand, finger tips towards the camera.", _OPEN, spread=True, turn=(0.6, 0.0, 0.0)),
    _pose("table", "Bend all fingers at the knuckles only, and show them from the side.", _TABLE, turn=(0.0, 1.1, 0.0)),
    _pose(
        "table from behind",
        "Bend all fingers at the knuckles only, back of the hand to the camera.",
        _TABLE,
        turn=(0.3, 2.6, 0.0),
    ),
    _pose("hook", "Bend the fingers' middle and end joints, knuckles straight.", _HOOK),
    _pose(
        "hook from behind",
        "Bend the fingers' middle and end joints, back of the hand to the camera.",
        _HOOK,
        turn=(0.2, 2.6, 0.0),
    ),
    _pose(
        "half closed",
        "Curl all fingers half-way, as around a ball.",
        Finger(0.6, 0.8, 0.4),
        spread=True,
        turn=(0.0, 0.5, 0.0),
    ),
    _pose("thumb across", "Fingers straight, the thumb across the palm.", _OPEN, thumb=(0.5, -0.5, 0.5, 0.6)),
    _pose("thumb away", "Fingers straight, the thumb as far away as it goes.", _OPEN, thumb=(-0.4, 0.2, 0.0, 0.0)),
    _pose("thumb bent", "Fingers straight, the thumb bent at its two joints.", _OPEN, thumb=(0.0, 0.0, 0.7, 1.0)),
    _pose(
        "pointing",
        "Point upwards with the index finger, the others closed.",
        (_OPEN, _FIST, _FIST, _FIST),
        thumb=(0.3, -0.4, 0.5, 0.5),
    ),
    _pose(
        "two fingers",
        "Index and middle finger straight and apart, the others closed.",
        (_OPEN, _OPEN, _FIST, _FIST),
        thumb=(0.3, -0.4, 0.5, 0.5),
        spread=True,
    ),
    _pose(
        "little finger",
        "Only the little finger straight, the others closed.",
        (_FIST, _FIST, _FIST, _OPEN),
        thumb=(0.3, -0.4, 0.5, 0.5),
    ),
    _pose(
        "stairs",
        "Bend the knuckles one more than the other, from index to little finger.",
        (Finger(0.1, 0.2, 0.1), Finger(0.5, 0.4, 0.2), Finger(0.9, 0.6, 0.3), Finger(1.2, 0.8, 0.4)),
    ),
)


def pose_information(pose: GuidedPose, solver: ShapeSolver, build: Build) -> Array:
    """(126, 126) what one frame of that pose would say of a hand's build, skin included, if it were shown like this."""
    shown = shown_frame(posed_hand(pose, build), solver, build)
    return solver.place([shown], build, steps=2).information[0]


def posed_hand(pose: GuidedPose, build: Build) -> HandState:
    """The hand in that pose, its middle straight before the camera."""
    rotation = euler_to_matrix(torch.tensor(pose.turn, dtype=torch.float64)).numpy()
    middle = rotation @ np.array([0.0, -75.0, 0.0])
    place = np.array([0.0, 0.0, _DISTANCE_MM]) - middle
    return HandState(place, rotation, np.array(pose.articulation), build.beta, build.thickness)


def shown_frame(hand: HandState, solver: ShapeSolver, build: Build) -> CalibrationFrame:
    """What a camera without noise would show of a hand of that build, and an encoder without error say of it."""
    model = HandModel(personal_template(solver.template, build.skin, solver.kinematics))
    depth = np.rint(10 * _depth(model, hand, _CAMERA)).astype(np.uint16)
    window = look_at(np.array([0.0, 0.0, _DISTANCE_MM]))
    crop = cut(DepthFrame(depth, 0.1, _CAMERA, 0, 0.0, 0.0), window)
    points = solver.kinematics.pose(hand).joints
    seen = Observation(crop, window.distance, points)
    return CalibrationFrame(hand, points, np.full(len(points), _SIGMA_MM), seen, crop, window.distance, 1.0)


def expected_sd(covariance: FloatArray, information: FloatArray, solver: ShapeSolver) -> Array:
    """(20,) mm, how well each bone would be known after a pose was held, where covariance (126, 126) is known now and
    information (126, 126) is that of one frame."""
    more = HELD_FRAMES * information / solver.config.doubt
    after = np.linalg.inv(np.linalg.inv(covariance) + more)[:BONE_COUNT, :BONE_COUNT]
    return np.asarray(np.sqrt(((solver.kinematics.basis @ after) * solver.kinematics.basis).sum(1)))


def most_telling(
    covariance: FloatArray, information: Sequence[FloatArray], solver: ShapeSolver, within_mm: float, done: set[int]
) -> int | None:
    """Which of the poses whose information is given to ask for next; see `ranking`. done: poses not to ask for again.
    None when none is left."""
    return next((index for index in ranking(covariance, information, solver, within_mm) if index not in done), None)


def ranking(
    covariance: FloatArray, information: Sequence[FloatArray], solver: ShapeSolver, within_mm: float
) -> list[int]:
    """The poses whose information is given, the most telling first: the one after which the least is left of what
    bones' standard deviations are above within_mm."""
    left = []
    for one in information:
        sd = expected_sd(covariance, one, solver)
        left.append(float(np.maximum(sd - within_mm, 0).sum() + 1e-3 * sd.sum()))
    return sorted(range(len(left)), key=left.__getitem__)


def telling_poses(covariance: FloatArray, solver: ShapeSolver, within_mm: float) -> list[GuidedPose]:
    """The catalogue, the most telling first, where covariance (126, 126) is known; see `ranking`. Takes seconds."""
    information = [pose_information(pose, solver, Build.mean()) for pose in CATALOGUE]
    return [CATALOGUE[index] for index in ranking(covariance, information, solver, within_mm)]


def _depth(model: HandModel, hand: HandState, camera: Intrinsics) -> NDArray[np.float32]:
    euler = matrix_to_euler(torch.from_numpy(hand.rotation)).numpy()
    theta = np.concatenate((hand.translation, euler, hand.articulation)).astype(np.float32)
    shape = hand.beta.astype(np.float32), hand.thickness.astype(np.float32)
    return render_depth(model(HandParameters(theta, *shape, 1.0)).surface.vertices, model.faces, camera)
