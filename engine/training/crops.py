"""Crops of recordings, as `main.py crops` keeps them.

A file is an .npz of `depth` (N, 128, 128) uint16 in tenths of a millimetre, 0 where nothing was seen; `distance` (N,)
float32 mm of the cube's centre; `joints` (N, 21, 3) float32 mm from there, NaN where a joint has no label. All are in
the crop's virtual camera (see engine.training.renders) and show right hands; left ones are mirrored.
"""

from __future__ import annotations

import dataclasses
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.npy_header import DAMAGE, read_npy_header
from engine.types import JOINT_COUNT, LumbricalError

_TENTHS = 10.0
MOST_CROPS = 100_000
_FORM: dict[str, tuple[type, tuple[int, ...]]] = {
    "depth": (np.uint16, (CROP_SIZE, CROP_SIZE)),
    "distance": (np.float32, ()),
    "joints": (np.float32, (JOINT_COUNT, 3)),
}


@dataclass(frozen=True)
class Crops:
    """depth: (N, 128, 128) mm, infinite where nothing was seen. distance: (N,) mm. joints: (N, 21, 3) mm from the
    cube's centre, NaN where unknown."""

    depth: Tensor
    distance: Tensor
    joints: Tensor


def joined(parts: list[Crops]) -> Crops:
    """All crops, one after another."""
    return Crops(*(torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Crops)))


def save_crops(path: Path, crops: Crops) -> None:
    """Write a file of crops. Raises OSError where it cannot be written."""
    tenths = torch.where(crops.depth.isinf(), 0.0, (crops.depth * _TENTHS).round()).clamp(max=65535)
    np.savez_compressed(
        path,
        depth=tenths.numpy().astype(np.uint16),
        distance=crops.distance.numpy().astype(np.float32),
        joints=crops.joints.numpy().astype(np.float32),
    )


class CropFile:
    """The crops of a file, kept as they are stored, some of which can be had as Crops.

    unlabelled: how many of them have no label at all. Raises LumbricalError when it is no such file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                found = {name: _member(archive, name) for name in _FORM}
        except FileNotFoundError as error:
            raise LumbricalError(f"there is no file of crops {path}; main.py crops makes one") from error
        except (OSError, *DAMAGE) as error:
            reason = str(error).strip("'\"") or type(error).__name__
            raise LumbricalError(f"{path} is not a file of crops ({reason}); make it again: main.py crops") from error
        if len({len(values) for values in found.values()}) != 1:
            raise LumbricalError(f"{path} is not a file of crops (its arrays differ in length); make it again")
        self._depth, self._distance, self._joints = found["depth"], found["distance"], found["joints"]
        if not (np.isfinite(self._distance).all() and self._distance.min() > HALF_CUBE_MM):
            raise LumbricalError(f"{path} has crops nearer than {HALF_CUBE_MM:.0f} mm; make it again: main.py crops")
        if np.abs(np.nan_to_num(self._joints, posinf=np.inf)).max() > 2 * HALF_CUBE_MM:
            raise LumbricalError(f"{path} has joints far outside their crops; make it again: main.py crops")
        self.unlabelled = int((~np.isfinite(self._joints).all(2).any(1)).sum())

    def __len__(self) -> int:
        return len(self._distance)

    def take(self, numbers: Tensor) -> Crops:
        """The crops of these numbers (B,)."""
        chosen = numbers.numpy()
        depth = torch.from_numpy(self._depth[chosen].astype(np.float32)) / _TENTHS
        return Crops(
            torch.where(depth > 0, depth, math.inf),
            torch.from_numpy(self._distance[chosen]),
            torch.from_numpy(self._joints[chosen]),
        )


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    """One array, whose header is checked before its values are allocated; ValueError says what does not fit."""
    dtype, shape = _FORM[name]
    with archive.open(f"{name}.npy") as stream:
        found, kind = read_npy_header(stream)
        if kind != np.dtype(dtype) or len(found) != 1 + len(shape) or found[1:] != shape:
            raise ValueError(f"{name} is {kind} {found}")
        if not 1 <= found[0] <= MOST_CROPS:
            raise ValueError(f"{found[0]} crops, where 1 to {MOST_CROPS} are read")
        stream.seek(0)
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
