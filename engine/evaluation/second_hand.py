"""Rendered people whose hands and camera training does not render: what methods are compared on.

The surface is the generic hand of the WebXR input profiles (another artist's mesh, with another skin weighting), and
the camera a stereo camera whose driver smooths by a 5 x 5 median, which rounds outlines and fills holes.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.hand.imports import load_hand
from engine.training.noise import STEREO, SensorNoise
from engine.training.renders import HandRenderer, HandShape, RenderConfig, RenderedBatch
from engine.training.sampling import SamplingConfig

SECOND_SURFACE = Path(__file__).parents[2] / "assets" / "hand" / "generic_hand.glb"
_STRENGTH = 0.8
_WINDOW = 5


class FilteredStereo:
    """A stereo camera's noise, then the median over 5 x 5 pixels of what was measured."""

    def __init__(self, generator: torch.Generator) -> None:
        self._noise = SensorNoise(generator)

    def __call__(self, depth: Tensor, distance: Tensor, pixel_mm: float, camera_roll: Tensor | None = None) -> Tensor:
        """See engine.training.noise.SensorNoise; the camera is never turned against its own picture."""
        noisy = self._noise.of_camera(depth, distance, pixel_mm, STEREO, _STRENGTH)
        return median(noisy)


def median(depth: Tensor) -> Tensor:
    """(B, H, W) mm: the median of each pixel's 5 x 5 surroundings that were measured, where most were; else inf."""
    around = pad(depth, (_WINDOW // 2,) * 4, value=math.inf).unfold(1, _WINDOW, 1).unfold(2, _WINDOW, 1).flatten(3)
    seen = around.isfinite().sum(-1)
    # Sorted, what was not measured comes last.
    middle = around.sort(-1).values.gather(-1, ((seen - 1).clamp(min=0) // 2).unsqueeze(-1)).squeeze(-1)
    return torch.where(seen > _WINDOW**2 // 2, middle, math.inf)


def person(seed: int) -> HandShape:
    """One rendered person, always the same for a seed."""
    return HandShape.draw(torch.Generator().manual_seed(seed))


def render_person(shape: HandShape, count: int, seed: int, part: int = 64) -> RenderedBatch:
    """`count` crops of one person's right hand, as people hold it to a camera, with full truth."""
    sampling = SamplingConfig(
        uniform_view_fraction=0.0, uniform_pose_fraction=0.0, followed_fraction=0.0, roll_spread=0.5, tilt_spread=0.5,
        distance_range_mm=(300.0, 800.0),
    )  # fmt: skip
    config = RenderConfig(sampling=sampling, empty_fraction=0.0, left_fraction=0.0)
    template = load_hand(SECOND_SURFACE)
    renderer = HandRenderer(config, seed, template=template, shape=shape, noise=FilteredStereo)
    parts = [renderer.batch(min(part, count - start), start) for start in range(0, count, part)]
    return RenderedBatch(
        *(torch.cat([getattr(batch, f.name) for batch in parts]) for f in dataclasses.fields(RenderedBatch))
    )
