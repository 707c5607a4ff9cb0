"""What a depth crop says of a posed hand: point-to-plane distances of the surface that faces the camera.

One Gauss-Newton term, to be added to that of engine.hand.inverse_kinematics. Each of a few hundred points of the
model's surface is compared with the depth measured at the pixel it falls on, along the model's normal (point to plane,
Chen & Medioni 1992; for hands Tagliasacchi et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.inverse_kinematics import ANGLE_BONE, PARAMETERS, FittedPose, angle_axes, cross
from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.hand.template import HandTemplate
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.types import BONE_COUNT, FloatArray

Array = NDArray[np.float64]

_BONES = np.arange(BONE_COUNT)
#: (20, 20) which bones' flesh each bone's turn carries: its own and that beyond it in the same finger.
_CARRIED_FLESH = (_BONES[:, None] <= _BONES) & (_BONES[:, None] // 4 == _BONES // 4)


@dataclass(frozen=True)
class SurfaceConfig:
    """points: of the model's surface. sigma_mm: of one point, large because neighbours say the same thing.
    soft_mm: distances beyond it count less and less. far_mm: beyond it a point and the depth behind it, or before it,
    are of different things."""

    points: int = 350
    sigma_mm: float = 6.7
    soft_mm: float = 8.0
    far_mm: float = 30.0


class SurfaceTerm:
    """The term for one hand surface. Not for use from two threads at once."""

    def __init__(self, template: HandTemplate, skeleton: Skeleton, config: SurfaceConfig = SurfaceConfig()) -> None:
        self._config = config
        self._skeleton = skeleton
        self._surface = sample_surface(template, config.points, skeleton, seed=1)
        weights = self._surface.position_weights.unflatten(1, (BONE_COUNT, 4))[..., 3]
        # For derivatives a point belongs to its strongest bone alone.
        self._bone = weights.argmax(1).numpy()

    @torch.inference_mode()
    def normal_equations(
        self, fit: FittedPose, pose: SkeletonPose, thickness: FloatArray, crop: FloatArray, distance: float
    ) -> tuple[Array, Array]:
        """(46, 46) and (46,): J'WJ and J'Wr of the term, in the parameters' order of PoseFitter.

        fit and pose: in the crop's virtual camera; thickness (6,) mm; crop (128, 128) in [-1, 1]; distance: of its
        centre, mm. Both are zero where the crop says nothing of the hand.
        """
        flesh = torch.from_numpy(thickness).float().unsqueeze(0)
        points, normals = (t[0].double().numpy() for t in self._surface(pose, flesh))
        observed, used = _observed(points, normals, crop, distance, self._config.far_mm)
        points, normals, bone = points[used], normals[used], self._bone[used]
        gaps = points * (1 - observed[used] / points[:, 2])[:, None]
        residual = (gaps * normals).sum(1)
        # Geman-McClure: a point far off, such as one on something held, loses its say.
        weight = (1 + (residual / self._config.soft_mm) ** 2) ** -2 / self._config.sigma_mm**2
        jacobian = self._jacobian(points, normals, bone, fit, pose)
        weighted = jacobian * weight[:, None]
        return weighted.T @ jacobian, weighted.T @ residual

    def _jacobian(
        self, points: Array, normals: Array, bone: NDArray[np.int64], fit: FittedPose, pose: SkeletonPose
    ) -> Array:
        """(P, 46) derivatives of the points along their normals; bone lengths are left to the joints."""
        jacobian = np.zeros((len(points), PARAMETERS))
        jacobian[:, :3] = normals
        jacobian[:, 3:6] = cross(points - fit.translation, normals)
        origins = pose.origins[0].double().numpy()[ANGLE_BONE]
        axes = angle_axes(pose, fit.rotation, self._skeleton)
        # normal . (axis x lever) = axis . (lever x normal)
        moments = cross(points[:, None] - origins, normals[:, None])
        jacobian[:, 6:26] = (moments * axes).sum(-1) * _CARRIED_FLESH[ANGLE_BONE][:, bone].T
        return jacobian


def _observed(
    points: Array, normals: Array, crop: FloatArray, distance: float, far_mm: float
) -> tuple[Array, NDArray[np.bool_]]:
    """(P,) depth measured at each point's pixel, mm, and which points (P,) it can be compared with."""
    size = len(crop)
    z = np.maximum(points[:, 2], 1.0)
    scale = distance * size / (2 * HALF_CUBE_MM)
    column, row = np.rint(points[:, :2].T / z * scale + (size - 1) / 2).astype(np.int64)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    scaled = crop[np.where(inside, row, 0), np.where(inside, column, 0)]
    observed = scaled * HALF_CUBE_MM + distance
    facing = (points * normals).sum(1) < 0
    used = inside & facing & (scaled < 1.0) & (np.abs(observed - z) < far_mm)
    return observed.astype(np.float64), used
