"""The motion of the demo take: pieces of recorded motion, one after the other, blended into a loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.geometry.rotations import matrix_to_six_d, rotation_about_axis, six_d_to_matrix
from tools.motion_fitting import fit_clip
from tools.motion_sources import Clip

Array = NDArray[np.float32]

#: Seconds over which one piece becomes the next.
_BLEND_S = 0.5
#: Standard deviation of the smoothing in time, seconds: the fit of each frame stands alone, hands do not tremble.
_SMOOTH_S = 0.035


@dataclass(frozen=True)
class Piece:
    """A part of a recording. start, end: seconds. turn_deg: how the wrist is held on average, about the camera's x, y
    and z, from the palm facing the camera with fingers up. pace: how many times as fast as recorded. travel: share of
    the recorded way that the wrist moves."""

    clip: str
    start: float
    end: float
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pace: float = 1.0
    travel: float = 0.5


@dataclass(frozen=True)
class Motion:
    """rotation (T, 3, 3) of the wrist in the camera, offset (T, 3) mm of the wrist from its mean place, articulation
    (T, 20) radians."""

    rotation: Tensor
    offset: Tensor
    articulation: Tensor


def looped(pieces: tuple[Piece, ...], clips: dict[str, Clip], fps: float, fit_steps: int = 300) -> Motion:
    """The pieces as one motion that ends as it begins."""
    parts = [_motion(piece, clips[piece.clip], fps, fit_steps) for piece in pieces]
    blend = round(_BLEND_S * fps)
    whole = [_packed(part) for part in parts]
    joined = whole[0]
    for part in whole[1:]:
        joined = torch.cat((joined[:-blend], _crossed(joined[-blend:], part[:blend]), part[blend:]))
    # The end runs into the beginning, which it replaces.
    ring = torch.cat((_crossed(joined[-blend:], joined[:blend]), joined[blend:-blend]))
    return Motion(six_d_to_matrix(ring[:, :6]), ring[:, 6:9], ring[:, 9:])


def _packed(motion: Motion) -> Tensor:
    return torch.cat((matrix_to_six_d(motion.rotation), motion.offset, motion.articulation), 1)


def _crossed(first: Tensor, second: Tensor) -> Tensor:
    way = torch.linspace(0, 1, len(first) + 2)[1:-1, None]
    way = way * way * (3 - 2 * way)
    return (1 - way) * first + way * second


def _motion(piece: Piece, clip: Clip, fps: float, fit_steps: int) -> Motion:
    """One piece, evenly timed and smooth, its mean wrist turned as the piece says."""
    inside = (clip.time_s >= piece.start) & (clip.time_s <= piece.end)
    rate = (len(clip.time_s) - 1) / clip.time_s[-1]
    step = max(1, round(rate / (1.5 * fps)))
    time = clip.time_s[inside][::step]
    fitted = fit_clip(Clip(clip.name, clip.joints[inside][::step], time), steps=fit_steps)
    recorded = torch.from_numpy(fitted.rotation)
    mean = six_d_to_matrix(matrix_to_six_d(recorded).mean(0))
    x, y, z = (torch.deg2rad(torch.tensor(angle)) for angle in piece.turn_deg)
    held = rotation_about_axis(2, z) @ rotation_about_axis(1, y) @ rotation_about_axis(0, x)
    to_camera = held @ mean.mT
    place = torch.from_numpy(fitted.translation)
    offset = piece.travel * (place - place.mean(0)) @ to_camera.mT
    rows = torch.cat((matrix_to_six_d(to_camera @ recorded), offset, torch.from_numpy(fitted.articulation)), 1)
    even = np.arange(time[0], time[-1], piece.pace / fps)
    kernel = np.exp(-0.5 * ((even[:, None] - time[None]) / _SMOOTH_S) ** 2)
    weights = torch.from_numpy(kernel / kernel.sum(1, keepdims=True)).float()
    rows = weights @ rows
    return Motion(six_d_to_matrix(rows[:, :6]), rows[:, 6:9], rows[:, 9:])
