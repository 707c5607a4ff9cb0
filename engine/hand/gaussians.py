"""The volumetric Gaussian model (Wang et al. section III-A, Eq. 2): isotropic 3D Gaussians, each fixed to one bone."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.hand.anthropometry import JOINT_RADIUS_MM
from engine.hand.model import SkinnedPoints, rest_pose
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.types import BONE_COUNT, JOINT_PARENTS, THICKNESS_SIZE

#: Gaussians along each finger bone and along each bone of the palm.
_PER_PHALANX = 3
_PER_METACARPAL = 5
#: A Gaussian's standard deviation over the radius of the flesh where it sits: its 1-sigma surface lies inside the skin,
#: and its tail reaches out to it.
_SIGMA_OVER_RADIUS = 0.7
#: The palm is a sheet about twice as thick as a finger is round; its Gaussians are wider than the bones' own flesh.
_PALM_SIGMA_MM = 10.5


def gaussian_layout() -> list[tuple[int, float, float]]:
    """(bone, place along it from 0 to 1, sigma in mm) of each Gaussian, wrist outwards, thumb to little."""
    layout = []
    for bone in range(BONE_COUNT):
        palm = bone % 4 == 0
        count = _PER_METACARPAL if palm and bone > 0 else _PER_PHALANX
        start, end = JOINT_RADIUS_MM[JOINT_PARENTS[bone + 1]], JOINT_RADIUS_MM[bone + 1]
        for i in range(count):
            way = (i + 0.5) / count
            radius = float(start + way * (end - start))
            layout.append((bone, way, _PALM_SIGMA_MM if palm else _SIGMA_OVER_RADIUS * radius))
    return layout


class GaussianModel(torch.nn.Module):
    """Means (B, G, 3) mm and standard deviations (B, G) mm of a posed hand's Gaussians."""

    base_sigmas: Tensor
    parts: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        layout = gaussian_layout()
        bones = torch.tensor([bone for bone, _, _ in layout])
        ways = torch.tensor([way for _, way, _ in layout]).unsqueeze(1)
        rest = rest_pose(skeleton)
        start, axis = rest.origins[0, bones], rest.rotations[0, bones, :, 1]
        points = start + ways * rest.bone_lengths[0, bones].unsqueeze(1) * axis
        one_hot = torch.nn.functional.one_hot(bones, BONE_COUNT).float()
        # Column 0 is the palm; the bones of finger f belong to column f + 1 but for the first, which is the palm's.
        part = torch.where(bones % 4 == 0, 0, bones // 4 + 1)
        parts = torch.nn.functional.one_hot(part, THICKNESS_SIZE).float()
        self.points = SkinnedPoints(points, torch.zeros_like(points), one_hot, torch.zeros_like(parts), skeleton)
        self.register_buffer("parts", parts, persistent=False)
        self.register_buffer("base_sigmas", torch.tensor([sigma for _, _, sigma in layout]), persistent=False)

    def forward(self, pose: SkeletonPose, thickness: Tensor) -> tuple[Tensor, Tensor]:
        return self.points(pose, thickness)[0], self.sigmas(thickness)

    def sigmas(self, thickness: Tensor) -> Tensor:
        """(B, G) mm of hands that are thickness (B, 6) mm thicker."""
        grown = self.base_sigmas + _SIGMA_OVER_RADIUS * thickness @ self.parts.T
        return grown.clamp(min=1.0)
