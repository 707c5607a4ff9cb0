"""A recording as a sequence folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import Sensor
from engine.sensors.sequence_folder import write_sequence
from engine.takes.convert.frames import Converted, measured_fps
from engine.takes.poses import PoseTable
from engine.types import JOINT_COUNT, DepthFrame, LumbricalError

#: Frames are numbered by six digits.
_MOST_FRAMES = 1_000_000
#: A time between two frames that is so many times the usual one is a gap.
_GAP = 1.5


@dataclass
class _Seen:
    """The frames that went by: their places in the recording, and their times."""

    places: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def note(self, frames: Iterable[DepthFrame]) -> Iterator[DepthFrame]:
        for frame in frames:
            self.places.append(frame.number)
            self.times_s.append(frame.device_time_s)
            yield frame


def write_folder(
    sensor: Sensor, frames: Iterable[DepthFrame], path: Path, *, origin: str = "", poses: PoseTable | None = None
) -> Converted:
    """Write the frames of an open recording to `path`, which must not exist.

    origin: what the images come from. poses: the take's, whose joints become joints_mm.npy, NaN where no hand was.
    Raises LumbricalError where it cannot be written, OSError when the disk refuses the joints.
    """
    if (sensor.frame_count or 0) > _MOST_FRAMES:
        raise LumbricalError(f"{sensor.name} has over {_MOST_FRAMES:,} frames, which a sequence folder cannot number")
    fps = measured_fps(sensor)
    seen = _Seen()
    extra = _about_joints(poses) if poses is not None else None
    count = write_sequence(path, seen.note(frames), fps=fps, side=sensor.side, sensor=origin, extra=extra)
    if poses is not None:
        np.save(path / "joints_mm.npy", joints_of(poses, seen.places), allow_pickle=False)
    return Converted(count, _not_kept(seen.times_s, fps))


def joints_of(poses: PoseTable, places: list[int]) -> NDArray[np.float32]:
    """(N, 21, 3) mm: the joints that were tracked in the frames at these places of the take; NaN where there are none.

    Where a frame was tracked twice, the last result counts.
    """
    joints = np.full((len(places), JOINT_COUNT, 3), np.nan, np.float32)
    rows = {int(frame): row for row, frame in enumerate(poses.frame) if frame >= 0 and poses.tracked[row]}
    for number, place in enumerate(places):
        if place in rows:
            joints[number] = poses.joints_mm[rows[place]]
    return joints


def _about_joints(poses: PoseTable) -> dict[str, Any]:
    """What sequence.json says of the joints, so that nobody takes them for measured ones."""
    weights = ", ".join(sorted(set(poses.weights_version.tolist()) - {""}))
    return {
        "joint_convention": "anatomical",
        "labels": f"joints_mm: as tracked by Lumbrical ({weights or 'weights unknown'}), not measured",
    }


def _not_kept(times_s: list[float], fps: float) -> tuple[str, ...]:
    gaps_s = np.diff(times_s)
    uneven = int(((gaps_s > _GAP / fps) | (gaps_s <= 0)).sum()) if fps > 0 else 0
    if not uneven:
        return ()
    return (f"a sequence folder has one frame rate ({fps:.4g}): {uneven} gaps between the frames' times are lost",)
