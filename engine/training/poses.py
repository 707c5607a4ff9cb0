"""Hand poses to draw from: ones people hold, finger by finger, and a bank of recorded ones. Torch on any device."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.hand.limits import ARTICULATION_LIMITS
from engine.types import LumbricalError

POSE_BANK = Path(__file__).resolve().parents[2] / "assets" / "hand" / "pose_bank.npz"

#: Articulations of one finger, (flexion of the knuckle, of the middle joint, of the end joint) in radians, which
#: people hold: straight, relaxed, bent at the knuckle, hooked, half closed, closed tightly, closed loosely, rolled up.
FINGER_POSES = (
    (-0.10, 0.02, 0.00),
    (0.30, 0.40, 0.20),
    (1.20, 0.10, 0.05),
    (0.00, 1.50, 0.90),
    (0.75, 1.00, 0.55),
    (1.45, 1.85, 1.05),
    (1.25, 1.75, 0.35),
    (0.75, 1.95, 1.00),
)
FINGER_POSE_WEIGHTS = (0.29, 0.12, 0.07, 0.08, 0.12, 0.12, 0.08, 0.12)
#: The thumb's (flexion and abduction of its first joint, flexion of its second and third): spread in the palm's plane,
#: alongside the index, forward of the palm, across the palm over the fingers, tucked into the palm, pinching, bent
#: against the side of a closed index, bent right over it. The weights are those of open hands and of fists.
THUMB_POSES = (
    (-0.25, 0.05, 0.00, -0.05),
    (0.20, 0.30, 0.10, 0.05),
    (0.05, -0.50, 0.10, 0.05),
    (0.45, -0.30, 0.65, 0.60),
    (0.75, -0.05, 0.80, 0.90),
    (0.35, -0.50, 0.40, 0.40),
    (0.15, 0.15, 0.30, 1.00),
    (0.15, 0.05, 0.50, 1.35),
)
THUMB_POSE_WEIGHTS = (0.27, 0.17, 0.13, 0.15, 0.10, 0.13, 0.05, 0.0)
FIST_THUMB_POSE_WEIGHTS = (0.10, 0.10, 0.04, 0.28, 0.12, 0.02, 0.18, 0.16)
#: Mean flexion of the fingers' middle joints from which a hand counts as a fist, radians.
FIST_FLEXION = 1.2

#: (20,) how much each angle counts in the distance of two poses: joints near the palm move more of the hand.
ANGLE_WEIGHTS = np.tile(np.array([1.0, 1.0, 0.8, 0.4], np.float32), 5)
_NEIGHBOURS = 24
_MAX_POSES = 100_000
#: Angles are stored as float16: this far outside the limits is rounding, radians.
_ROUNDING = 2e-3


class PoseBank:
    """Recorded poses (N, 20) radians within the joint limits, and for each the others nearest to it."""

    def __init__(self, articulation: Tensor) -> None:
        self.articulation = articulation
        weighted = articulation * torch.as_tensor(ANGLE_WEIGHTS, device=articulation.device)
        count = min(_NEIGHBOURS, len(articulation))
        # A pose is its own nearest neighbour: half-way to itself is the recorded pose, unmixed.
        parts = [torch.cdist(part, weighted).topk(count, largest=False).indices for part in weighted.split(1024)]
        self._neighbours = torch.cat(parts)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 20) radians: each somewhere between a random pose and one of its neighbours."""
        device = self.articulation.device
        first = torch.randint(len(self.articulation), (count,), generator=generator, device=device)
        which = torch.randint(self._neighbours.shape[1], (count,), generator=generator, device=device)
        second = self._neighbours[first, which]
        way = torch.rand(count, 1, generator=generator, device=device)
        return torch.lerp(self.articulation[first], self.articulation[second], way)


def load_pose_bank(path: Path = POSE_BANK, device: torch.device | str = "cpu") -> PoseBank:
    """The shipped bank, or another file of its kind. Raises LumbricalError when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            articulation = np.asarray(archive["articulation"], np.float32)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise LumbricalError(
            f"{path} is not a pose bank ({error}); restore it or build it: python -m tools.build_pose_bank"
        ) from error
    if articulation.ndim != 2 or articulation.shape[1] != 20 or not 1 <= len(articulation) <= _MAX_POSES:
        raise LumbricalError(f"{path} must hold 1 to {_MAX_POSES} poses of 20 angles, not {articulation.shape}")
    low, high = ARTICULATION_LIMITS.T
    if not (np.all(articulation >= low - _ROUNDING) and np.all(articulation <= high + _ROUNDING)):
        raise LumbricalError(
            f"{path} holds poses beyond the joint limits; build it again: python -m tools.build_pose_bank"
        )
    return PoseBank(torch.from_numpy(np.clip(articulation, low, high).astype(np.float32)).to(device))
