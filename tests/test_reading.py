"""How often a hand that was just found is read again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np

from engine.localise.crop import CropWindow, look_at
from engine.reading import Reading, settled


@dataclass
class _Eye:
    """Says of each window where the next one lies, as far to the side and turned as told."""

    shifts_mm: list[float]
    roll: float = 0.0
    read: list[CropWindow] = field(default_factory=list)

    def look(self, window: CropWindow) -> Reading:
        self.read.append(window)
        return cast(Reading, _Said(window, self))


@dataclass
class _Said:
    window: CropWindow
    eye: _Eye

    def next_window(self) -> CropWindow:
        shift = self.eye.shifts_mm[min(len(self.eye.read), len(self.eye.shifts_mm)) - 1]
        centre = self.window.distance * self.window.rotation[2] + np.array([shift, 0.0, 0.0])
        return look_at(centre, roll=self.eye.roll)


def _readings(eye: _Eye) -> int:
    first = eye.look(look_at(np.array([0.0, 0.0, 500.0])))
    assert settled(first, eye.look).window is eye.read[-1]
    return len(eye.read)


def test_a_hand_that_is_where_it_was_looked_for_is_read_once() -> None:
    assert _readings(_Eye([8.0])) == 1


def test_a_hand_that_lies_elsewhere_or_is_turned_is_read_again() -> None:
    assert _readings(_Eye([30.0, 5.0])) == 2
    assert _readings(_Eye([0.0], roll=0.6)) == 2


def test_a_window_that_never_rests_ends_all_the_same() -> None:
    assert _readings(_Eye([40.0])) == 3


def test_windows_are_near_by_place_and_turn() -> None:
    here = look_at(np.array([20.0, 0.0, 500.0]), roll=3.1)
    assert here.is_near(look_at(np.array([20.0, 5.0, 500.0]), roll=-3.1), 6.0, 0.1)
    assert not here.is_near(look_at(np.array([20.0, 7.0, 500.0]), roll=3.1), 6.0, 0.1)
    assert not here.is_near(look_at(np.array([20.0, 0.0, 500.0]), roll=2.9), 6.0, 0.1)
