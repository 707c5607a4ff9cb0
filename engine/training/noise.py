"""Depth noise of real cameras, batched on images (B, H, W) in mm where infinity means nothing was seen.

Three families, after what is published of them: structured light (PrimeSense, SR300: strong edge drop-out, shadow on
one side), stereo (D400: more noise in patches, quantisation that grows with the square of the distance; Keselman et al.
2017) and time of flight (Kinect v2, Azure: flying pixels behind the near side of an edge; Sarbolandi et al. 2015). All
three have noise that grows with the square of the hand's distance, frayed outlines, drop-out at grazing angles, patchy
holes and pixels larger than the crop's. The amounts are modelled, not measured on cameras. Looking each pixel up a
little beside its place is Handa et al. 2014's trick.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

_FAR_MM = 4000.0
#: The families, in the order in which they are numbered below.
STRUCTURED_LIGHT, STEREO, TIME_OF_FLIGHT = range(3)


class SensorNoise:
    """Gives each image of a batch the noise of a camera drawn at random."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def __call__(self, depth: Tensor, distance: Tensor, pixel_mm: float, camera_roll: Tensor | None = None) -> Tensor:
        """Noisy depth, same shape and convention. distance: (B,) mm of the hand; pixel_mm: a pixel's size there.
        camera_roll: (B,) radians that the images are turned against the sensor, whose pixels then lie askew in them.
        """
        count = len(depth)
        along = torch.zeros(count, device=depth.device) if camera_roll is None else -camera_roll
        axis = torch.stack((along.cos(), along.sin()), 1)
        kind = torch.randint(0, 3, (count,), generator=self._generator, device=depth.device)
        strength = 1.4 * self._uniform(count) ** 3 + 0.05
        seen = self._frayed(depth, strength)
        seen = self._resample(seen, distance, pixel_mm, axis)
        return self._measured(seen, distance, pixel_mm, axis, kind, strength)

    def of_camera(self, depth: Tensor, distance: Tensor, pixel_mm: float, family: int, strength: float) -> Tensor:
        """What one known camera measures, anew at each call: its family (STRUCTURED_LIGHT, STEREO or TIME_OF_FLIGHT)
        and strength (training's are 0.05 to 1.45, mean 0.4) stay, and the images' pixels are its own."""
        count = len(depth)
        kind = torch.full((count,), family, device=depth.device)
        amount = torch.full((count,), strength, device=depth.device)
        axis = torch.tensor([1.0, 0.0], device=depth.device).expand(count, 2)
        return self._measured(self._frayed(depth, amount), distance, pixel_mm, axis, kind, amount)

    def _frayed(self, depth: Tensor, strength: Tensor) -> Tensor:
        """Finite depth with frayed outlines."""
        return self._look_beside(torch.where(depth.isinf(), _FAR_MM, depth), 0.2 + 0.5 * strength)

    def _measured(
        self, seen: Tensor, distance: Tensor, pixel_mm: float, axis: Tensor, kind: Tensor, strength: Tensor
    ) -> Tensor:
        jump, grazing = edges(seen, pixel_mm)
        seen = self._flying(seen, jump, kind == 2, strength)
        seen = self._jitter(seen, distance, kind, strength)
        gone = self._holes(seen, jump, grazing, kind, strength, axis)
        return torch.where(gone | (seen > _FAR_MM - 500), float("inf"), seen)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, device=self._generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)

    def _smooth_field(self, count: int, height: int, width: int, cells: int) -> Tensor:
        """Unit noise that varies over 1 / cells of a crop's 128 pixels: (B, H, W)."""
        coarse = self._normal(count, 1, max(1, cells * height // 128), max(1, cells * width // 128))
        return interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[:, 0]

    def _look_beside(self, depth: Tensor, amount_px: Tensor) -> Tensor:
        """Each pixel looked up about amount_px (B,) beside its place, so that outlines fray."""
        count, height, width = depth.shape
        coarse = self._normal(count, 2, height // 2, width // 2)
        shift = interpolate(coarse, (height, width), mode="bilinear") * amount_px.reshape(-1, 1, 1, 1)
        return _gather(depth, shift[:, 0], shift[:, 1])

    def _resample(self, depth: Tensor, distance: Tensor, pixel_mm: float, axis: Tensor) -> Tensor:
        """Repeat pixels as a camera does whose own pixels are larger than the crop's; axis: (B, 2) of its rows."""
        count = len(depth)
        focal = 230 + 420 * self._uniform(count)
        step = (distance / focal / pixel_mm).clamp(1.0, 3.5).reshape(-1, 1, 1)
        phase = self._uniform(2, count).reshape(2, -1, 1, 1)
        v, u = _pixels(depth)
        cosine, sine = axis.reshape(-1, 2, 1, 1).unbind(1)
        # How far each pixel is from the middle of the sensor's pixel that it lies in, in the sensor's axes, then back.
        du, dv = (
            (place.floor() + 0.5 - place) * step
            for place in ((cosine * u + sine * v) / step + phase[0], (cosine * v - sine * u) / step + phase[1])
        )
        return _gather(depth, cosine * du - sine * dv, sine * du + cosine * dv)

    def _flying(self, depth: Tensor, jump: Tensor, chosen: Tensor, strength: Tensor) -> Tensor:
        """Pixels on an edge land behind its near side, up to 174 mm, wherever the far side is (time of flight)."""
        near = _around(depth, torch.minimum)
        way = self._uniform(*depth.shape) ** 2
        mixed = near + way * 120.0 * strength.reshape(-1, 1, 1)
        hit = jump & chosen.reshape(-1, 1, 1) & (self._uniform(*depth.shape) < 0.35)
        return torch.where(hit, mixed, depth)

    def _jitter(self, depth: Tensor, distance: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
        """Noise in depth: white, correlated, and the sensor's quantisation."""
        count, height, width = depth.shape
        metres = (distance / 1000).reshape(-1, 1, 1)
        amount = strength.reshape(-1, 1, 1)
        white = (
            torch.where(kind == 1, 1.2, 1.0).reshape(-1, 1, 1) * (0.4 + 3.0 * metres.square()).clamp(max=4.0) * amount
        )
        patchy = (
            torch.where(kind == 1, 3.0, 1.2).reshape(-1, 1, 1) * (0.3 + 2.0 * metres.square()).clamp(max=3.0) * amount
        )
        noisy = depth + white * self._normal(count, height, width)
        noisy = noisy + patchy * self._smooth_field(count, height, width, 24)
        noisy = noisy + 1.5 * amount * self._smooth_field(count, height, width, 4)
        step = torch.where(kind == 1, 0.5 + 6.0 * metres.flatten().square(), 0.25 + 1.5 * self._uniform(count))
        step = step.clamp(0.125, 6.0).reshape(-1, 1, 1)
        return (noisy / step).round() * step

    def _holes(
        self, depth: Tensor, jump: Tensor, grazing: Tensor, kind: Tensor, strength: Tensor, axis: Tensor
    ) -> Tensor:
        """Pixels without a measurement: on edges, at grazing angles, in the projector's shadow, in patches."""
        amount = (strength / 1.4).reshape(-1, 1, 1)
        edge_loss = torch.where(kind == 0, 0.8, 0.45).reshape(-1, 1, 1) * amount
        gone = jump & (self._uniform(*depth.shape) < edge_loss)
        gone |= (grazing > 1.7) & (self._uniform(*depth.shape) < 0.5 * amount)
        across = -2.0 * axis.reshape(-1, 2, 1, 1)
        shadow = (depth - _gather(depth, across[:, 0], across[:, 1])) > 12.0
        gone |= shadow & (kind == 0).reshape(-1, 1, 1) & (amount > 0.5)
        patch = self._smooth_field(len(depth), depth.shape[1], depth.shape[2], 20)
        limit = (3.6 - 1.3 * self._uniform(len(depth))).reshape(-1, 1, 1)
        gone |= patch > limit
        return gone | (self._uniform(*depth.shape) < 0.01 * amount)


def edges(depth: Tensor, pixel_mm: float) -> tuple[Tensor, Tensor]:
    """Where depth jumps (B, H, W) bool, and the slope of the surface elsewhere (mm of depth per mm across)."""
    spread = _around(depth, torch.maximum) - _around(depth, torch.minimum)
    return spread > 18.0, spread / (2 * pixel_mm)


def _around(depth: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The extreme of each pixel's 3 x 3 neighbours; on one channel several times faster than max_pool2d."""
    tall = pad(depth.unsqueeze(1), (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = choose(choose(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:])
    return choose(choose(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _pixels(depth: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column numbers (H, W)."""
    rows, columns = (torch.arange(size, device=depth.device) for size in depth.shape[1:])
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    return v, u


def _gather(depth: Tensor, du: Tensor, dv: Tensor) -> Tensor:
    """depth looked up at (u + du, v + dv), nearest pixel."""
    _, height, width = depth.shape
    v, u = _pixels(depth)
    column = (u + du).round().clamp(0, width - 1).long()
    row = (v + dv).round().clamp(0, height - 1).long()
    return depth.flatten(1).gather(1, (row * width + column).flatten(1)).reshape(depth.shape)
