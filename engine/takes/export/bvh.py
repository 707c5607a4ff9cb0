"""BVH: the 21 joints as a hierarchy with every frame's rotations, in millimetres, y up.

Two kinds. The exact one gives each joint its place in its parent's frame in every frame, too, since a tracker that is
still learning a hand changes its bones; as in all programs that know such channels, they stand in for OFFSET.
The rigid one has the clip's median bone lengths throughout and positions for the wrist alone, as retargeting expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.takes.export.posing import PosedMotion, check_has_hand, pose_motion
from engine.takes.export.timing import frame_interval_s
from engine.takes.export.turns import zyx_angles
from engine.takes.motion import Motion
from engine.types import JOINT_COUNT, JOINT_NAMES, JOINT_PARENTS

Array = NDArray[np.float64]

_POSITION = "Xposition Yposition Zposition"
_ROTATION = "Zrotation Yrotation Xrotation"
_TIPS = tuple(range(4, JOINT_COUNT, 4))
_PARENTS = np.array(JOINT_PARENTS)


def write_bvh(motion: Motion, path: Path, rigid: bool) -> None:
    """Write the file. LumbricalError where the motion has no hand, or (exact kind) joints that are not its theta's."""
    check_has_hand(motion)
    median = np.median(motion.beta[motion.tracked], axis=0)
    posed = pose_motion(motion, median, one_shape=rigid)
    moving = (0,) if rigid else tuple(range(JOINT_COUNT))
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("HIERARCHY\n")
        file.writelines(_hierarchy(posed.rest_joints, 0, 0, rigid))
        file.write(f"MOTION\nFrames: {len(motion)}\nFrame Time: {frame_interval_s(motion):.9f}\n")
        row = " ".join(_row_formats(moving, rigid)) + "\n"
        file.writelines(row % tuple(values) for values in _channels(posed, moving, rigid))


def bvh_joints(rigid: bool) -> tuple[int, ...]:
    """The project's joints that are BVH joints: in the rigid kind tips are end sites only."""
    return tuple(joint for joint in range(JOINT_COUNT) if not (rigid and joint in _TIPS))


def joint_turns(posed: PosedMotion) -> Array:
    """(N, 21, 3, 3) how far each joint's outgoing bone is turned from rest, against the scene; tips as their bone."""
    turns = np.empty((len(posed.joints), JOINT_COUNT, 3, 3))
    turns[:, 0] = posed.wrist
    for joint in range(1, JOINT_COUNT):
        bone = joint - 1 if joint in _TIPS else joint
        turns[:, joint] = posed.frames[:, bone] @ posed.rest_frames[bone].T
    return turns


def _hierarchy(rest: Array, joint: int, depth: int, rigid: bool) -> Iterator[str]:
    indent = "\t" * depth
    # The root's place is wholly in its channels: programs disagree on whether its offset adds to them.
    offset = np.zeros(3) if joint == 0 else rest[joint] - rest[JOINT_PARENTS[joint]]
    ends_here = joint in _TIPS
    if ends_here and rigid:
        yield from _end_site(offset, indent)
        return
    yield f"{indent}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}\n{indent}{{\n"
    yield f"{indent}\tOFFSET {_triple(offset)}\n"
    moves = joint == 0 or not rigid
    yield f"{indent}\tCHANNELS {f'6 {_POSITION}' if moves else '3'} {_ROTATION}\n"
    for child in range(joint + 1, JOINT_COUNT):
        if JOINT_PARENTS[child] == joint:
            yield from _hierarchy(rest, child, depth + 1, rigid)
    if ends_here:
        yield from _end_site(np.zeros(3), indent + "\t")
    yield f"{indent}}}\n"


def _end_site(offset: Array, indent: str) -> Iterator[str]:
    yield f"{indent}End Site\n{indent}{{\n{indent}\tOFFSET {_triple(offset)}\n{indent}}}\n"


def _triple(values: Array) -> str:
    return " ".join(f"{value:.5f}" for value in values)


def _row_formats(moving: tuple[int, ...], rigid: bool) -> Iterator[str]:
    for joint in bvh_joints(rigid):
        yield "%.5f %.5f %.5f %.6f %.6f %.6f" if joint in moving else "%.6f %.6f %.6f"


def _channels(posed: PosedMotion, moving: tuple[int, ...], rigid: bool) -> Array:
    """(N, C) the rows of the motion, mm and degrees."""
    turns = joint_turns(posed)
    parent_turns = turns[:, _PARENTS].swapaxes(-1, -2)
    local = parent_turns @ turns
    places = (parent_turns @ (posed.joints - posed.joints[:, _PARENTS])[..., None])[..., 0]
    local[:, 0], places[:, 0] = turns[:, 0], posed.joints[:, 0]
    angles = np.rad2deg(zyx_angles(local))
    columns = []
    for joint in bvh_joints(rigid):
        columns += [places[:, joint]] if joint in moving else []
        columns.append(angles[:, joint])
    return np.concatenate(columns, 1)
