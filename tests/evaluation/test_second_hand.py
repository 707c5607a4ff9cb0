"""Rendered people of another surface and camera: the same person again and again, not the training's own hand."""

from __future__ import annotations

import math

import torch

from engine.evaluation.second_hand import SECOND_SURFACE, FilteredStereo, median, person, render_person
from engine.hand.imports import load_hand
from engine.hand.template import load_template


def test_a_person_keeps_their_shape_and_two_differ() -> None:
    first, again, other = (render_person(person(seed), 4, seed=3, part=2) for seed in (1, 1, 2))
    assert torch.equal(first.depth, again.depth)
    assert (first.beta == first.beta[0]).all() and (first.thickness == first.thickness[0]).all()
    assert not torch.equal(first.beta[0], other.beta[0])
    assert not torch.equal(first.depth[0], first.depth[2])
    assert first.has_hand.all() and first.is_right.all() and first.pose_known.all()
    seen = first.depth.isfinite().flatten(1).sum(1)
    assert (seen > 800).all()


def test_the_surface_is_another_one() -> None:
    own, second = load_template(), load_hand(SECOND_SURFACE)
    assert len(own.vertices) != len(second.vertices)
    apart = torch.cdist(torch.from_numpy(second.vertices), torch.from_numpy(own.vertices)).min(1).values
    assert apart.mean() > 1.0


def test_the_median_fills_single_holes_and_drops_single_points() -> None:
    plane = torch.full((1, 16, 16), 500.0)
    plane[0, 8, 8] = math.inf
    plane[0, 4, 4] = 300.0
    assert torch.equal(median(plane)[0, 2:-2, 2:-2], torch.full((12, 12), 500.0))
    lonely = torch.full((1, 16, 16), math.inf)
    lonely[0, 8, 8] = 500.0
    assert median(lonely).isinf().all()


def test_the_camera_is_noisy_and_repeats_itself_with_its_generator() -> None:
    plane = torch.full((2, 128, 128), 500.0)
    noisy = [
        FilteredStereo(torch.Generator().manual_seed(3))(plane, torch.tensor([500.0, 500.0]), 2.3) for _ in range(2)
    ]
    assert torch.equal(noisy[0], noisy[1])
    inner = noisy[0][:, 10:-10, 10:-10]
    off = (inner - 500)[inner.isfinite()]
    assert inner.isfinite().float().mean() > 0.9 and 0.3 < off.std() < 10
