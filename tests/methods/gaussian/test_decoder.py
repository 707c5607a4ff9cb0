import math

import pytest
import torch

from engine.hand.gaussians import GaussianModel
from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.decoder import GaussianDecoder, crop_camera, pixel_rays, project
from engine.methods.gaussian.encoder import HALF_CUBE_MM, Encoder
from engine.types import LumbricalError
from tests.methods.gaussian.scenes import Scene


def test_the_crops_camera_sees_the_cubes_border_at_the_images_border() -> None:
    distance = torch.tensor([350.0], dtype=torch.float64)
    corner = torch.tensor([[[HALF_CUBE_MM, -HALF_CUBE_MM, 350.0]]], dtype=torch.float64)
    centre, sigma = project(corner, torch.tensor([[3.0]], dtype=torch.float64), crop_camera(distance))
    assert centre[0, 0].tolist() == pytest.approx([127.5, -0.5])
    assert float(sigma) == pytest.approx(3.0 * 128 / 300)


def test_projection_is_perspective() -> None:
    camera = torch.tensor([[[600.0, 2.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]])
    centre, sigma = project(torch.tensor([[[30.0, -20.0, 400.0]]]), torch.tensor([[8.0]]), camera)
    assert centre[0, 0].tolist() == pytest.approx([320 + (600 * 30 + 2 * -20) / 400, 240 + 500 * -20 / 400])
    assert float(sigma) == pytest.approx(8 * math.sqrt(600 * 500) / 400)


def test_rays_pass_through_the_points_that_project_to_their_pixels() -> None:
    camera = torch.tensor([[[600.0, 2.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]]])
    points = torch.tensor([[[30.0, -20.0, 400.0], [-80.0, 50.0, 900.0]]])
    pixels, _ = project(points, torch.ones(1, 2), camera)
    torch.testing.assert_close(pixel_rays(pixels, camera), torch.nn.functional.normalize(points, dim=-1))


def test_the_surface_lies_before_the_mean_by_the_stated_sigmas(scene: Scene) -> None:
    hand = scene.hand()
    torch.testing.assert_close(hand.surface_mm, hand.means[..., 2] - scene.decoder.surface_sigmas * hand.sigmas_mm)
    assert hand.joints.dtype == torch.float64


def test_gaussians_are_those_of_the_hand_model(scene: Scene) -> None:
    wrist, rotation, articulation, beta, thickness = scene.parameters
    skeleton = scene.decoder.skeleton
    pose = skeleton.pose(wrist, rotation, articulation, skeleton.bone_lengths(beta))
    # One finger far too thin, so that the floor under the standard deviations shows.
    thickness = thickness - torch.tensor([0.0, 30.0, 0.0, 0.0, 0.0, 0.0])
    means, sigmas = GaussianModel(skeleton).double()(pose, thickness)
    hand = scene.hand((wrist, rotation, articulation, beta, thickness))
    torch.testing.assert_close(hand.means, means, rtol=0, atol=1e-4)
    torch.testing.assert_close(hand.sigmas_mm, sigmas, rtol=1e-5, atol=1e-5)


def test_theta_and_the_encoders_form_decode_alike() -> None:
    torch.manual_seed(0)
    distance = torch.tensor([300.0, 500.0])
    encoding = Encoder().eval()(torch.rand(2, 1, 128, 128) * 2 - 1, distance)
    decoder = GaussianDecoder(Skeleton())
    identity = encoding._replace(rotation=torch.eye(3).expand(2, 3, 3))
    from_crop = decoder.decode_crop(identity, distance)
    wrist = identity.translation + torch.stack((torch.zeros(2), torch.zeros(2), distance), 1)
    theta = torch.cat((wrist, torch.zeros(2, 3), identity.articulation), 1)
    from_theta = decoder(theta, identity.beta, identity.thickness, crop_camera(distance))
    for one, other in zip(vars(from_crop).values(), vars(from_theta).values(), strict=True):
        torch.testing.assert_close(one, other)


def test_behind_the_camera_all_stays_finite(scene: Scene) -> None:
    parameters = scene.variables()
    wrist = torch.tensor([0.0, 0.0, -80.0], dtype=torch.float64).expand(3, 3).clone().requires_grad_()
    hand = scene.hand((wrist, *parameters[1:]))
    total = sum(value.sum() for value in vars(hand).values())
    total.backward()
    assert all(value.isfinite().all() for value in vars(hand).values())
    assert wrist.grad is not None
    assert wrist.grad.isfinite().all()


@pytest.mark.parametrize("place, name", [*enumerate(("translation", "rotation", "articulation", "beta", "thickness"))])
def test_parameters_that_are_no_number_are_refused_by_name(scene: Scene, place: int, name: str) -> None:
    parameters = [x.clone() for x in scene.parameters]
    parameters[place].view(-1)[1] = torch.nan
    with pytest.raises(LumbricalError, match=f"^{name} of the hand is not finite"):
        scene.hand(tuple(parameters))
