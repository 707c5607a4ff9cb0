"""A real user's eight poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.recorded import RecordedUser, measure_recorded
from engine.tracker import Tracker


@pytest.fixture(scope="module")
def user(shared_data: Path) -> RecordedUser:
    return measure_recorded(shared_data / "real" / "calibration-poses", Tracker())


def test_the_residual_falls(user: RecordedUser) -> None:
    assert len(user.before_mm) == 8 and user.other_half_mm is not None
    assert np.mean(user.after_mm) <= 0.7 * np.mean(user.before_mm)
    assert np.mean(user.other_half_mm) <= 0.8 * np.mean(user.before_mm)


def test_halves_agree(user: RecordedUser) -> None:
    assert user.halves_apart_mm is not None and user.halves_apart_mm <= 4.0


def test_stated_bones_are_measured_by_their_convention(shared_data: Path) -> None:
    user = measure_recorded(shared_data / "real" / "msra14-frame", Tracker())
    assert user.stated_mm is not None and user.solved_mm is not None and user.halves_apart_mm is None
    assert np.abs(user.solved_mm - user.stated_mm).mean() < 4.0
