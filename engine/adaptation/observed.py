"""Crops of tracked frames, placed by the tracker itself: what losses without labels learn from."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from engine.geometry.rotations import euler_to_matrix
from engine.localise.crop import CropWindow, cut, look_at
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.training.crops import Crops
from engine.training.sampling import upright_roll
from engine.types import JOINT_COUNT, Side, TrackingResult

#: A cube this near would reach the camera.
_NEAREST_MM = HALF_CUBE_MM + 10.0


class ObservedCrops:
    """Collects crops of results, evenly over time: at most `most` of them are held, 32 kB each.

    When there are more, every second one is let go and from then on only every second result is taken, and so on.
    """

    def __init__(self, most: int = 4000) -> None:
        self._most, self._every, self._seen = most, 1, 0
        self._depths: list[NDArray[np.float16]] = []
        self._distances: list[float] = []

    def __len__(self) -> int:
        return len(self._depths)

    def add(self, result: TrackingResult) -> bool:
        """Take a result's crop, upright around its hand; whether it was taken: there must be a hand to take."""
        window = result_window(result)
        if window is None or window.distance < _NEAREST_MM:
            return False
        self._seen += 1
        if (self._seen - 1) % self._every:
            return False
        # Half precision keeps [-1, 1] to 0.04 mm.
        self._depths.append(cut(result.frame, window).astype(np.float16))
        self._distances.append(window.distance)
        if len(self._depths) > self._most:
            self._depths, self._distances = self._depths[::2], self._distances[::2]
            self._every *= 2
        return True

    def crops(self, part: slice = slice(None)) -> Crops:
        """What was collected, oldest first, without labels. part: of all."""
        scaled = torch.from_numpy(np.array(self._depths[part], np.float32).reshape(-1, 128, 128))
        distance = torch.tensor(self._distances[part], dtype=torch.float32)
        depth = torch.where(scaled < 1, distance[:, None, None] + HALF_CUBE_MM * scaled, math.inf)
        return Crops(depth, distance, torch.full((len(distance), JOINT_COUNT, 3), math.nan))


def result_window(result: TrackingResult) -> CropWindow | None:
    """The window around a result's hand, its forearm pointing down; None where there is no hand."""
    if result.geometry is None or result.parameters is None:
        return None
    mirrored = result.side is Side.LEFT
    centre = result.geometry.joints.mean(0)
    level = look_at(centre, mirrored)
    rotation = level.rotation @ euler_to_matrix(torch.from_numpy(result.parameters.theta[None, 3:6]))[0].numpy()
    return look_at(centre, mirrored, float(upright_roll(torch.from_numpy(rotation[None]))[0]))
