"""Finds the constants of the joints' expected errors (FitConfig.sigma_scale, sigma_power), to be set after new weights:

    python tools/calibrate_uncertainty.py                2048 hands each with the views of the two test sets
    python tools/calibrate_uncertainty.py --hands 512    quicker, less exact

The hands are rendered as those of `evaluate --rendered` are, from a seed that neither training nor the test sets use;
what is found here is checked there.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.evaluation.rendered import ReadHands, read_rendered, test_configs  # noqa: E402
from engine.evaluation.uncertainty import calibrated, calibration_report  # noqa: E402
from engine.fitting.fitter import FitConfig  # noqa: E402
from engine.methods.gaussian.weights import load_weights  # noqa: E402
from engine.runners.onnx_runner import OnnxRunner  # noqa: E402
from engine.training.config import ENCODER_CONFIG, TrainConfig, load_config  # noqa: E402
from engine.types import LumbricalError  # noqa: E402

DEVELOPMENT_SEED = 20_261_121
#: Hands come in batches of this size (engine.training.trainer.test_set).
_BATCH = 128
#: With these constants the expected error is the spread that both are applied to.
_BARE = FitConfig(sigma_scale=1.0, sigma_power=1.0)


def development_config(config: TrainConfig, seed: int, hands: int) -> TrainConfig:
    """The configuration whose test set is the development set. LumbricalError where it would be another's set."""
    if seed in (config.seed, config.test_seed):
        raise LumbricalError(
            f"seed {seed} is training's or the test sets', whose hands must not be used here: take another"
        )
    if hands < _BATCH or hands % _BATCH:
        raise LumbricalError(f"--hands must be a multiple of {_BATCH}, not {hands}")
    return dataclasses.replace(config, test_seed=seed, test_images=hands)


def as_lines(name: str, fit: FitConfig, sets: dict[str, ReadHands]) -> list[str]:
    """What the intervals hold with these constants, a line a set."""
    lines = [f"{name}: sigma_scale {fit.sigma_scale:.3f}, sigma_power {fit.sigma_power:.2f}"]
    for set_name, hands in sets.items():
        report = calibration_report(hands.errors, fit.expected_errors(hands.sigma_mm), hands.hidden)
        shares = ", ".join(f"{group} {100 * share:.1f} %" for group, share in report["within_90"].items())
        lines.append(f"  {set_name:5} in 90 %: {shares}; radius {report['interval_90_median_mm']:.1f} mm, median")
    return lines


def _read(config: TrainConfig) -> dict[str, ReadHands]:
    from tqdm import tqdm

    runner = OnnxRunner(load_weights())
    configs = test_configs(config)
    with tqdm(total=config.test_images * len(configs), unit="hand", leave=False, disable=None) as bar:

        def count() -> None:
            bar.update(1)

        return {name: read_rendered(runner, one, _BARE, count) for name, one in configs.items()}


def main(arguments: list[str] | None = None) -> int:
    """Print the constants found beside those that are set: 0, or 2 after one line on what went wrong."""
    parser = argparse.ArgumentParser(description="Find the constants of the joints' expected errors on rendered hands.")
    parser.add_argument("--hands", type=int, default=2048, help="of each set (default: 2048)")
    parser.add_argument("--seed", type=int, default=DEVELOPMENT_SEED, help=f"(default: {DEVELOPMENT_SEED})")
    args = parser.parse_args(arguments)
    try:
        sets = _read(development_config(load_config(ENCODER_CONFIG), args.seed, args.hands))
    except LumbricalError as error:
        print(f"calibrate_uncertainty: {error}", file=sys.stderr)
        return 2
    errors = np.concatenate([hands.errors for hands in sets.values()])
    scale, power = calibrated(errors, np.concatenate([hands.sigma_mm for hands in sets.values()]))
    print("\n".join(as_lines("set now", FitConfig(), sets)))
    print("\n".join(as_lines("best", FitConfig(sigma_scale=scale, sigma_power=power), sets)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
