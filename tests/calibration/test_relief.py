"""A surface that differs from the template's is found, and none is made up where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.frames import Build
from calibration.relief import ReliefConfig, ReliefSolver
from calibration.solver import ShapeSolver
from calibration.tracking import personal_hand
from engine.fitting.fitter import HandFitter
from engine.hand.model import surface_pattern
from engine.hand.relief import MOST_RELIEF_MM, RELIEF_SIZE, raised, relief_weights
from engine.hand.template import load_template
from tests.calibration.shown import shown_frames

#: A camera without noise and a surface without clutter: pixels are off by little.
SURE = ReliefConfig(doubt=5.0)


def _learnt(truth: np.ndarray, config: ReliefConfig) -> np.ndarray:
    frames = shown_frames(ShapeSolver(raised(load_template(), truth)), Build.mean(), off=0.01)
    *_, build = ReliefSolver(config=config).solve(frames, Build.mean())
    return build.relief


def test_heights_move_what_is_near_them_and_nothing_else() -> None:
    weights = relief_weights()
    assert weights.shape == (len(load_template().vertices), RELIEF_SIZE)
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)), abs=1e-4)
    place = int(weights[:, 7].argmax())
    moved = np.linalg.norm(
        raised(load_template(), 4.0 * np.eye(RELIEF_SIZE)[7]).vertices - load_template().vertices, axis=1
    )
    assert moved[place] > 2.0 and moved[place] == moved.max()
    far = np.linalg.norm(load_template().vertices - load_template().vertices[place], axis=1) > 60
    assert moved[far].max() < 0.01


def test_points_are_spread_alike_with_and_without_a_relief() -> None:
    flat, high = load_template(), raised(load_template(), np.linspace(-3, 3, RELIEF_SIZE))
    chosen, shares = surface_pattern(flat, 500, 1)
    again, same = surface_pattern(high, 500, 1)
    assert (chosen == again).all() and (shares == same).all()


def test_a_surface_of_ones_own_is_found() -> None:
    truth = np.where(np.arange(RELIEF_SIZE) % 3 == 0, 3.0, -1.0)
    heights = relief_weights() @ _learnt(truth, SURE)
    true_heights = relief_weights() @ truth
    assert np.corrcoef(heights, true_heights)[0, 1] > 0.5
    assert np.abs(heights - true_heights).mean() < 0.75 * np.abs(true_heights).mean()


def test_where_the_encoder_thinks_of_longer_bones_a_known_hand_keeps_its_surface() -> None:
    truth = np.where(np.arange(RELIEF_SIZE) % 3 == 0, 3.0, -1.0)
    frames = [
        replace(frame, points=frame.points[:1] + 1.08 * (frame.points - frame.points[:1]))
        for frame in shown_frames(ShapeSolver(raised(load_template(), truth)), Build.mean(), off=0.01)
    ]
    found = [ReliefSolver(config=replace(SURE, known=known)).solved(frames, Build.mean()) for known in (True, False)]
    errors = [np.abs(relief_weights() @ (build.relief - truth)).mean() for build in found]
    assert errors[0] < 0.95 * errors[1]


def test_where_there_is_none_next_to_none_is_found() -> None:
    assert np.abs(_learnt(np.zeros(RELIEF_SIZE), SURE)).mean() < 0.4


def test_no_height_is_beyond_its_bound() -> None:
    found = _learnt(np.full(RELIEF_SIZE, 12.0), ReliefConfig(prior_mm=100.0, rounds=2))
    assert np.abs(found).max() <= MOST_RELIEF_MM


def test_a_build_with_a_relief_is_drawn_and_tracked_with_it() -> None:
    build = Build.mean()
    model, _ = personal_hand(replace(build, relief=np.full(RELIEF_SIZE, 2.0)))
    apart = np.linalg.norm(model.template.vertices - personal_hand(build)[0].template.vertices, axis=1)
    assert apart == pytest.approx(np.full(len(apart), 2.0), abs=0.01)


def test_a_known_shape_is_held_with_more_steps() -> None:
    config = HandFitter(load_template()).knowing_shape().config
    assert config.steps == config.known_steps > HandFitter(load_template()).config.steps
    assert config.prior.beta < 1e-3 and config.point_doubt == config.known_doubt
