"""What a motion takes and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.takes.motion import Motion
from engine.types import LumbricalError
from tests.takes.export.clips import LOST, fields_of, moving_hand

Fields = dict[str, Any]


def test_lost_frames_are_nan_and_arrays_cannot_be_changed() -> None:
    motion = moving_hand()
    assert len(motion) == 24 and motion.lost_count == len(LOST)
    for values in (motion.theta, motion.beta, motion.thickness, motion.joints_mm, motion.joint_sigma_mm):
        assert np.isnan(values[~motion.tracked]).all() and np.isfinite(values[motion.tracked]).all()
    with pytest.raises(ValueError, match="read-only"):
        motion.theta[5] = 0


def test_what_it_was_made_from_may_change_afterwards() -> None:
    fields = fields_of(moving_hand())
    motion = Motion(**fields)
    fields["theta"][5] = 99
    assert (motion.theta[5] != 99).all()


def test_one_shape_stands_for_all_frames_and_uncertainty_may_be_unknown() -> None:
    fields = fields_of(moving_hand(changing=False))
    del fields["joint_sigma_mm"], fields["frame_number"]
    shape = fields["beta"][5], fields["thickness"][5]
    motion = Motion(**(fields | {"beta": shape[0], "thickness": shape[1]}))
    np.testing.assert_array_equal(motion.beta[motion.tracked], np.tile(shape[0], (18, 1)))
    np.testing.assert_array_equal(motion.thickness[6], shape[1])
    assert np.isnan(motion.joint_sigma_mm).all()
    assert motion.frame_number.tolist() == list(range(24))


def test_rows_of_lost_frames_may_hold_anything() -> None:
    fields = fields_of(moving_hand())
    fields["theta"][0] = np.inf
    assert np.isnan(Motion(**fields).theta[0]).all()


def _set(name: str, index: Any, value: float) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[name][index] = value

    return change


def _replace(name: str, make: Callable[[Any], Any]) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[name] = make(fields[name])

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("theta", (5, 3), np.nan), "theta of frame 5"),
        (_set("beta", (6, 3), np.inf), "beta of frame 6"),
        (_set("joints_mm", (11, 3, 0), 1e9), "joints_mm of frame 11"),
        (_set("joint_sigma_mm", (5, 3), -1), "joint_sigma_mm"),
        (_set("joint_sigma_mm", (5, 3), np.inf), "joint_sigma_mm"),
        (_set("device_time_s", 3, np.nan), "frame 3 has no finite device time"),
        (_replace("theta", lambda a: a[:, :25]), r"theta has shape \(24, 25\)"),
        (_replace("thickness", lambda a: a[:5]), "thickness has shape"),
        (_replace("joints_mm", lambda a: a.astype(str)), "joints_mm holds"),
        (_replace("tracked", lambda a: a.astype(np.uint8)), "tracked is uint8"),
        (_replace("frame_number", lambda a: a.astype(float)), "frame_number is float64"),
        (_replace("device_time_s", lambda a: a[1:]), "device_time_s has shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(change: Callable[[Fields], None], says: str) -> None:
    fields = fields_of(moving_hand())
    change(fields)
    with pytest.raises(LumbricalError, match=says) as told:
        Motion(**fields)
    assert "\n" not in str(told.value)
