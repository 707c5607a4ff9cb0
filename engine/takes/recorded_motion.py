"""The motion that was tracked while a take was recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.takes.export.results import load_results
from engine.takes.motion import Motion
from engine.takes.names import SUFFIX, is_take
from engine.takes.poses import PoseTable
from engine.takes.reader import Take
from engine.types import LumbricalError, Side

_RESULTS = (".npz", ".jsonl")


def load_motion(path: Path, side: Side | None = None, note: Callable[[str], None] | None = None) -> Motion:
    """The motion in a take, or in a results file of `track --out`. side: the hand that is meant where it holds both;
    note: gets a line for each thing that is wrong with the take.

    Raises LumbricalError, naming the file, where there is none, or it is damaged or holds both hands; BadRecording for
    what is no take.
    """
    suffix = path.suffix.lower()
    if suffix in _RESULTS:
        return load_results(path, side)
    if not path.exists():
        raise LumbricalError(f"{path} does not exist: check the path")
    if not is_take(path):
        raise LumbricalError(
            f"{path} holds no motion: give a take ({SUFFIX}) or what `track --out` wrote ({', '.join(_RESULTS)}); "
            "`python main.py track RECORDING --out FILE.npz` makes one from any recording"
        )
    with Take(path) as take:
        poses = take.poses()
        if note is not None:
            for line in take.damage:
                note(line)
    if not len(poses):
        raise LumbricalError(
            f"{path} holds no poses, only images: `python main.py track {path} --out FILE.npz` makes some; then export "
            "that file"
        )
    try:
        return motion_of(poses, side)
    except LumbricalError as error:
        raise LumbricalError(f"{path}: {error}") from error


def motion_of(poses: PoseTable, side: Side | None = None) -> Motion:
    """A take's poses as motion: one row a frame that the tracker was shown, so frames that it passed over are left
    out. Frames of the other hand, and rows that damage left without numbers, count as lost.

    Raises LumbricalError where there are poses of both hands and side is None, or one has no time.
    """
    found = set(np.unique(poses.side[poses.tracked]).tolist())
    if len(found) > 1 and side is None:
        raise LumbricalError("it holds both hands: say which one, --side right or --side left")
    one = side or (Side(found.pop()) if found else Side.RIGHT)
    arrays = (poses.theta, poses.beta, poses.thickness, poses.joints_mm.reshape(len(poses), -1))
    whole = np.all([np.isfinite(array).all(1) for array in arrays], axis=0)
    return Motion(
        side=one,
        device_time_s=poses.device_time_s,
        tracked=poses.tracked & whole & (poses.side == one.value),
        theta=poses.theta,
        beta=poses.beta,
        thickness=poses.thickness,
        joints_mm=poses.joints_mm,
        joint_sigma_mm=poses.joint_sigma_mm,
        frame_number=poses.number,
    )
