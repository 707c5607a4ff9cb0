"""Crops of recordings as training shows them: moved at random (paper, section IV-B), in batches like rendered ones.

The paper turns and shifts in the image plane and along the depth, and leaves the amounts open; CropSource has ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.training.crops import CropFile, Crops
from engine.training.renders import PIXEL_MM, RenderedBatch
from engine.training.sampling import batch_seed
from engine.training.shares import each_tensor
from engine.types import BETA_SIZE, THICKNESS_SIZE

_ANGLES = 20


@dataclass(frozen=True)
class CropSource:
    """A share of each batch that comes from a file of crops, and how far these are moved at random.

    turn, shift_mm, depth_mm, scale: standard deviations of the turn in the image plane (radians), of the cube's centre
    across and along the view, and of the size (a fraction). Raises ValueError for what cannot be.
    """

    file: str
    share: float
    turn: float = 0.35
    shift_mm: float = 6.0
    depth_mm: float = 6.0
    scale: float = 0.05

    def __post_init__(self) -> None:
        if type(self.share) not in (int, float) or not 0 < self.share <= 1:
            raise ValueError(f"share must be a number above 0, at most 1, not {self.share!r}")
        if not isinstance(self.file, str) or not self.file:
            raise ValueError(f"file must be the name of an .npz that main.py crops wrote, not {self.file!r}")
        for name, most in (("turn", math.pi), ("shift_mm", 50.0), ("depth_mm", 50.0), ("scale", 0.2)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 0 to {most:.4g}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Change:
    """How to move each of B crops. turn: (B,) radians, from the image's x axis to its y axis. scale: (B,) of the whole
    scene. shift_mm: (B, 2) of the cube's centre in the image, depth_mm: (B,) along the view."""

    turn: Tensor
    scale: Tensor
    shift_mm: Tensor
    depth_mm: Tensor

    @staticmethod
    def draw(count: int, source: CropSource, generator: torch.Generator) -> Change:
        """Normally distributed, cut off at two standard deviations."""
        normal = torch.randn(count, 5, generator=generator).clamp(-2, 2)
        return Change(
            source.turn * normal[:, 0],
            1 + source.scale * normal[:, 1],
            source.shift_mm * normal[:, 2:4],
            source.depth_mm * normal[:, 4],
        )


def move(crops: Crops, change: Change) -> Crops:
    """The crops as changed cubes show them; labels go with the picture.

    Scaling the scene about the camera, turning it about the view and moving the cube along it are exact: they zoom and
    turn the picture. Moving the cube across shifts the picture, which a camera that looks there sees up to a shear of
    shift / distance (2 % for 10 mm at 500 mm); joints are sheared alike, so that they stay on their pixels.
    """
    # Near hands stay far enough that the camera is not inside the cube: then it is moved less along the view.
    distance = (crops.distance * change.scale + change.depth_mm).clamp(min=HALF_CUBE_MM)
    zoom = distance / crops.distance
    cosine, sine = change.turn.cos(), change.turn.sin()
    turn = torch.stack((torch.stack((cosine, -sine), 1), torch.stack((sine, cosine), 1)), 1)
    depth = _look_up(crops.depth, turn, zoom, change.shift_mm / PIXEL_MM)
    z = (crops.joints[..., 2] + crops.distance.unsqueeze(1)) * change.scale.unsqueeze(1)
    flat = crops.joints[..., :2] * change.scale[:, None, None] @ turn.mT
    flat = flat - change.shift_mm.unsqueeze(1) * (z / distance.unsqueeze(1)).unsqueeze(-1)
    joints = torch.cat((flat, (z - distance.unsqueeze(1)).unsqueeze(-1)), -1)
    return Crops(depth * change.scale[:, None, None], distance, joints)


def _look_up(depth: Tensor, turn: Tensor, zoom: Tensor, shift_px: Tensor) -> Tensor:
    """Pictures (B, S, S) turned by (B, 2, 2) and zoomed about their middle, then shifted: nearest pixels, because the
    mean of a near and a far one lies on neither surface. Infinite where the picture does not reach."""
    ticks = torch.arange(CROP_SIZE) - (CROP_SIZE - 1) / 2
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    wanted = torch.stack((u.flatten(), v.flatten()), 1) + shift_px.unsqueeze(1)
    # Times the matrix from the right: turned back.
    place = (wanted @ turn / zoom[:, None, None] + (CROP_SIZE - 1) / 2).round().long()
    inside = ((place >= 0) & (place < CROP_SIZE)).all(2)
    index = torch.where(inside, place[..., 1] * CROP_SIZE + place[..., 0], 0)
    return torch.where(inside, depth.flatten(1).gather(1, index), math.inf).reshape(depth.shape)


class CropBatches:
    """Makes batches from one source: batch number `index` of a seed is always the same."""

    def __init__(self, source: CropSource, seed: int, device: str = "cpu") -> None:
        self._source, self._seed, self._device = source, seed, device
        self._file = CropFile(Path(source.file))

    @property
    def unlabelled(self) -> int:
        """How many of the source's crops have no label."""
        return self._file.unlabelled

    def batch(self, count: int, index: int = 0) -> RenderedBatch:
        """`count` crops drawn at random and moved. Pose, shape and some joints are unknown; right hands all."""
        generator = torch.Generator().manual_seed(batch_seed(self._seed, index))
        crops = self._file.take(torch.randint(len(self._file), (count,), generator=generator))
        crops = move(crops, Change.draw(count, self._source, generator))
        return each_tensor(recorded_batch(crops), lambda tensor: tensor.to(self._device))


def recorded_batch(crops: Crops) -> RenderedBatch:
    """The crops as a batch of right hands whose pose and shape are unknown, and whose joints as far as not labelled."""
    count = len(crops.distance)
    known = crops.joints.isfinite().all(-1)
    yes = torch.ones(count, dtype=torch.bool)
    return RenderedBatch(
        depth=crops.depth,
        distance=crops.distance,
        joints=torch.where(known.unsqueeze(-1), crops.joints, 0.0),
        rotation=torch.eye(3).repeat(count, 1, 1),
        articulation=torch.zeros(count, _ANGLES),
        beta=torch.zeros(count, BETA_SIZE),
        thickness=torch.zeros(count, THICKNESS_SIZE),
        has_hand=yes,
        is_right=yes,
        joints_known=known,
        pose_known=~yes,
    )
