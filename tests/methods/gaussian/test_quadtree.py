import dataclasses

import pytest
import torch
from torch import Tensor

from engine.methods.gaussian.quadtree import ImageGaussians, image_gaussians
from engine.methods.gaussian.reference import Leaves, leaves_reference, overlap_reference
from engine.types import LumbricalError
from tests.methods.gaussian.scenes import Scene


def _rows(u: Tensor, sigma: Tensor, depth: Tensor) -> Tensor:
    """One row per leaf, in an order of their own."""
    table = torch.cat((u, sigma.unsqueeze(1), depth.unsqueeze(1)), 1).double()
    return table[(table[:, 0] * 1000 + table[:, 1]).argsort()]


def _of_image(images: ImageGaussians, b: int) -> Tensor:
    mask = images.mask[b]
    return _rows(images.centres_px[b, mask], images.sigmas_px[b, mask], images.depth_mm[b, mask])


def _agrees(crop: Tensor, distance: Tensor, depth_range_mm: float = 20.0) -> ImageGaussians:
    images = image_gaussians(crop, distance, depth_range_mm)
    for b in range(len(crop)):
        plain: Leaves = leaves_reference(crop[b], float(distance[b]), depth_range_mm)
        assert int(images.counts[b]) == len(plain.depth)
        expected = _rows(plain.centres, plain.sigmas, plain.depth)
        torch.testing.assert_close(_of_image(images, b), expected, rtol=1e-9, atol=1e-9)
        own = sum(float(overlap_reference(c, s, plain.centres, plain.sigmas).sum())
                  for c, s in zip(plain.centres, plain.sigmas, strict=True))  # fmt: skip
        assert float(images.self_similarity[b]) == pytest.approx(own, rel=1e-9)
    return images


def test_rendered_crops_split_as_the_recursion_splits_them(scene: Scene) -> None:
    images = _agrees(scene.crop, scene.distance)
    assert len(images.sigmas_px[images.mask].unique()) >= 4
    assert (images.counts > 100).all()


def test_noise_on_every_pixel_makes_every_pixel_a_leaf() -> None:
    crop = torch.rand(2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1.8 - 1
    images = _agrees(crop, torch.tensor([400.0, 700.0], dtype=torch.float64), 0.01)
    assert images.counts.tolist() == [256, 256]


def test_one_even_crop_is_one_leaf() -> None:
    images = _agrees(torch.zeros(1, 128, 128, dtype=torch.float64), torch.tensor([500.0], dtype=torch.float64))
    assert images.counts.tolist() == [1]
    assert images.centres_px[0, 0].tolist() == [63.5, 63.5]
    assert images.sigmas_px[0, 0] == 64
    assert images.depth_mm[0, 0] == 500


def test_a_range_of_exactly_c_is_split() -> None:
    crop = torch.zeros(1, 2, 2, dtype=torch.float64)
    crop[0, 0, 0] = 0.125
    distance = torch.tensor([500.0], dtype=torch.float64)
    assert image_gaussians(crop, distance, 150 * 0.125).counts.tolist() == [4]
    assert image_gaussians(crop, distance, 150 * 0.125 + 1e-6).counts.tolist() == [1]


def test_a_single_empty_pixel_is_left_out_even_beside_the_far_end_of_the_cube() -> None:
    crop = torch.full((1, 8, 8), 0.99, dtype=torch.float64)
    crop[0, 2, 5] = 1.0
    images = _agrees(crop, torch.tensor([500.0], dtype=torch.float64))
    assert 4 * images.sigmas_px.square()[images.mask].sum() == 63


def test_empty_crops_have_no_leaves_and_full_neighbours_keep_theirs(scene: Scene) -> None:
    crop = scene.crop.clone()
    crop[1] = 1.0
    images = _agrees(crop, scene.distance)
    assert images.counts[1] == 0
    assert images.self_similarity[1] == 0
    assert image_gaussians(torch.ones(2, 128, 128), torch.tensor([400.0, 500.0])).cells.shape == (2, 0)


def test_channels_and_single_precision_are_taken_as_they_come(scene: Scene) -> None:
    images = image_gaussians(scene.crop.float().unsqueeze(1), scene.distance.float())
    assert images.depth_mm.dtype == torch.float32
    assert images.size == 128
    assert "self_similarity" in {field.name for field in dataclasses.fields(images)}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_pixels_that_are_no_number_are_refused(bad: float) -> None:
    crop = torch.zeros(1, 128, 128)
    crop[0, 3, 4] = bad
    with pytest.raises(LumbricalError, match="NaN or infinite"):
        image_gaussians(crop, torch.tensor([400.0]))


@pytest.mark.parametrize("shape", [(1, 100, 100), (1, 128, 64), (128, 128), (1, 2, 128, 128)])
def test_crops_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LumbricalError, match="crop"):
        image_gaussians(torch.zeros(shape), torch.tensor([400.0]))
