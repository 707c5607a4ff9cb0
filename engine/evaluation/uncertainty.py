"""Whether joints are as far off as the tracker says, and the constants with which they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.metrics import INTERVAL_SHARE
from engine.types import FloatArray

#: Nominal shares of the reliability curve.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
#: Groups of joints, from sure to unsure, in each of which the interval is to hold its share.
_GROUPS = 10
_POWERS = np.arange(0.8, 1.8, 0.01)


def calibration_report(errors: FloatArray, sigma_mm: FloatArray, hidden: NDArray[np.bool_]) -> dict[str, Any]:
    """What holds of the expected errors sigma_mm, given the errors themselves and which joints were hidden; (N, 21).

    within_90: share of joints within their 90 % interval, of all, of those the camera sees and of hidden ones;
    hidden_joints: their share; interval_90_median_mm: the interval's radius; reliability: observed share for each
    nominal one.
    """
    groups = {"all": np.ones_like(hidden), "seen": ~hidden, "hidden": hidden}
    return {
        "within_90": {
            name: metrics.interval_coverage(errors[group], sigma_mm[group], INTERVAL_SHARE)
            for name, group in groups.items()
        },
        "hidden_joints": float(hidden.mean()),
        "interval_90_median_mm": float(metrics.interval_radius(INTERVAL_SHARE) * np.median(sigma_mm)),
        "reliability": {
            "nominal": list(SHARES),
            "observed": [metrics.interval_coverage(errors, sigma_mm, share) for share in SHARES],
        },
    }


def calibrated(errors: FloatArray, spread_mm: FloatArray) -> tuple[float, float]:
    """Scale and power with which scale * spread_mm ** power is the expected error; errors, spread_mm: mm, of one shape.

    For each power the scale is the one whose 90 % interval holds 90 % of all joints. The power is the one whose
    interval holds nearest to 90 % of the joints in every tenth of them, from the surest to the least sure.
    """
    errors, spread = np.ravel(errors).astype(float), np.ravel(spread_mm).astype(float)
    radius = metrics.interval_radius(INTERVAL_SHARE)
    # Any power keeps the order.
    tenths = np.array_split(np.argsort(spread, kind="stable"), _GROUPS)
    best = (np.inf, 1.0, 1.0)
    for power in _POWERS:
        shape = radius * spread**power
        scale = float(np.quantile(errors / shape, INTERVAL_SHARE))
        within = errors <= scale * shape
        unevenness = float(np.mean([(within[tenth].mean() - INTERVAL_SHARE) ** 2 for tenth in tenths]))
        best = min(best, (unevenness, scale, float(power)))
    return best[1], best[2]
