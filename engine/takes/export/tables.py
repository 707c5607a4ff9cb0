"""A motion as tables: CSV for spreadsheets, .npz for NumPy. Camera frame, x right, y down, z forward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.takes.motion import Motion
from engine.types import BETA_SIZE, FINGERS, JOINT_NAMES

Array = NDArray[np.float64]

_ARTICULATION = ("flexion1", "abduction1", "flexion2", "flexion3")
_THICKNESS = ("palm", *FINGERS)


def csv_columns() -> list[str]:
    """The names of a CSV file's columns; each ends in its unit where it has one."""
    names = ["frame", "frame_number", "device_time_s", "tracked", "side"]
    names += [f"{joint}_{axis}_mm" for joint in JOINT_NAMES for axis in "xyz"]
    names += [f"{joint}_sigma_mm" for joint in JOINT_NAMES]
    names += [f"theta_wrist_{axis}_mm" for axis in "xyz"] + [f"theta_wrist_r{axis}_rad" for axis in "xyz"]
    names += [f"theta_{finger}_{angle}_rad" for finger in FINGERS for angle in _ARTICULATION]
    names += [f"beta_{number}" for number in range(BETA_SIZE)]
    return names + [f"thickness_{part}_mm" for part in _THICKNESS]


def write_csv(motion: Motion, path: Path) -> None:
    """One row a frame; what is not known is an empty cell."""
    with path.open("w", encoding="ascii", newline="\r\n") as file:
        file.write(",".join(csv_columns()) + "\n")
        file.writelines(",".join(row) + "\n" for row in _rows(motion))


def _rows(motion: Motion) -> Iterator[list[str]]:
    count = len(motion)
    numbers = (motion.joints_mm.reshape(count, -1), motion.joint_sigma_mm, motion.theta, motion.beta, motion.thickness)
    values = np.concatenate(numbers, 1)
    for frame in range(count):
        yield [
            str(frame),
            str(motion.frame_number[frame]),
            f"{motion.device_time_s[frame]:.6f}",
            str(int(motion.tracked[frame])),
            motion.side.value,
            *("" if np.isnan(value) else f"{value:.6f}" for value in values[frame]),
        ]


def write_npz(motion: Motion, path: Path) -> None:
    """The arrays that `track --out` writes and load_results reads, and the names of joints; no pickled objects."""
    tracked = motion.tracked
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            number=motion.frame_number,
            state=np.where(tracked, "tracking", "lost"),
            side=np.where(tracked, motion.side.value, ""),
            time_s=motion.device_time_s,
            joints_mm=motion.joints_mm,
            joint_sigma_mm=motion.joint_sigma_mm,
            theta=motion.theta,
            beta=motion.beta,
            thickness=motion.thickness,
            joint_names=np.array(JOINT_NAMES),
        )
