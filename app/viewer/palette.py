"""The colours of the hand and of depth, shared by the 3D view and the depth panel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: One colour per finger, thumb to little, and one for the wrist; 0..1 RGB.
FINGER_COLORS = np.array(
    [
        (0.96, 0.62, 0.36),
        (0.95, 0.80, 0.42),
        (0.50, 0.80, 0.58),
        (0.42, 0.72, 0.93),
        (0.72, 0.60, 0.95),
    ],
    np.float32,
)
WRIST_COLOR = np.array((0.90, 0.92, 0.95), np.float32)
#: A pose that was recorded, beside the one that is tracked now.
RECORDED_COLOR = np.array((1.00, 0.30, 0.68), np.float32)
SKIN_COLOR = np.array((0.92, 0.76, 0.67), np.float32)
BACKGROUND_CENTER = np.array((0.120, 0.133, 0.158), np.float32)
BACKGROUND_EDGE = np.array((0.052, 0.058, 0.072), np.float32)

#: Stops of the colours of an interval, from a sure joint to an unsure one.
_INTERVAL_STOPS = np.array(
    [
        (0.36, 0.86, 0.80),
        (0.72, 0.90, 0.55),
        (0.99, 0.82, 0.38),
        (0.98, 0.54, 0.33),
        (0.90, 0.27, 0.38),
    ],
    np.float32,
)
#: Radii, mm, at the two ends of those colours; between them they go by the radius's logarithm.
INTERVAL_RANGE_MM = (5.0, 40.0)

#: Stops of the depth colours, near to far: warm and bright to cold and dark.
_DEPTH_STOPS = np.array(
    [
        (0.98, 0.87, 0.68),
        (0.93, 0.62, 0.45),
        (0.72, 0.36, 0.47),
        (0.42, 0.28, 0.52),
        (0.20, 0.24, 0.42),
        (0.10, 0.15, 0.25),
        (0.07, 0.09, 0.14),
    ],
    np.float32,
)

#: Residuals, mm, at the two ends of the interval's colours, where those show how far off a surface is.
RESIDUAL_RANGE_MM = (0.0, 10.0)


def residual_colors(residual_mm: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, 3) for residuals (N,) in mm; those beyond RESIDUAL_RANGE_MM have the colours of its ends."""
    low, high = RESIDUAL_RANGE_MM
    stops = np.linspace(low, high, len(_INTERVAL_STOPS))
    return np.stack([np.interp(residual_mm, stops, _INTERVAL_STOPS[:, k]) for k in range(3)], -1).astype(np.float32)


def depth_colors(count: int = 256) -> NDArray[np.float32]:
    """The depth colours as a table (count, 3), near first."""
    at = np.linspace(0, len(_DEPTH_STOPS) - 1, count)
    return np.stack([np.interp(at, np.arange(len(_DEPTH_STOPS)), _DEPTH_STOPS[:, k]) for k in range(3)], -1).astype(
        np.float32
    )


def interval_colors(radii_mm: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, 3) for the radii (N,) of intervals: those beyond INTERVAL_RANGE_MM have the colours of its ends."""
    low, high = np.log(INTERVAL_RANGE_MM)
    last = len(_INTERVAL_STOPS) - 1
    at = (np.log(np.maximum(radii_mm, 1e-3)) - low) / (high - low) * last
    stops = np.arange(last + 1)
    return np.stack([np.interp(at, stops, _INTERVAL_STOPS[:, k]) for k in range(3)], -1).astype(np.float32)


def joint_colors() -> NDArray[np.float32]:
    """(21, 3): the wrist's, then each finger's."""
    return np.concatenate((WRIST_COLOR[None], np.repeat(FINGER_COLORS, 4, axis=0)))
