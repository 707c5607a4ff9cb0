"""The labels beside a sequence folder's frames. The tracker never sees them: they are for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.npy_header import read_npy_header
from engine.sensors.images import read_grey_png
from engine.sensors.protocol import BadRecording
from engine.sensors.sequence_folder import SequenceInfo, read_sequence_info
from engine.types import JOINT_COUNT


@dataclass(frozen=True)
class SequenceLabels:
    """What is known of N frames; None where the folder has no such labels.

    joints_mm: (N, 21, 3) float32 camera frame, mm; palm_uv: (N, 2) and joints_uv_2d: (N, 21, 2) float32 pixels, NaN
    where unknown; bone_lengths_mm: (5, 4) thumb to little, each outwards from the wrist; joint_convention: the name of
    the way these joints are placed.
    """

    folder: Path
    info: SequenceInfo
    joints_mm: NDArray[np.float32] | None
    palm_uv: NDArray[np.float32] | None
    joints_uv_2d: NDArray[np.float32] | None
    bone_lengths_mm: NDArray[np.float32] | None

    @property
    def joint_convention(self) -> str | None:
        return self.info.joint_convention

    def hand_mask(self, index: int) -> NDArray[np.bool_] | None:
        """(H, W) bool, True on the hand, or None where the folder has no mask of this frame."""
        path = self.folder / "hand" / f"{index:06d}.png"
        if not path.is_file():
            return None
        return read_grey_png(path, 8, self.info.intrinsics.width, self.info.intrinsics.height) > 0


def load_labels(folder: str | Path) -> SequenceLabels:
    """The labels of a sequence folder. Raises BadRecording when a file is damaged or does not fit the frames."""
    folder = Path(folder)
    info = read_sequence_info(folder)
    count = info.frame_count
    return SequenceLabels(
        folder=folder,
        info=info,
        joints_mm=_load(folder / "joints_mm.npy", (count, JOINT_COUNT, 3)),
        palm_uv=_load(folder / "palm_uv.npy", (count, 2)),
        joints_uv_2d=_load(folder / "joints_uv_2d.npy", (count, JOINT_COUNT, 2)),
        bone_lengths_mm=_bone_lengths(info, folder),
    )


def _load(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """A float array of exactly this shape, whose header is checked before its values are allocated."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            found, dtype = read_npy_header(file)
            if found != shape:
                raise BadRecording(f"{path} has shape {found} but the frames need {shape}: copy or label it again")
            if dtype.kind != "f" or dtype.itemsize not in (4, 8):
                raise BadRecording(f"{path} holds {dtype} values: they must be float32 or float64")
            file.seek(0)
            values = np.asarray(np.load(file, allow_pickle=False), np.float32)
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, EOFError) as error:
        raise BadRecording(f"{path} is not a whole numpy file: copy or label it again") from error
    if np.isinf(values).any():
        raise BadRecording(f"{path} has infinite values: write NaN where there is no label")
    return values


def _bone_lengths(info: SequenceInfo, folder: Path) -> NDArray[np.float32] | None:
    source = info.extra.get("bone_lengths_mm")
    if source is None:
        return None
    try:
        lengths = np.asarray(source, np.float32)
    except (ValueError, TypeError) as error:
        raise BadRecording(f"{folder}: bone_lengths_mm in sequence.json must be 5 x 4 numbers") from error
    if lengths.shape != (5, 4) or not np.all(lengths > 0):
        raise BadRecording(f"{folder}: bone_lengths_mm in sequence.json must be 5 x 4 positive numbers")
    return lengths
