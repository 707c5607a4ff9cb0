"""The bench of smoothing on a tiny setting, and that what it measures is what the tracker does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app import cli
from app.benches import smoothing as smoothing_bench
from engine.evaluation import moving_hand
from engine.evaluation.moving_hand import Scene, frames, moving_scenes, still_scenes, true_joints
from engine.evaluation.smoothing import (
    UNSMOOTHED,
    Recordings,
    Sighting,
    Tracked,
    jitter_rows,
    joint_deviations,
    lag_rows,
    lag_s,
    smoothed,
    track,
)
from engine.filter import SmoothingConfig
from engine.hand.hand import HandModel
from engine.tracker import Tracker, TrackerConfig
from engine.types import HandParameters, LumbricalError, Side


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def perfect(scene: Scene, seconds: float, late_s: float = 0.0, noise: float = 0.0) -> Tracked:
    """A recording that was tracked without error but late, and noisily."""
    beta, thickness = scene.shape()
    times = np.arange(round(seconds * 60)) / 60
    thetas = scene.theta(times - late_s)
    thetas += noise * np.random.default_rng(0).normal(0, 1, thetas.shape) * ([1.0] * 3 + [0.01] * 23)
    parameters = [HandParameters(theta.astype(np.float32), beta, thickness, 1.0) for theta in thetas]
    return Tracked(scene, [Sighting(float(t), p, 1.0) for t, p in zip(times, parameters, strict=True)])


@pytest.mark.parametrize("late_s", [0.0, 0.0123, 0.06])
def test_a_known_lag_is_found_between_frames(model: HandModel, late_s: float) -> None:
    scene = moving_scenes()[0]
    times, joints = smoothed(perfect(scene, 2.0, late_s), SmoothingConfig(0.0), model)
    # A constant offset, as between two people's ideas of a joint, is no lag.
    assert lag_s(times, joints + 7.0, lambda at: true_joints(scene, model, at)) == pytest.approx(late_s, abs=3e-4)


def test_what_follows_nothing_has_no_lag(model: HandModel) -> None:
    scene = moving_scenes()[0]
    times, joints = smoothed(perfect(scene, 2.0, 0.4), SmoothingConfig(0.0), model)
    with pytest.raises(LumbricalError, match="not the true one"):
        lag_s(times, joints, lambda at: true_joints(scene, model, at))


def test_deviation_is_in_space() -> None:
    joints = np.zeros((4000, 21, 3))
    joints[:, 5] = np.random.default_rng(0).normal(0, 2.0, (4000, 3))
    assert joint_deviations(joints)[5] == pytest.approx(2 * np.sqrt(3), rel=0.05)
    assert joint_deviations(joints).sum() == joint_deviations(joints)[5]


def test_smoothing_trades_jitter_for_lag(model: HandModel) -> None:
    """The goals hold for noise as strong as the shipped encoder's: 1 mm and 0.01 rad in each component."""
    moving = [perfect(scene, 2.0, noise=1.0) for scene in moving_scenes()]
    recordings = Recordings([perfect(still_scenes()[0], 5.0, noise=1.0)], moving, "none")
    default, calm = SmoothingConfig(), SmoothingConfig(0.9)
    (off,), (by_default,), (calmer,) = (
        jitter_rows(recordings, c, model) for c in (SmoothingConfig(0.0), default, calm)
    )
    assert off["mean_mm"] > 1.5 > 1.0 > by_default["worst_joint_mm"]
    assert calmer["mean_mm"] < 0.7 * by_default["mean_mm"]
    lags, longer = ([row["lag_ms"] for row in lag_rows(recordings, c, model)] for c in (default, calm))
    assert max(lags) < smoothing_bench.LAG_GOAL_MS
    assert all(b > a for a, b in zip(lags, longer, strict=True))


def test_too_few_frames_are_told(model: HandModel) -> None:
    whole = perfect(still_scenes()[0], 1.0)
    with pytest.raises(LumbricalError, match="only 20 of 60"):
        smoothed(Tracked(whole.scene, whole.sightings[:20] + [None] * 40), SmoothingConfig(), model)


def test_noise_is_drawn_anew_for_each_frame_and_alike_in_each_run(model: HandModel) -> None:
    scene = still_scenes()[2]
    first, second, third = frames(scene, model, 0.05)
    assert np.array_equal(first.depth, next(iter(frames(scene, model, 0.05))).depth)
    both = (first.depth > 0) & (second.depth > 0)
    assert (first.depth != second.depth)[both].mean() > 0.3
    clean = next(iter(frames(scene, model, 0.02, strength=0.0))).depth_mm()
    apart = np.abs(third.depth_mm() - clean)[(third.depth > 0) & (clean > 0)]
    assert 0.1 < np.median(apart) < 3.0


def test_the_filter_over_unsmoothed_results_gives_what_the_tracker_gives(model: HandModel) -> None:
    """Nothing that is smoothed goes back into where the tracker looks: else the bench would measure something else."""
    scene, config = moving_scenes()[0], SmoothingConfig()
    times, joints = smoothed(track(scene, Tracker(UNSMOOTHED, model=model), 0.4), config, model)
    tracker = Tracker(TrackerConfig(side=Side.RIGHT, smoothing=config), model=model)
    direct = [result.geometry for result in map(tracker.track, frames(scene, model, 0.4))]
    assert len(times) == len(direct) == 24
    for geometry, replayed in zip(direct, joints, strict=True):
        assert geometry is not None
        assert np.allclose(geometry.joints, replayed, atol=1e-3)


def test_bench_smoothing_prints_figures_and_draws_the_curve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(moving_hand, "still_scenes", lambda: still_scenes()[:1])
    monkeypatch.setattr(moving_hand, "moving_scenes", lambda: moving_scenes()[:1])
    monkeypatch.setattr(smoothing_bench, "MOVING_S", 1.2)
    plot = tmp_path / "curve.png"
    assert cli.main(["bench", "smoothing", "--json", "--seconds=1", f"--plot={plot}"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert plot.read_bytes().startswith(b"\x89PNG")
    still, moving = report["still"][0], report["moving"][0]
    assert still["frames_tracked"] == 60 and moving["frames"] == 72
    assert still["smoothed"]["mean_mm"] < min(1.0, 0.6 * still["as_read"]["mean_mm"])
    assert abs(moving["as_read"]["lag_ms"]) < 8 and moving["smoothed"]["lag_ms"] < 25
    assert [row["amount"] for row in report["amounts"]] == [k / 10 for k in range(11)]
    table = smoothing_bench.as_table(report)
    assert "0.5 (default)" in table and "60/60" in table


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--seconds=0", "--seconds"),
        ("--seconds=nan", "--seconds"),
        ("--plot=a.jpg", ".png"),
        ("--plot=/no/a.png", "/no"),
    ],
)
def test_bad_options_are_told_at_once(option: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "smoothing", option]) == 2
    assert told in capsys.readouterr().err
