"""The model-based decoder (Wang et al. section III-C): hand parameters to Gaussians in the image.

The paper leaves the projection Pi_K to its supplement. Here the projected Gaussian is isotropic, as Eq. 4 needs: its
mean is the mean's perspective projection, its standard deviation the 3D one times focal length over depth. A sphere off
the axis really projects to an ellipse, longer by 1 / cos of its angle to the axis: 5 % at the border of a crop 450 mm
away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.geometry.rotations import euler_to_matrix
from engine.hand.gaussians import GaussianModel, gaussian_layout
from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM, Encoding
from engine.types import JOINT_COUNT, JOINT_PARENTS, THICKNESS_SIZE, LumbricalError

#: How far before a Gaussian's mean the surface that the camera sees is taken to lie, in its standard deviations. The
#: paper leaves it open. The project's Gaussians lie within the flesh, sigma 0.7 of its radius: at 1.6 E_dissim is least
#: where the hand is; with the 1-sigma surface it is least with the hand 6 mm too near (docs/gaussian-loss.md).
SURFACE_SIGMAS = 1.6
#: Nearer to the camera, or behind it, a Gaussian is projected as if it were here: finite, and far from any depth seen.
_NEAREST_MM = 1.0


@dataclass(frozen=True)
class DecodedHand:
    """A hand's joints and Gaussians in the camera frame, and the Gaussians' picture.

    joints: (B, 21, 3) mm. means: (B, G, 3) mm and sigmas_mm: (B, G), Eq. 2. centres_px: (B, G, 2) u, v; sigmas_px: (B,
    G); surface_mm: (B, G) depth of the surface that faces the camera, z_p of Eq. 5.
    """

    joints: Tensor
    means: Tensor
    sigmas_mm: Tensor
    centres_px: Tensor
    sigmas_px: Tensor
    surface_mm: Tensor


class GaussianDecoder(torch.nn.Module):
    """theta, beta, thickness and a camera -> DecodedHand. Differentiable; its precision is the skeleton's."""

    on_joints: Tensor
    base_sigmas: Tensor
    sigma_gain: Tensor
    least_sigmas: Tensor

    def __init__(self, skeleton: Skeleton, surface_sigmas: float = SURFACE_SIGMAS) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.surface_sigmas = surface_sigmas
        # Every Gaussian lies on the line between its bone's ends and widens with thickness alone: asked once how, the
        # model need not be skinned at every step.
        mean = skeleton.bone_length_mean
        model = GaussianModel(skeleton).to(mean)
        on_joints = mean.new_zeros(model.base_sigmas.numel(), JOINT_COUNT)
        for row, (bone, way, _) in zip(on_joints, gaussian_layout(), strict=True):
            row[JOINT_PARENTS[bone + 1]], row[bone + 1] = 1 - way, way
        probes = torch.cat((torch.zeros(1, THICKNESS_SIZE), torch.eye(THICKNESS_SIZE), torch.full((1, 6), -1e3)))
        rest = rest_pose(skeleton)
        sigmas = torch.cat([model(rest, probe.unsqueeze(0))[1] for probe in probes.to(mean)])
        for name, value in (
            ("on_joints", on_joints),
            ("base_sigmas", sigmas[0]),
            ("sigma_gain", sigmas[1:-1] - sigmas[0]),
            ("least_sigmas", sigmas[-1]),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, theta: Tensor, beta: Tensor, thickness: Tensor, camera: Tensor) -> DecodedHand:
        """theta (B, 26) with the wrist in the camera frame, beta (B, 20), thickness (B, 6) mm, camera (B, 3, 3): K.

        Raises LumbricalError for parameters or a camera that are not finite.
        """
        return self.decode(theta[:, :3], euler_to_matrix(theta[:, 3:6]), theta[:, 6:], beta, thickness, camera)

    def decode(
        self,
        translation: Tensor,
        rotation: Tensor,
        articulation: Tensor,
        beta: Tensor,
        thickness: Tensor,
        camera: Tensor,
    ) -> DecodedHand:
        """The same from wrist place (B, 3) mm, camera frame, rotation (B, 3, 3) and angles (B, 20)."""
        _check_finite(
            translation=translation,
            rotation=rotation,
            articulation=articulation,
            beta=beta,
            thickness=thickness,
            camera=camera,
        )
        with torch.autocast(translation.device.type, enabled=False):
            pose = self.skeleton.pose(translation, rotation, articulation, self.skeleton.bone_lengths(beta))
            means = self.on_joints @ pose.joints
            sigmas = torch.maximum(self.base_sigmas + thickness @ self.sigma_gain, self.least_sigmas)
        centres, sigmas_px = project(means, sigmas, camera)
        surface = means[..., 2] - self.surface_sigmas * sigmas
        return DecodedHand(pose.joints, means, sigmas, centres, sigmas_px, surface)

    def decode_crop(self, encoding: Encoding, distance: Tensor) -> DecodedHand:
        """What the encoder said of crops whose cubes' centres are `distance` (B,) mm away, in the crops' cameras.

        Thickness gets no gradient from here: the paper's sigmas are constants, and Eq. 6 has no term that keeps them
        from growing (docs/gaussian-loss.md), nor Eq. 7 one that keeps them from shrinking.
        """
        away = torch.zeros_like(encoding.translation)
        away[:, 2] = distance
        return self.decode(
            encoding.translation + away,
            encoding.rotation,
            encoding.articulation,
            encoding.beta,
            encoding.thickness.detach(),
            crop_camera(distance),
        )


def _check_finite(**values: Tensor) -> None:
    if torch.stack([value.isfinite().all() for value in values.values()]).all():
        return
    bad = [name for name, value in values.items() if not value.isfinite().all()]
    raise LumbricalError(
        f"{', '.join(bad)} of the hand {'is' if len(bad) == 1 else 'are'} not finite;"
        " start again from the last good weights, with a lower learning rate"
    )


def project(means: Tensor, sigmas: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
    """Pi_K: means (B, G, 3) mm and sigmas (B, G) mm through K (B, 3, 3) -> (B, G, 2) and (B, G) pixels.

    Skew and unequal focal lengths count in the means; the standard deviation takes the focal lengths' geometric mean.
    """
    z = means[..., 2].clamp(min=_NEAREST_MM)
    u = (camera[:, 0, 0, None] * means[..., 0] + camera[:, 0, 1, None] * means[..., 1]) / z + camera[:, 0, 2, None]
    v = camera[:, 1, 1, None] * means[..., 1] / z + camera[:, 1, 2, None]
    focal = (camera[:, 0, 0] * camera[:, 1, 1]).sqrt().unsqueeze(1)
    return torch.stack((u, v), -1), sigmas * focal / z


def crop_camera(distance: Tensor, size: int = CROP_SIZE) -> Tensor:
    """K of the crop's virtual camera, (B, 3, 3): the cube, `distance` (B,) mm away, spans the image."""
    focal = distance * (size / (2 * HALF_CUBE_MM))
    zero, one = torch.zeros_like(distance), torch.ones_like(distance)
    middle = one * ((size - 1) / 2)
    return torch.stack((focal, zero, middle, zero, focal, middle, zero, zero, one), -1).unflatten(-1, (3, 3))


def pixel_rays(pixels: Tensor, camera: Tensor) -> Tensor:
    """Unit directions (B, J, 3) from the camera through pixels (B, J, 2): the rays of Eq. 10."""
    v = (pixels[..., 1] - camera[:, 1, 2, None]) / camera[:, 1, 1, None]
    u = (pixels[..., 0] - camera[:, 0, 2, None] - camera[:, 0, 1, None] * v) / camera[:, 0, 0, None]
    return torch.nn.functional.normalize(torch.stack((u, v, torch.ones_like(u)), -1), dim=-1)
