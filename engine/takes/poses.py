"""A take's poses as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.takes import messages
from engine.takes.chunks import RawMessage
from engine.types import BETA_SIZE, JOINT_COUNT, THETA_SIZE, THICKNESS_SIZE, TrackingState

_ARRAYS = {
    "theta": (THETA_SIZE,),
    "beta": (BETA_SIZE,),
    "thickness": (THICKNESS_SIZE,),
    "joints_mm": (JOINT_COUNT, 3),
    "joint_sigma_mm": (JOINT_COUNT,),
}
_STATES = tuple(state.value for state in TrackingState)


@dataclass(frozen=True)
class PoseTable:
    """One row a frame that the tracker was shown, N in all, by time; NaN where no hand was tracked.

    theta (N, 26), beta (N, 20), thickness (N, 6), joints_mm (N, 21, 3), joint_sigma_mm (N, 21): float32, as in
    TrackingResult. state, side, weights_version: (N,) text. confidence, residual_mm, latency_ms: (N,) float64.
    frame: (N,) int64, the frame's place in the take, -1 where its image is not in it. number, epoch: (N,) int64,
    device_time_s, host_time_s: (N,) float64, as the camera and the host gave them; time_ns: (N,) int64 since 1970.
    """

    theta: NDArray[np.float32]
    beta: NDArray[np.float32]
    thickness: NDArray[np.float32]
    joints_mm: NDArray[np.float32]
    joint_sigma_mm: NDArray[np.float32]
    state: NDArray[np.str_]
    side: NDArray[np.str_]
    weights_version: NDArray[np.str_]
    confidence: NDArray[np.float64]
    residual_mm: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    frame: NDArray[np.int64]
    number: NDArray[np.int64]
    epoch: NDArray[np.int64]
    device_time_s: NDArray[np.float64]
    host_time_s: NDArray[np.float64]
    time_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def tracked(self) -> NDArray[np.bool_]:
        """(N,) True where a hand was tracked."""
        return np.asarray(self.state == TrackingState.TRACKING.value)


def pose_table(
    found: Iterable[RawMessage], frame_times_ns: NDArray[np.int64], note: Callable[[object], None]
) -> PoseTable:
    """The table of pose messages; frame_times_ns: (F,) log times of the take's frames. Damaged messages are noted."""
    rows = []
    for message in found:
        try:
            rows.append(_row(message))
        except messages.BadMessage as error:
            note(error)
    rows.sort(key=lambda row: row["time_ns"])

    def column(name: str, kind: Any, shape: tuple[int, ...] = ()) -> NDArray[Any]:
        values = [row[name] for row in rows]
        return np.array(values, kind) if values else np.zeros((0, *shape), kind)

    time_ns = column("time_ns", np.int64)
    texts = {name: column(name, np.str_) for name in ("state", "side", "weights_version")}
    reals = ("confidence", "residual_mm", "latency_ms", "device_time_s", "host_time_s")
    return PoseTable(
        **{name: column(name, np.float32, shape) for name, shape in _ARRAYS.items()},
        **texts,
        **{name: column(name, np.float64) for name in reals},
        frame=_places(time_ns, frame_times_ns),
        number=column("number", np.int64),
        epoch=column("epoch", np.int64),
        time_ns=time_ns,
    )


def _row(message: RawMessage) -> dict[str, Any]:
    fields = messages.decode_json(message.data)
    state, side = messages.text(fields, "state"), messages.text(fields, "side")
    if state not in _STATES or side not in ("right", "left") or message.log_ns >= 2**63:
        raise messages.BadMessage("a pose has no known state, side or time")
    row: dict[str, Any] = {name: messages.array(fields, name, shape) for name, shape in _ARRAYS.items()}
    names = ("confidence", "residual_mm", "latency_ms", "device_time_s", "host_time_s")
    row |= {name: messages.number(fields, name) for name in names}
    row |= {name: messages.whole(fields, name) for name in ("number", "epoch")}
    version = messages.text(fields, "weights_version")[:200]
    return row | {"state": state, "side": side, "weights_version": version, "time_ns": message.log_ns}


def _places(time_ns: NDArray[np.int64], frame_times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each time is among the frames' times, -1 where it is not."""
    if not len(frame_times_ns):
        return np.full(len(time_ns), -1, np.int64)
    order = np.argsort(frame_times_ns, kind="stable")
    at = np.minimum(np.searchsorted(frame_times_ns[order], time_ns), len(order) - 1)
    return np.where(frame_times_ns[order][at] == time_ns, order[at], -1)
