"""Recorded hand motion as clips of joints: Leap Motion recordings and the pose bank of Intel's hand tracker.

Both are published under the Apache License 2.0; assets/hand/README.md names them. They are not in this repository.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.types import JOINT_COUNT, LumbricalError

Array = NDArray[np.float64]

_INTEL_BODIES = 17  # forearm, palm, then three for each finger, thumb to little
_MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Clip:
    """Joints of one person's right hand over time, in any right-handed frame.

    name: of the source. joints: (T, 21, 3) mm, NaN where the source has no such joint. time_s: (T,) from 0.
    """

    name: str
    joints: Array
    time_s: Array


def read_leap(path: Path) -> list[Clip]:
    """Leap Motion recordings, one clip each; left hands are mirrored.

    Leap calls the thumb's joints by the names of the other fingers': its thumb "mcp" is the CMC joint. So each finger's
    four joints are ours, in order; there is no wrist. Raises LumbricalError when the file is not such a set.
    """
    _check_size(path)
    clips = []
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = sorted(key.removesuffix(".joints_mm") for key in archive.files if key.endswith(".joints_mm"))
            for name in names:
                fingers = np.asarray(archive[f"{name}.joints_mm"], np.float64)
                time = np.asarray(archive[f"{name}.time_us"], np.float64) * 1e-6
                right = np.asarray(archive[f"{name}.right"], bool)
                joints = np.full((len(fingers), JOINT_COUNT, 3), np.nan)
                joints[:, 1:] = fingers.reshape(len(fingers), JOINT_COUNT - 1, 3)
                joints[~right, :, 0] *= -1
                clips.append(Clip(f"leap/{name}", joints, time - time[0]))
    except (OSError, ValueError, KeyError) as error:
        raise LumbricalError(f"{path} is not a set of Leap recordings ({error}); give leap.npz") from error
    if not clips:
        raise LumbricalError(f"{path} holds no recordings; give leap.npz")
    return clips


def read_intel(poses: Path, model: Path) -> Clip:
    """The poses of Intel's tracker as one clip (its frames are not evenly timed: time_s counts them).

    A pose is the place of the centre of mass and the orientation (quaternion x, y, z, w) of 17 bodies; the model says
    where bodies join, in frames that start at the joints. The centres of mass follow: joints hold together.
    There is no thumb CMC joint as ours: the model's thumb turns about a point at the wrist.
    Raises LumbricalError when the files are not these.
    """
    for path in (poses, model):
        _check_size(path)
    try:
        numbers = np.loadtxt(poses, ndmin=2).reshape(-1, _INTEL_BODIES, 7)
        description = json.loads(model.read_text())
        ends = [(j["rbi0"], j["rbi1"], np.array(j["p0"], float)) for j in description["joints"]]
        tips = [np.array(cage["verts"], float).max(0)[2] for cage in description["controlcages"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LumbricalError(f"{poses} and {model} are not a pose bank and its model ({error})") from error
    places, turns = numbers[..., :3], _quaternions_to_matrices(numbers[..., 3:])
    centres = _centres_of_mass(places, turns, ends)
    origins = places - np.einsum("tbij,bj->tbi", turns, centres)
    joints = np.full((len(places), JOINT_COUNT, 3), np.nan)
    joints[:, 0] = origins[:, 1]
    joints[:, 2:4] = origins[:, 3:5]
    for finger in range(1, 5):
        joints[:, 1 + 4 * finger : 4 + 4 * finger] = origins[:, 2 + 3 * finger : 5 + 3 * finger]
    for finger in range(5):
        body = 4 + 3 * finger
        end = np.array([0.0, centres[body, 1], tips[body]])
        joints[:, 4 + 4 * finger] = origins[:, body] + turns[:, body] @ end
    return Clip("intel", 1000 * joints, np.arange(len(joints), dtype=float))


def _check_size(path: Path) -> None:
    if not path.is_file():
        raise LumbricalError(f"{path} is not there; give the path of the recorded motion")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise LumbricalError(f"{path} is larger than any of the known recordings; give the right file")


def _quaternions_to_matrices(quaternions: Array) -> Array:
    x, y, z, w = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return np.stack(rows, -1).reshape(*quaternions.shape[:-1], 3, 3)


def _centres_of_mass(places: Array, turns: Array, ends: list[tuple[int, int, Array]]) -> Array:
    """(17, 3) metres, body frames: least squares over a part of the poses, every joint held together."""
    rows, values = [], []
    for pose in range(0, len(places), max(1, len(places) // 200)):
        for near, far, place in ends:
            row = np.zeros((3, _INTEL_BODIES, 3))
            row[:, near], row[:, far] = -turns[pose, near], turns[pose, far]
            rows.append(row.reshape(3, -1))
            values.append(places[pose, far] - places[pose, near] - turns[pose, near] @ place)
    matrix, value = np.concatenate(rows), np.concatenate(values)
    centres = np.linalg.lstsq(matrix, value, rcond=None)[0]
    gap = np.sqrt(np.mean((matrix @ centres - value) ** 2))
    if gap > 1e-3:
        raise LumbricalError(
            f"the model does not fit the poses: their joints gape by {1000 * gap:.1f} mm; give its own model"
        )
    return centres.reshape(_INTEL_BODIES, 3)
