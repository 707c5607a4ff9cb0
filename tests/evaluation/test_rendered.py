"""The rendered test sets read by a runner that knows, or does not know, how far off it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engine.evaluation import rendered
from engine.evaluation.rendered import evaluate_rendered, hidden_joints, read_rendered
from engine.evaluation.uncertainty import calibration_report
from engine.fitting.fitter import FitConfig
from engine.methods.gaussian.weights import load_weights
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.protocol import Estimate
from engine.training.config import ENCODER_CONFIG, TrainConfig, load_config
from engine.types import DepthFrame, FloatArray, Intrinsics, LumbricalError
from tools import calibrate_uncertainty

CAMERA = Intrinsics(200, 200, 200.0, 200.0, 99.5, 99.5)


def small_config() -> TrainConfig:
    return dataclasses.replace(load_config(ENCODER_CONFIG), test_images=32)


class Overconfident(OnnxRunner):
    """Takes its points for five times as good as they are."""

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        estimate = super().run(crops, distances)
        return dataclasses.replace(estimate, sigma=0.2 * estimate.sigma)


def test_shipped_constants_are_calibrated_and_overconfidence_shows() -> None:
    config = dataclasses.replace(small_config(), test_images=128)
    hands = read_rendered(OnnxRunner(load_weights()), rendered.test_configs(config)["held"])
    honest = calibration_report(hands.errors, hands.sigma_mm, hands.hidden)
    assert 0.83 < honest["within_90"]["all"] < 0.96
    assert 0.1 < honest["hidden_joints"] < 0.6
    hands = read_rendered(Overconfident(load_weights()), rendered.test_configs(small_config())["held"])
    assert calibration_report(hands.errors, hands.sigma_mm, hands.hidden)["within_90"]["all"] < 0.7


def test_both_test_sets_are_reported() -> None:
    report = evaluate_rendered(OnnxRunner(load_weights()), small_config())
    for row in report["test_sets"].values():
        assert row["frames"] == 32
        assert 0 <= row["uncertainty"]["within_90"]["seen"] <= 1
        observed = row["uncertainty"]["reliability"]["observed"]
        assert observed == sorted(observed) and observed[0] < 0.6 < observed[-1]


def test_hidden_is_what_something_stands_before() -> None:
    depth = np.full((200, 200), 450, np.uint16)
    depth[:, 100:] = 490
    depth[:100, 100:] = 0
    frame = DepthFrame(depth, 1.0, CAMERA, 0, 0.0, 0.0)
    joints = np.zeros((21, 3))
    joints[:, 2] = 500
    joints[:, 0] = -50  # behind what was measured 50 mm nearer
    joints[5, :2] = 50, 50  # 10 mm under its own skin
    joints[6, :2] = 50, -50  # where nothing was measured
    joints[7, 0] = 5000  # outside the image
    joints[8, 2] = 440  # before what was measured
    assert np.flatnonzero(~hidden_joints(frame, joints)).tolist() == [5, 6, 7, 8]


def test_the_tool_takes_hands_of_its_own_and_finds_the_shipped_constants(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(ENCODER_CONFIG)
    for seed in (config.seed, config.test_seed):
        with pytest.raises(LumbricalError, match="another"):
            calibrate_uncertainty.development_config(config, seed, 128)
    assert calibrate_uncertainty.main(["--hands", "100"]) == 2
    assert "multiple of 128" in capsys.readouterr().err
    monkeypatch.setattr(calibrate_uncertainty, "test_configs", lambda one: {"held": rendered.test_configs(one)["held"]})
    assert calibrate_uncertainty.main(["--hands", "128"]) == 0
    best = capsys.readouterr().out.split("best: ")[1].splitlines()
    scale, power = (float(part.split()[-1]) for part in best[0].split(","))
    assert scale * 5**power == pytest.approx(FitConfig.sigma_scale * 5**FitConfig.sigma_power, rel=0.25)
    assert "all 90.0 %" in best[1]
