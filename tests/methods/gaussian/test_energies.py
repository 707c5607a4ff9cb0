import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from engine.hand.limits import ARTICULATION_LIMITS
from engine.methods.gaussian import overlap
from engine.methods.gaussian.decoder import DecodedHand
from engine.methods.gaussian.energies import (
    POINT,
    RAY,
    UNLABELLED,
    EnergyConfig,
    JointLabels,
    apart_pairs,
    e_bone,
    e_collision,
    e_dissim,
    e_joint,
    e_lim,
    energy,
)
from engine.methods.gaussian.overlap import similarity
from engine.methods.gaussian.quadtree import ImageGaussians, image_gaussians
from engine.methods.gaussian.reference import (
    e_bone_reference,
    e_collision_reference,
    e_dissim_reference,
    e_joint_reference,
    e_lim_reference,
    leaves_reference,
    overlap_reference,
)
from engine.types import LumbricalError
from tests.methods.gaussian.scenes import Scene


def _labels(scene: Scene, generator_seed: int = 2) -> JointLabels:
    """All kinds, some of them exact, some joints not labelled and then NaN."""
    generator = torch.Generator().manual_seed(generator_seed)
    joints = scene.hand().joints
    kind = torch.randint(0, 3, joints.shape[:2], generator=generator)
    near = joints + 15 * torch.randn(joints.shape, generator=generator, dtype=torch.float64)
    target = torch.where((kind == RAY).unsqueeze(-1), torch.nn.functional.normalize(near, dim=-1), near)
    target[kind == UNLABELLED] = torch.nan
    return JointLabels(kind, target)


def _gradients(value: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Other weights for each image, so that a gradient that reached the wrong one would show.
    weights = torch.linspace(0.5, 2.0, len(value), dtype=value.dtype)
    grads = torch.autograd.grad((weights * value).sum(), parameters, allow_unused=True)
    return tuple(torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True))


def _same(fast: Callable[..., Tensor], plain: Callable[..., Tensor], scene: Scene) -> None:
    """Values and gradients by the hand's parameters agree within 1e-5."""
    results = []
    for function in (fast, plain):
        parameters = scene.variables()
        value = function(scene.hand(parameters), parameters)
        results.append((value, *_gradients(value, parameters)))
    assert any(gradient.abs().max() > 0 for gradient in results[0][1:])
    # Moving the whole hand does not change how it collides: what is nothing but rounding is measured against the rest.
    largest = max(float(x.detach().abs().max()) for x in results[1])
    for one, other in zip(*results, strict=True):
        scale = float(other.detach().abs().max())
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7 * scale + 1e-12 * largest)


@pytest.mark.parametrize("chunk", [None, 1, 1 << 24])
def test_dissimilarity_equals_its_reference(scene: Scene, monkeypatch: pytest.MonkeyPatch, chunk: int | None) -> None:
    if chunk is not None:
        monkeypatch.setattr(overlap, "_CHUNK_PAIRS_CPU", chunk)
    images = image_gaussians(scene.crop, scene.distance)
    leaves = [leaves_reference(c, float(d), 20.0) for c, d in zip(scene.crop, scene.distance, strict=True)]
    _same(lambda hand, _: e_dissim(hand, images), lambda hand, _: e_dissim_reference(hand, leaves), scene)


@pytest.mark.parametrize("apart", [True, False])
def test_collision_equals_its_reference(scene: Scene, apart: bool) -> None:
    pairs = apart_pairs(torch.device("cpu")) if apart else None
    _same(
        lambda hand, _: e_collision(hand.means, hand.sigmas_mm, pairs),
        lambda hand, _: e_collision_reference(hand.means, hand.sigmas_mm, pairs),
        scene,
    )


def test_the_other_energies_equal_their_references(scene: Scene) -> None:
    labels = _labels(scene)
    wrist, rotation, articulation, beta, thickness = scene.parameters
    moved = dataclasses.replace(scene, parameters=(wrist + 9.0, rotation, 3 * articulation, beta, thickness))
    _same(lambda _, p: e_bone(p[3]), lambda _, p: e_bone_reference(p[3]), moved)
    _same(lambda _, p: e_lim(p[2]), lambda _, p: e_lim_reference(p[2]), moved)
    for slack in (0.0, 12.0):
        _same(
            lambda hand, _, s=slack: e_joint(hand.joints, labels, s),
            lambda hand, _, s=slack: e_joint_reference(hand.joints, labels, s),
            moved,
        )


def test_overlap_is_the_integral_of_the_product() -> None:
    ticks = torch.linspace(-30, 30, 601, dtype=torch.float64)
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    places = torch.stack((u, v), -1)
    first, second = torch.tensor([[1.0, -2.0], [4.0, 1.5]], dtype=torch.float64)
    sigmas = torch.tensor([2.5, 4.0], dtype=torch.float64)
    product = torch.exp(
        -((places - first) ** 2).sum(-1) / (2 * sigmas[0] ** 2)
        - ((places - second) ** 2).sum(-1) / (2 * sigmas[1] ** 2)
    )
    integral = product.sum() * 0.1**2
    assert float(overlap_reference(first, sigmas[0], second, sigmas[1])) == pytest.approx(float(integral), rel=1e-9)


def _similarity(model: Sequence[Tensor], images: ImageGaussians) -> Tensor:
    centres, sigmas, surface, sigmas_mm = model
    return similarity(centres, sigmas, surface, sigmas_mm, images)


def _small_hand(batch: int = 2, count: int = 5) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(8)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    centres = draw(batch, count, 2) * 12 + 2
    return tuple(
        x.requires_grad_()
        for x in (centres, 1 + 2 * draw(batch, count), 400 + 30 * draw(batch, count), 6 + 4 * draw(batch, count))
    )


def test_gradient_of_the_similarity() -> None:
    generator = torch.Generator().manual_seed(1)
    crop = torch.rand(2, 16, 16, generator=generator, dtype=torch.float64) * 0.2
    crop[:, 8:, 8:] = 0.1
    crop[0, :4] = 1.0
    images = image_gaussians(crop, torch.full((2,), 400.0, dtype=torch.float64))
    assert len(images.sigmas_px[images.mask].unique()) >= 3
    assert gradcheck(lambda *x: _similarity(x, images), _small_hand())


def test_gradient_of_the_collision() -> None:
    generator = torch.Generator().manual_seed(1)
    means = (30 * torch.rand(2, 6, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    sigmas = (4 + 6 * torch.rand(2, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    assert gradcheck(e_collision, (means, sigmas))


def test_gradient_of_bone_prior_and_limits() -> None:
    generator = torch.Generator().manual_seed(1)
    values = (3 * torch.randn(3, 20, generator=generator, dtype=torch.float64)).requires_grad_()
    assert gradcheck(e_bone, (values,))
    assert gradcheck(e_lim, (values,))


@pytest.mark.parametrize("slack", [0.0, 12.0])
def test_gradient_of_the_joints(scene: Scene, slack: float) -> None:
    labels = _labels(scene)
    joints = (scene.hand().joints.detach() + 2.0).requires_grad_()
    assert gradcheck(lambda x: e_joint(x, labels, slack), (joints,))


def test_a_model_like_the_image_is_the_most_alike(scene: Scene) -> None:
    """With the image's own Gaussians for a model, flat and in their places, S_sim is 1, and less anywhere else."""
    crop = torch.ones(1, 16, 16, dtype=torch.float64)
    crop[0, 4:12, 4:12] = 0.0
    images = image_gaussians(crop, torch.tensor([400.0], dtype=torch.float64))
    model = (images.centres_px, images.sigmas_px, images.depth_mm, torch.full_like(images.depth_mm, 5.0))
    own = images.self_similarity
    assert float(_similarity(model, images) / own) == pytest.approx(1.0)
    aside = (model[0] + torch.tensor([1.0, 0.0]), *model[1:])
    behind = (*model[:2], model[2] + 4.0, model[3])
    assert float(_similarity(aside, images) / own) < 0.99
    assert float(_similarity(behind, images) / own) == pytest.approx(0.6)
    assert float(_similarity((*model[:2], model[2] + 10.0, model[3]), images)) == 0.0


def _total(scene: Scene, crop: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    parameters = scene.variables()
    hand = scene.hand(parameters)
    images = image_gaussians(crop, scene.distance)
    parts = energy(hand, parameters[2], parameters[3], images, _labels(scene), EnergyConfig())
    return parts.total, _gradients(parts.total, parameters)


def test_empty_crops_give_finite_energies_and_gradients(scene: Scene) -> None:
    for crop in (torch.ones_like(scene.crop), torch.cat((torch.ones_like(scene.crop[:1]), scene.crop[1:]))):
        total, gradients = _total(scene, crop)
        assert total.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)
    parameters = scene.variables()
    value = e_dissim(scene.hand(parameters), image_gaussians(torch.ones_like(scene.crop), scene.distance))
    assert value.tolist() == [0, 0, 0]
    assert all((gradient == 0).all() for gradient in _gradients(value, parameters))


def test_total_is_the_weighted_sum(scene: Scene) -> None:
    config = EnergyConfig(dissim=2, collision=0.3, bone=0.05, lim=7, joint=0.01, slack_mm=3)
    hand = scene.hand()
    images = image_gaussians(scene.crop, scene.distance)
    parts = energy(hand, scene.parameters[2], scene.parameters[3], images, _labels(scene), config)
    expected = 2 * parts.dissim + 0.3 * parts.collision + 0.05 * parts.bone + 7 * parts.lim + 0.01 * parts.joint
    torch.testing.assert_close(parts.total, expected)
    without = energy(hand, scene.parameters[2], scene.parameters[3], images, None, config)
    assert (without.joint == 0).all()


def test_single_precision_agrees_with_double(scene: Scene) -> None:
    images = image_gaussians(scene.crop, scene.distance)
    single = dataclasses.replace(
        images, depth_mm=images.depth_mm.float(), self_similarity=images.self_similarity.float()
    )
    hand = scene.hand()
    rough = DecodedHand(*(value.float() for value in vars(hand).values()))
    torch.testing.assert_close(e_dissim(rough, single).double(), e_dissim(hand, images), rtol=1e-4, atol=1e-6)
    gradients = []
    for each, image in ((hand, images), (rough, single)):
        inputs = [
            x.detach().requires_grad_() for x in (each.centres_px, each.sigmas_px, each.surface_mm, each.sigmas_mm)
        ]
        gradients.append(torch.autograd.grad(_similarity(inputs, image).sum(), inputs))
    for double, rounded in zip(*gradients, strict=True):
        torch.testing.assert_close(rounded.double(), double, rtol=1e-3, atol=1e-4 * float(double.abs().max()))


def test_limits_cost_nothing_inside_and_the_square_outside() -> None:
    limits = torch.as_tensor(ARTICULATION_LIMITS)
    assert e_lim(limits.mean(1).unsqueeze(0)).item() == 0
    assert e_lim((limits[:, 1] + 0.1).unsqueeze(0)).item() == pytest.approx(20 * 0.01)
    assert e_lim((limits[:, 0] - 0.2).unsqueeze(0)).item() == pytest.approx(20 * 0.04)


def test_slack_forgives_what_lies_within_it_and_rays_forgive_depth() -> None:
    joints = torch.zeros(1, 21, 3, dtype=torch.float64)
    joints[0, 4] = torch.tensor([30.0, 40.0, 500.0])
    kind, target = torch.zeros(1, 21, dtype=torch.int64), torch.zeros(1, 21, 3, dtype=torch.float64)
    kind[0, 4], target[0, 4] = POINT, torch.tensor([0.0, 40.0, 500.0])
    assert e_joint(joints, JointLabels(kind, target), 30.0).item() == 0
    assert e_joint(joints, JointLabels(kind, target), 25.0).item() == pytest.approx(25.0)
    ray = JointLabels(torch.where(kind == POINT, RAY, kind), target)
    ray.target[0, 4] = torch.nn.functional.normalize(2 * joints[0, 4], dim=0)
    assert e_joint(joints, ray, 0.0).item() == pytest.approx(0.0, abs=1e-9)
    ray.target[0, 4] = torch.tensor([0.0, 0.0, 1.0])
    assert e_joint(joints, ray, 20.0).item() == pytest.approx(30.0**2)


def test_a_joint_exactly_at_its_label_has_no_gradient_rather_than_nan() -> None:
    joints = torch.rand(1, 21, 3, dtype=torch.float64).requires_grad_()
    labels = JointLabels(torch.full((1, 21), POINT), joints.detach().clone())
    (gradient,) = torch.autograd.grad(e_joint(joints, labels, 0.0).sum(), joints)
    assert (gradient == 0).all()


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LumbricalError, match="no finite label"):
        JointLabels(torch.full((1, 21), POINT), torch.full((1, 21, 3), torch.nan))
    with pytest.raises(LumbricalError, match="shapes"):
        JointLabels(torch.zeros(1, 20, dtype=torch.int64), torch.zeros(1, 20, 3))


@pytest.mark.parametrize("name, value", [("dissim", -1.0), ("slack_mm", float("nan")), ("depth_range_mm", 0.0)])
def test_constants_that_make_no_energy_are_refused(name: str, value: float) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        EnergyConfig(**wrong)


def test_neighbours_are_left_out_of_the_collision_and_fingers_are_not() -> None:
    pairs = apart_pairs(torch.device("cpu"))
    assert torch.equal(pairs, pairs.T)
    assert not pairs.diagonal().any()
    # The last Gaussians of the thumb and of the index finger can collide; those of one bone cannot.
    assert pairs[11, 25]
    assert not pairs[10, 11]
