"""People in rendered scenes: torso, head, arms and thighs of quadrics, hung on the hand that is looked for.

The person's frame: origin at the shoulder of the tracked (right) arm, x to the other shoulder, y down, z to the back.
Someone who faces the camera upright has it parallel to the camera's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from engine.geometry.rotations import rotation_about_axis
from engine.rendering.quadrics import Quadrics, limb_between

_Triple = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Person:
    """parts: the body; hair: one ellipsoid a scene, apart because cameras often see no hair; other_wrist (B, 3) mm and
    other_forearm (B, 3), the unit vector from elbow to wrist of the second arm."""

    parts: Quadrics
    hair: Quadrics
    other_wrist: Tensor
    other_forearm: Tensor


class PeopleSampler:
    """Draws people for given wrists, on the generator's device. All lengths in mm."""

    upper_arm_chance_alone = 0.4
    sleeve_chance = 0.4
    thighs_chance = 0.3

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def _uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=self._generator, device=self._generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)

    def _towards(self, mean: tuple[float, float, float], spread: float, count: int) -> Tensor:
        return normalize(torch.tensor(mean, device=self._generator.device) + spread * self._normal(count, 3), dim=-1)

    def draw(self, wrist: Tensor, forearm: Tensor, has_arm: Tensor, has_body: Tensor) -> Person:
        """People whose right wrist (B, 3) and unit vector from elbow to wrist (B, 3) are given.

        has_arm (B,) bool: show that forearm; has_body (B,) bool: show the rest of the person.
        """
        count = len(wrist)
        size = self._uniform(count, 0.85, 1.12)
        elbow = wrist - forearm * (size * self._uniform(count, 225, 275)).unsqueeze(1)
        upright = self._uniform(count) < 0.75
        usual, anyhow = self._towards((0.35, -0.75, 0.65), 0.4, count), self._towards((0.2, -0.3, 0.6), 0.9, count)
        raised = torch.where(upright.unsqueeze(1), usual, anyhow)
        shoulder = elbow + raised * (size * self._uniform(count, 260, 310)).unsqueeze(1)
        turn = self._stance(count)
        parts = _Parts(shoulder, turn, size)
        body = has_body
        self._torso(parts, body)
        hair = self._head(parts, body)
        upper = body | (has_arm & (self._uniform(count) < self.upper_arm_chance_alone))
        self._arm(parts, shoulder, elbow, wrist, has_arm, upper & has_arm)
        other = self._other_arm(parts, body)
        self._thighs(parts, body & (self._uniform(count) < self.thighs_chance))
        return Person(parts.stack(), hair.stack(), *other)

    def _stance(self, count: int) -> Tensor:
        """Rotations (B, 3, 3) from people to camera: mostly facing it, cameras and people a little tilted."""
        yaw = torch.where(self._uniform(count) < 0.85, 0.4 * self._normal(count), 1.2 * self._normal(count))
        tilt = rotation_about_axis(2, 0.12 * self._normal(count)) @ rotation_about_axis(0, 0.25 * self._normal(count))
        return tilt @ rotation_about_axis(1, yaw)

    def _torso(self, parts: _Parts, shown: Tensor) -> None:
        count = len(shown)
        parts.wide = wide = self._uniform(count, 150, 195)
        deep = self._uniform(count, 95, 140)
        waist = self._uniform(count, 0.75, 1.05)
        zero = torch.zeros(count, device=wide.device)
        parts.add(shown, (wide, zero + 160, zero), (wide * 1.0 + 8, self._uniform(count, 210, 270), deep))
        parts.add(shown, (wide, zero + 340, zero), (0.93 * wide * waist, zero + 270, 0.95 * deep), limb=True)
        belly = deep * self._uniform(count, 0.9, 1.35)
        parts.add(shown, (wide, zero + 440, zero - 8), (0.95 * wide * waist, zero + 220, belly))
        parts.add(shown, (wide, self._uniform(count, 0, 25), zero + 5), (wide + 40, zero + 68, 0.62 * deep))
        for side in (zero, 2 * wide):
            parts.add(shown, (0.85 * side + 0.15 * wide, zero + 22, zero), (zero + 52, zero + 62, zero + 55))

    def _head(self, parts: _Parts, shown: Tensor) -> _Parts:
        count, wide = len(shown), parts.wide
        zero = torch.zeros(count, device=wide.device)
        high = -self._uniform(count, 195, 250)
        lean, side = self._uniform(count, -60, 10), 25 * self._normal(count)
        neck = self._uniform(count, 50, 64)
        parts.add(shown, (wide + 0.4 * side, 0.4 * high, 0.4 * lean), (neck, zero + 95, neck), limb=True)
        head = (self._uniform(count, 70, 82), self._uniform(count, 108, 126), self._uniform(count, 90, 104))
        parts.add(shown, (wide + side, high, lean), head)
        hair = _Parts(parts.origin, parts.turn, parts.size)
        back = self._uniform(count, 5, 35)
        hair_half = (head[0] + self._uniform(count, 3, 25), head[1] * self._uniform(count, 0.8, 1.3), head[2] * 1.02)
        hair.add(shown, (wide + side, high - self._uniform(count, 5, 40), lean + back), hair_half)
        return hair

    def _arm(self, parts: _Parts, shoulder: Tensor, elbow: Tensor, wrist: Tensor, lower: Tensor, upper: Tensor) -> None:
        """One arm between three points: upper arm, elbow, forearm and, on some, a sleeve."""
        count = len(wrist)
        thin, grow = self._uniform(count, 23, 30), self._uniform(count, 8, 20)
        thick, upper_radius = thin + grow, self._uniform(count, 38, 58)
        parts.add_limb(upper, shoulder, elbow, upper_radius, thick + 3)
        ball = torch.stack((thick, thick, thick), -1)
        parts.add_ball(lower, elbow, ball)
        parts.add_limb(lower, elbow, wrist, thick, thin, flat=0.8)
        sleeve = lower & (self._uniform(count) < self.sleeve_chance)
        cuff = elbow + (wrist - elbow) * self._uniform(count, 0.2, 1.0).unsqueeze(1)
        loose = self._uniform(count, 4, 20)
        parts.add_limb(sleeve, elbow, cuff, thick + 0.8 * loose, thin + loose)

    def _other_arm(self, parts: _Parts, shown: Tensor) -> tuple[Tensor, Tensor]:
        """The second arm: hanging, resting before the body, or raised. Its wrist and forearm's direction."""
        count = len(shown)
        shoulder = parts.place((2 * parts.wide, torch.full_like(parts.wide, 20.0), torch.zeros_like(parts.wide)))
        kind = self._uniform(count).unsqueeze(1)
        hang, rest, lift = (
            (self._towards(upper, 0.25, count), self._towards(lower, spread, count))
            for upper, lower, spread in (
                ((0.15, 1.0, 0.0), (0.1, 1.0, -0.15), 0.2),
                ((0.2, 1.0, -0.1), (-0.7, 0.15, -0.6), 0.4),
                ((0.3, 0.8, -0.4), (-0.2, -0.7, -0.5), 0.5),
            )
        )
        upper, lower = (
            torch.where(kind < 0.5, a, torch.where(kind < 0.8, b, c)) for a, b, c in zip(hang, rest, lift, strict=True)
        )
        upper, lower = ((parts.turn @ way.unsqueeze(-1)).squeeze(-1) for way in (upper, lower))
        elbow = shoulder + upper * (285 * parts.size).unsqueeze(1)
        wrist = elbow + lower * (245 * parts.size).unsqueeze(1)
        self._arm(parts, shoulder, elbow, wrist, shown, shown)
        return wrist, lower

    def _thighs(self, parts: _Parts, shown: Tensor) -> None:
        count = len(shown)
        zero = torch.zeros(count, device=parts.wide.device)
        sits = self._uniform(count) < 0.7
        for side in (-90.0, 90.0):
            hip = parts.place((parts.wide + side, zero + 610, zero))
            knee = (parts.wide + 1.6 * side, zero + torch.where(sits, 640, 1010), zero - torch.where(sits, 400.0, 40.0))
            parts.add_limb(shown, hip, parts.place(knee), zero + 88, zero + 58)


class _Parts:
    """Collects quadrics of one person per scene."""

    wide: Tensor

    def __init__(self, origin: Tensor, turn: Tensor, size: Tensor) -> None:
        self.origin, self.turn, self.size = origin, turn, size
        self._rows: list[tuple[Tensor, Tensor, Tensor, Tensor, bool, Tensor]] = []

    def place(self, point: _Triple) -> Tensor:
        """A point of the person's frame, in the camera's: (B, 3)."""
        local = torch.stack(point, -1) * self.size.unsqueeze(1)
        return self.origin + (self.turn @ local.unsqueeze(-1)).squeeze(-1)

    def add(self, shown: Tensor, centre: _Triple, half: _Triple, limb: bool = False) -> None:
        """A part that is upright in the person's frame."""
        sides = torch.stack(half, -1) * self.size.unsqueeze(1)
        self._rows.append((self.place(centre), self.turn, sides, torch.zeros_like(self.size), limb, shown))

    def add_ball(self, shown: Tensor, centre: Tensor, half: Tensor) -> None:
        """An ellipsoid in the camera's frame."""
        self._rows.append((centre, self.turn, half, torch.zeros_like(self.size), False, shown))

    def add_limb(
        self, shown: Tensor, start: Tensor, end: Tensor, start_radius: Tensor, end_radius: Tensor, flat: float = 1.0
    ) -> None:
        """A limb between two points of the camera's frame; flat: its second radius over its first."""
        centre, rotation, half_length = limb_between(start, end)
        middle = (start_radius + end_radius) / 2
        taper = (end_radius - start_radius) / (2 * middle)
        half = torch.stack((middle, half_length.clamp(min=1.0), flat * middle), -1)
        self._rows.append((centre, rotation, half, taper, True, shown))

    def stack(self) -> Quadrics:
        """All parts so far."""
        centre, rotation, half, taper, limb, shown = zip(*self._rows, strict=True)
        kind = torch.tensor(limb, device=self.size.device)
        stacked = [torch.stack(column, 1) for column in (centre, rotation, half, taper)]
        return Quadrics(stacked[0], stacked[1], stacked[2], stacked[3], kind, torch.stack(shown, 1))
