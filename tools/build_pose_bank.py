"""Build assets/hand/pose_bank.npz from recorded motion: python -m tools.build_pose_bank LEAP POSES MODEL.

LEAP is leap.npz, POSES and MODEL are Intel's intel-animbank.pose and intel-model_hand.json; see assets/hand/README.md.
The same files give the same bank up to rounding.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.training.poses import ANGLE_WEIGHTS, POSE_BANK
from engine.types import LumbricalError
from tools.motion_fitting import FittedClip, fit_clip
from tools.motion_sources import Clip, read_intel, read_leap

_LEAP_HZ = 25.0
#: A frame whose joints were missed by more than this at the median, mm, is not kept.
_WORST_MM = 8.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("leap", type=Path)
    parser.add_argument("poses", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="poses to keep (default 2000)")
    parser.add_argument("--steps", type=int, default=400, help="steps of the fit (default 400)")
    parser.add_argument("--out", type=Path, default=POSE_BANK)
    options = parser.parse_args(arguments)
    try:
        clips = [read_intel(options.poses, options.model), *map(_thinned, read_leap(options.leap))]
    except LumbricalError as error:
        print(error, file=sys.stderr)
        return 2
    poses, sources = [], []
    for number, clip in enumerate(clips):
        fitted = fit_clip(clip, options.steps)
        good = np.nanmedian(fitted.residual_mm, axis=1) < _WORST_MM
        poses.append(fitted.articulation[good])
        sources.append(np.full(good.sum(), number, np.uint8))
        print(_line(clip, fitted, good), flush=True)
    every, source = np.concatenate(poses), np.concatenate(sources)
    kept, radius = farthest_points(every * ANGLE_WEIGHTS, options.count)
    kept.sort()
    names = np.array([clip.name for clip in clips])
    np.savez_compressed(
        options.out, articulation=every[kept].astype(np.float16), source=source[kept], source_names=names
    )
    print(f"{options.out}: {len(kept)} of {len(every)} poses; none lies further than {radius:.3f} rad from a kept one")
    return 0


def farthest_points(points: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], float]:
    """Indices of `count` points of (N, D), each the farthest from those before, and how far the farthest left is."""
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(0), axis=1)))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)) and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen), float(distance.max())


def _thinned(clip: Clip) -> Clip:
    """At most _LEAP_HZ frames a second: neighbours of a fast recording are the same pose."""
    step = max(1, round((len(clip.time_s) - 1) / max(clip.time_s[-1], 1e-6) / _LEAP_HZ))
    return Clip(clip.name, clip.joints[::step], clip.time_s[::step])


def _line(clip: Clip, fitted: FittedClip, good: NDArray[np.bool_]) -> str:
    mean, high = np.nanmean(fitted.residual_mm), np.nanpercentile(fitted.residual_mm, 95)
    return f"{clip.name}: {good.sum()} of {len(good)} frames, joints missed by {mean:.1f} mm (95 %: {high:.1f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
