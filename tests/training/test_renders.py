from dataclasses import replace

import pytest
import torch

from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.training.noise import SensorNoise
from engine.training.renders import HandRenderer, RenderConfig
from engine.training.sampling import HandSampler, SamplingConfig

CLEAN = RenderConfig(empty_fraction=0.0, left_fraction=0.0, noise=False, clutter=False)


def test_same_seed_same_pictures_other_seed_others() -> None:
    first, again, other = (HandRenderer(RenderConfig(), seed).batch(4) for seed in (1, 1, 2))
    assert torch.equal(first.crop, again.crop)
    assert torch.equal(first.joints, again.joints)
    assert not torch.equal(first.joints, other.joints)


def test_batches_are_known_by_their_number() -> None:
    renderer = HandRenderer(RenderConfig(), 1)
    fifth = renderer.batch(3, 5)
    assert not torch.equal(renderer.batch(3, 6).crop, fifth.crop)
    assert torch.equal(renderer.batch(3, 5).crop, fifth.crop)


def test_joints_lie_behind_the_surface_they_project_to() -> None:
    batch = HandRenderer(CLEAN, 4).batch(16)
    z = batch.joints[..., 2] + batch.distance[:, None]
    uv = batch.joints[..., :2] * (batch.distance[:, None] / z)[..., None] / HALF_CUBE_MM
    pixel = ((uv + 1) * 64 - 0.5).round().long().clamp(0, 127)
    surface = batch.crop[torch.arange(16)[:, None], 0, pixel[..., 1], pixel[..., 0]] * HALF_CUBE_MM
    seen = surface < HALF_CUBE_MM
    assert seen.float().mean() > 0.85
    depth_below_skin = (batch.joints[..., 2] - surface)[seen]
    # Inside the flesh: not before the skin by more than a splat's coarseness, mostly within a finger's or palm's depth.
    assert (depth_below_skin > -8).float().mean() > 0.97
    assert depth_below_skin.median() < 20


def test_shapes_and_poses_stay_in_their_ranges() -> None:
    batch = HandRenderer(CLEAN, 5).batch(64)
    limits = torch.as_tensor(ARTICULATION_LIMITS, dtype=torch.float32)
    assert (batch.articulation >= limits[:, 0] - 1e-5).all()
    assert (batch.articulation <= limits[:, 1] + 1e-5).all()
    assert batch.beta.std() > 0.9
    assert batch.distance.min() >= 200 - 1e-3
    assert batch.distance.max() <= 1100 + 1e-2


def test_empty_and_left_crops_come_in_their_shares() -> None:
    batch = HandRenderer(replace(CLEAN, empty_fraction=0.5, left_fraction=0.5), 6).batch(200)
    assert 0.35 < batch.has_hand.float().mean() < 0.65
    assert 0.35 < batch.is_right.float().mean() < 0.65
    shown = (batch.crop < 1).flatten(1).float().mean(1)
    assert shown[batch.has_hand].min() > 0.02
    # Some crops without a hand show the arm, some nothing.
    assert 0.2 < (shown[~batch.has_hand] > 0.02).float().mean() < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_noise_stays_small_on_surfaces_and_makes_holes(seed: int) -> None:
    depth = torch.full((24, 128, 128), float("inf"))
    depth[:, 30:100, 40:90] = 500.0
    noise = SensorNoise(torch.Generator().manual_seed(seed))
    noisy = noise(depth, torch.full((24,), 500.0), 2.34)
    inner = noisy[:, 40:90, 50:80]
    seen = inner.isfinite()
    assert 0.7 < seen.float().mean() < 1.0
    assert (inner[seen] - 500).abs().median() < 3
    assert noisy[:, :20].isinf().float().mean() > 0.99


def test_a_turned_sensors_pixels_lie_askew() -> None:
    # Far away a sensor's pixel covers several of the crop's: along its rows a ramp then shows steps.
    ramp = 3000.0 + 0.05 * torch.arange(128.0).repeat(8, 128, 1)
    upright, askew = (
        SensorNoise(torch.Generator().manual_seed(1))._resample(ramp, torch.full((8,), 3000.0), 2.34, axis)
        for axis in (torch.tensor([[1.0, 0.0]]).repeat(8, 1), torch.full((8, 2), 0.5**0.5))
    )
    assert (upright[:, 1:] == upright[:, :-1]).all()
    assert 0.05 < (askew[:, 1:] != askew[:, :-1]).float().mean() < 0.9


def test_followed_hands_stand_upright_whatever_their_view() -> None:
    config = SamplingConfig(uniform_view_fraction=0.5, followed_fraction=1.0, followed_roll_spread=1e-3)
    hands = HandSampler(config, Skeleton(), torch.Generator().manual_seed(3)).draw(64)
    forearm = hands.rotation[:, :, 1]
    assert (forearm[:, 0].abs() < 5e-3).all() and (forearm[:, 1] > 0).all()
    assert hands.followed.all() and hands.camera_roll.abs().max() > 0.5


def test_hands_of_one_shape_differ_in_flesh_but_not_in_joints() -> None:
    alike, varied = (
        HandRenderer(replace(CLEAN, flesh_spread_mm=spread, points=30_000), 8).batch(12) for spread in (0.0, 1.0)
    )
    assert torch.equal(alike.joints, varied.joints)
    both = alike.depth.isfinite() & varied.depth.isfinite()
    moved = (alike.depth - varied.depth)[both].abs()
    assert 0.3 < moved.median() < 3.0
