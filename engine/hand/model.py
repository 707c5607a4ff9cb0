"""The hand model: parameters in, joints, skinned surface and Gaussians out. Torch, batched, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.hand.template import HandTemplate


class SkinnedPoints(torch.nn.Module):
    """Points fixed to the rest surface that follow the bones by linear blend skinning.

    A bone moves its points by x' = o + R diag(1, s, 1) R0' (x - o0): R its rotation, o its origin, s its length over
    the mean length, R0 and o0 the same at rest. Thickness moves a point along its posed normal.
    The blend is written as one matrix product: (P, 80) constant weights times (B, 80, 3) bone transforms.
    """

    position_weights: Tensor
    normal_weights: Tensor
    thickness_weights: Tensor
    rest_rotations: Tensor
    rest_origins: Tensor

    def __init__(
        self, points: Tensor, normals: Tensor, bone_weights: Tensor, thickness_weights: Tensor, skeleton: Skeleton
    ) -> None:
        super().__init__()
        rest = rest_pose(skeleton)
        homogeneous = torch.cat((points, torch.ones_like(points[:, :1])), 1)
        self.register_buffer("position_weights", _outer(bone_weights, homogeneous), persistent=False)
        self.register_buffer("normal_weights", _outer(bone_weights, normals), persistent=False)
        self.register_buffer("thickness_weights", thickness_weights, persistent=False)
        self.register_buffer("rest_rotations", rest.rotations[0], persistent=False)
        self.register_buffer("rest_origins", rest.origins[0], persistent=False)
        self._mean_lengths = skeleton.bone_length_mean

    def forward(self, pose: SkeletonPose, thickness: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, P, 3) mm and unit normals (B, P, 3) in the camera frame; thickness (B, 6) mm."""
        scale = torch.ones_like(pose.origins)
        scale[..., 1] = pose.bone_lengths / self._mean_lengths.to(pose.bone_lengths)
        linear = (pose.rotations * scale.unsqueeze(-2)) @ self.rest_rotations.mT
        turn = pose.rotations @ self.rest_rotations.mT
        shift = pose.origins - (linear @ self.rest_origins.unsqueeze(-1)).squeeze(-1)
        transforms = torch.cat((linear.mT, shift.unsqueeze(-2)), -2).flatten(1, 2)
        normals = torch.nn.functional.normalize(_blend(self.normal_weights, turn.mT.flatten(1, 2)), dim=-1)
        points = _blend(self.position_weights, transforms)
        return points + (thickness @ self.thickness_weights.T).unsqueeze(-1) * normals, normals


def _blend(weights: Tensor, transforms: Tensor) -> Tensor:
    """weights (P, K) times each of transforms (B, K, 3), as one product: many times faster than B thin ones."""
    batch, rows, _ = transforms.shape
    return (weights @ transforms.transpose(0, 1).reshape(rows, 3 * batch)).unflatten(1, (batch, 3)).transpose(0, 1)


def _outer(weights: Tensor, vectors: Tensor) -> Tensor:
    """(P, K) and (P, D) -> (P, K * D): every weight times every component."""
    return (weights.unsqueeze(2) * vectors.unsqueeze(1)).flatten(1)


def rest_pose(skeleton: Skeleton) -> SkeletonPose:
    """The skeleton at theta = 0, beta = 0, batch of one."""
    zeros = torch.zeros(1, 26, dtype=skeleton.bone_length_mean.dtype, device=skeleton.bone_length_mean.device)
    return skeleton(zeros, zeros[:, :20])


def skin_of(template: HandTemplate, skeleton: Skeleton) -> SkinnedPoints:
    """The template's own vertices, skinned."""
    return SkinnedPoints(
        torch.as_tensor(template.vertices, dtype=torch.float32),
        torch.as_tensor(template.normals, dtype=torch.float32),
        torch.as_tensor(template.bone_weights, dtype=torch.float32),
        torch.as_tensor(template.thickness_weights, dtype=torch.float32),
        skeleton,
    )


def surface_pattern(template: HandTemplate, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`count` points spread evenly over the template's triangles: the vertices (count, 3) of each point's triangle, and
    their shares (count, 3) in it."""
    generator = torch.Generator().manual_seed(seed)
    faces = torch.as_tensor(template.faces, dtype=torch.long)
    corners = torch.as_tensor(template.spread)[faces].double()
    areas = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
    # Stratified along the cumulated area: every triangle gets its share of points, to within one.
    places = (
        torch.arange(count, dtype=torch.float64) + torch.rand(count, generator=generator, dtype=torch.float64)
    ) / count
    chosen = faces[torch.searchsorted(areas.cumsum(0), places * areas.sum()).clamp(max=len(faces) - 1)]
    r = torch.rand(count, 2, generator=generator).sort(dim=1).values
    return chosen, torch.stack((r[:, 0], r[:, 1] - r[:, 0], 1 - r[:, 1]), 1)


def sample_surface(template: HandTemplate, count: int, skeleton: Skeleton, seed: int = 0) -> SkinnedPoints:
    """`count` points spread evenly over the template's triangles, skinned with interpolated weights."""
    chosen, weights = surface_pattern(template, count, seed)

    def interpolate(array: object) -> Tensor:
        values = torch.as_tensor(array, dtype=torch.float32)[chosen]
        return (values * weights.unsqueeze(-1)).sum(1)

    normals = torch.nn.functional.normalize(interpolate(template.normals), dim=-1)
    return SkinnedPoints(
        interpolate(template.vertices),
        normals,
        interpolate(template.bone_weights),
        interpolate(template.thickness_weights),
        skeleton,
    )
