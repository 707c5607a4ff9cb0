"""What a tracked clip says of the hand, frame by frame, without its pictures: what exporters write."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.types import BETA_SIZE, JOINT_COUNT, THETA_SIZE, THICKNESS_SIZE, FloatArray, LumbricalError, Side

Array = NDArray[np.float64]

#: No mm, radian or coordinate of a hand is beyond it: such values are another unit, or damage.
_LARGEST = 1e5
_LEFT_OUT = np.empty(0)
_LEFT_OUT_WHOLE = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Motion:
    """One hand over N frames. Arrays are copied, made float64 and read-only; rows of lost frames become NaN.

    side: the hand's own side; theta, beta and thickness are those of the canonical (mirrored, when left) right hand.
    device_time_s: (N,) s, the device's clock. tracked: (N,) bool, False where the hand was lost.
    theta: (N, 26) mm and radians; beta: (N, 20) or (20,) for all frames; thickness: (N, 6) mm, or (6,) for all frames;
        their layout is that of engine.types.HandParameters.
    joints_mm: (N, 21, 3) mm, camera frame x right, y down, z forward, on the hand's own side.
    joint_sigma_mm: (N, 21) mm, the error to expect of each joint; NaN where it is not known, or left out.
    frame_number: (N,) whole numbers as the source counts them; counted from 0 when left out.
    Raises LumbricalError where shapes do not fit, or a tracked frame or a time is not made of finite numbers.
    """

    side: Side
    device_time_s: FloatArray
    tracked: NDArray[np.bool_]
    theta: FloatArray
    beta: FloatArray
    thickness: FloatArray
    joints_mm: FloatArray
    joint_sigma_mm: FloatArray = field(default_factory=lambda: _LEFT_OUT)
    frame_number: NDArray[np.integer] = field(default_factory=lambda: _LEFT_OUT_WHOLE)

    def __post_init__(self) -> None:
        tracked = np.array(self.tracked)
        if tracked.ndim != 1 or tracked.dtype != np.bool_:
            raise LumbricalError(f"motion: tracked is {tracked.dtype} of shape {tracked.shape}: give one bool a frame")
        count = len(tracked)
        self._keep("tracked", tracked)
        self._keep("device_time_s", _numbers("device_time_s", self.device_time_s, (count,)))
        if not np.isfinite(self.device_time_s).all():
            frame = int(np.flatnonzero(~np.isfinite(self.device_time_s))[0])
            raise LumbricalError(f"motion: frame {frame} has no finite device time")
        for name, shape in (
            ("theta", (count, THETA_SIZE)),
            ("beta", (count, BETA_SIZE)),
            ("thickness", (count, THICKNESS_SIZE)),
            ("joints_mm", (count, JOINT_COUNT, 3)),
        ):
            values = _numbers(name, getattr(self, name), shape, constant=name in ("beta", "thickness"))
            _check_tracked(name, values, tracked)
            self._keep(name, _lost_as_nan(values, tracked))
        self._keep("joint_sigma_mm", self._sigma(tracked))
        self._keep("frame_number", self._frame_number(count))

    def __len__(self) -> int:
        return len(self.tracked)

    @property
    def lost_count(self) -> int:
        """How many frames have no hand."""
        return int((~self.tracked).sum())

    def _sigma(self, tracked: NDArray[np.bool_]) -> Array:
        shape = (len(tracked), JOINT_COUNT)
        if self.joint_sigma_mm is _LEFT_OUT:
            return np.full(shape, np.nan)
        sigma = _numbers("joint_sigma_mm", self.joint_sigma_mm, shape)
        if np.isinf(sigma[tracked]).any() or (sigma[tracked] < 0).any():
            raise LumbricalError("motion: joint_sigma_mm has values that are infinite or below 0")
        return _lost_as_nan(sigma, tracked)

    def _frame_number(self, count: int) -> NDArray[np.int64]:
        if self.frame_number is _LEFT_OUT_WHOLE:
            return np.arange(count, dtype=np.int64)
        numbers = np.array(self.frame_number)
        if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
            raise LumbricalError(
                f"motion: frame_number is {numbers.dtype} of shape {numbers.shape}, not {count} integers"
            )
        return numbers.astype(np.int64)

    def _keep(self, name: str, values: NDArray[np.generic]) -> None:
        values.flags.writeable = False
        object.__setattr__(self, name, values)


def _numbers(name: str, given: ArrayLike, shape: tuple[int, ...], constant: bool = False) -> Array:
    """A float64 copy of that shape; constant: one row may stand for all."""
    values = np.asarray(given)
    if values.dtype.kind not in "fiu":
        raise LumbricalError(f"motion: {name} holds {values.dtype}, not numbers")
    if constant and values.shape == shape[1:]:
        values = np.broadcast_to(values, shape)
    if values.shape != shape:
        raise LumbricalError(f"motion: {name} has shape {values.shape}, not {shape}")
    return values.astype(np.float64)


def _check_tracked(name: str, values: Array, tracked: NDArray[np.bool_]) -> None:
    per_frame = values.reshape(len(tracked), -1 if len(tracked) else 1)
    # The comparison is False for NaN, too.
    bad = tracked & ~(np.abs(per_frame) <= _LARGEST).all(1)
    if bad.any():
        frame = int(np.flatnonzero(bad)[0])
        raise LumbricalError(
            f"motion: {name} of frame {frame} has NaN, infinite or absurd values: mark the frame as lost"
        )


def _lost_as_nan(values: Array, tracked: NDArray[np.bool_]) -> Array:
    values[~tracked] = np.nan
    return values
