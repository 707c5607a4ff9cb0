"""Rendered crops in float64, the hand behind them, and that hand a little off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.decoder import DecodedHand, GaussianDecoder, crop_camera
from engine.training.renders import HandRenderer, RenderConfig


@dataclass(frozen=True)
class Scene:
    """Crops (B, 128, 128); wrist place, rotation, angles, beta and thickness of the hands in them, moved a little."""

    crop: Tensor
    distance: Tensor
    parameters: tuple[Tensor, ...]
    decoder: GaussianDecoder

    def hand(self, parameters: tuple[Tensor, ...] | None = None) -> DecodedHand:
        """The decoded hand, of these parameters or of the scene's own."""
        wrist, rotation, articulation, beta, thickness = parameters or self.parameters
        camera = crop_camera(self.distance)
        return self.decoder.decode(wrist, rotation, articulation, beta, thickness, camera)

    def variables(self) -> tuple[Tensor, ...]:
        """The parameters, ready to collect gradients."""
        return tuple(x.clone().requires_grad_() for x in self.parameters)


def make_scene() -> Scene:
    """Three hands, always the same."""
    batch = HandRenderer(RenderConfig(empty_fraction=0.0, left_fraction=0.0), 11).batch(3)
    generator = torch.Generator().manual_seed(5)

    def moved(values: Tensor, by: float) -> Tensor:
        return values.double() + by * torch.randn(values.shape, generator=generator, dtype=torch.float64)

    distance = batch.distance.double()
    wrist = moved(batch.joints[:, 0], 4.0)
    wrist[:, 2] += distance
    parameters = (
        wrist,
        batch.rotation.double(),
        moved(batch.articulation, 0.2),
        moved(batch.beta, 0.3),
        moved(batch.thickness, 0.5),
    )
    return Scene(batch.crop[:, 0].double(), distance, parameters, GaussianDecoder(Skeleton(torch.float64)))
