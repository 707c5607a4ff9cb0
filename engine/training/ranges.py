"""Ranges of the numbers in training configurations: what lies outside would train on nonsense without a word."""

from __future__ import annotations

import math

#: Above any length in mm or angle in radians that hands could differ by.
WIDEST_SPREAD = 100.0


def check_range(settings: object, low: float, high: float, *names: str) -> None:
    """Raise ValueError naming the first of these fields that is no number from low to high (which may be infinite, the
    number not)."""
    for name in names:
        value = getattr(settings, name)
        if not low <= value <= high or math.isinf(value):
            most = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
            raise ValueError(f"{name} must be {most}, not {value}")


def check_fractions(settings: object) -> None:
    """Raise ValueError unless all fields named *_fraction are from 0 to 1."""
    check_range(settings, 0, 1, *(name for name in vars(settings) if name.endswith("_fraction")))


def check_spreads(settings: object) -> None:
    """Raise ValueError unless all fields named *_spread, *_jitter or *_jitter_mm are from 0 to WIDEST_SPREAD."""
    endings = ("_spread", "_spread_mm", "_jitter", "_jitter_mm")
    check_range(settings, 0, WIDEST_SPREAD, *(name for name in vars(settings) if name.endswith(endings)))


def check_rising(settings: object, name: str, low: float, high: float) -> None:
    """Raise ValueError unless the field holds two rising numbers from low to high."""
    first, last = getattr(settings, name)
    if not low <= first <= last <= high:
        raise ValueError(f"{name} must be two rising numbers from {low:g} to {high:g}, not {first}, {last}")
