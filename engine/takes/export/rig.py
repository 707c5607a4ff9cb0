"""The hand as a rig for glTF: nodes named as in WebXR Hand Input, and one leaf for each bone that carries the skin.

A named node turns and moves but never stretches, so nothing is passed on to its children. The skin hangs on leaves
(named …-skin), one a bone, which stretch along their bone: that is exactly the skinning of engine.hand.model.
Axes are WebXR's: -z along the bone, y out of the back of the hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.hand.imports.webxr import WEBXR_JOINTS, WEBXR_METACARPALS
from engine.hand.skeleton import Skeleton
from engine.takes.export.posing import PosedMotion
from engine.types import BONE_COUNT, JOINT_COUNT, JOINT_PARENTS

Array = NDArray[np.float64]

#: WebXR has a joint where a finger's metacarpal begins; the model has not: it is put a quarter of the way to the MCP.
METACARPAL_WAY = 0.25
_MIDDLE_PALM_BONE = 8
_MM = 1e-3


@dataclass(frozen=True)
class _Layout:
    """names (J,), parents (J,); bone (J,) the bone whose frame a node has; start (J,) the joint it is measured from and
    way (J,) how far along its bone it then lies, as a part of the bone; skin_nodes (20,)."""

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    bone: NDArray[np.int64]
    start: NDArray[np.int64]
    way: Array
    skin_nodes: NDArray[np.int64]


class Rig:
    """J nodes over the N frames of a motion, worked out node by node: ten minutes of all at once take a gigabyte.

    names: J; parents: (J,), -1 the wrist's. skin_nodes: (20,) the leaf of each bone.
    binds: (J, 4, 4) each node's place in the mesh's space, m, when the mesh is at rest.
    """

    def __init__(self, posed: PosedMotion) -> None:
        """posed: a motion whose rest is that of the mean hand."""
        self._posed, self._layout = posed, _layout()
        self._mean_lengths = Skeleton().bone_length_mean.double().numpy()
        self.names, self.parents, self.skin_nodes = self._layout.names, self._layout.parents, self._layout.skin_nodes
        self.binds = np.tile(np.eye(4), (len(self.names), 1, 1))
        for number in range(len(self.names)):
            place, axes = self._world(number, posed.rest_joints, posed.rest_frames, self._mean_lengths)
            self.binds[number, :3, :3], self.binds[number, :3, 3] = axes, place

    def local(self, number: int) -> tuple[Array, Array, Array]:
        """A node's translations (N, 3) m, rotations (N, 3, 3) and scales (N, 3) against its parent."""
        posed = self._posed
        place, axes = self._world(number, posed.joints, posed.frames, posed.lengths)
        scale = np.ones_like(place)
        bone = np.flatnonzero(self.skin_nodes == number)
        if len(bone):
            scale[:, 2] = posed.lengths[:, bone[0]] / self._mean_lengths[bone[0]]
        parent = int(self.parents[number])
        if parent < 0:
            return place, axes, scale
        origin, back = self._world(parent, posed.joints, posed.frames, posed.lengths)
        back = back.swapaxes(-1, -2)
        return (back @ (place - origin)[..., None])[..., 0], back @ axes, scale

    def _world(self, number: int, joints: Array, frames: Array, lengths: Array) -> tuple[Array, Array]:
        """A node's places (..., 3) m and axes (..., 3, 3) against the scene."""
        layout = self._layout
        bone = int(layout.bone[number])
        x, y, z = (frames[..., bone, :, i] for i in range(3))
        along = layout.way[number] * lengths[..., bone, None] * y
        return (joints[..., layout.start[number], :] + along) * _MM, np.stack((-x, -z, -y), -1)


def _layout() -> _Layout:
    """First WebXR's joints in the project's order, then the metacarpals, then the skin's leaves."""
    names = [*WEBXR_JOINTS, *WEBXR_METACARPALS]
    # A joint has the axes of the bone beyond it, a tip those of the bone before it.
    bone = [_MIDDLE_PALM_BONE, *(j - 1 if j % 4 == 0 else j for j in range(1, JOINT_COUNT))]
    start, way = list(range(JOINT_COUNT)), [0.0] * JOINT_COUNT
    parents = [-1, *JOINT_PARENTS[1:]]
    for finger in range(1, 5):
        parents[4 * finger + 1] = len(names) - len(WEBXR_METACARPALS) + finger - 1
        parents.append(0)
        bone.append(4 * finger)
        start.append(0)
        way.append(METACARPAL_WAY)
    skin_nodes = []
    for number in range(BONE_COUNT):
        carrier = number if number % 4 else (JOINT_COUNT + number // 4 - 1 if number else 0)
        skin_nodes.append(len(names))
        names.append(f"{names[carrier]}-skin")
        parents.append(carrier)
        bone.append(number)
        start.append(JOINT_PARENTS[number + 1])
        way.append(0.0)
    return _Layout(
        tuple(names), np.array(parents), np.array(bone), np.array(start), np.array(way), np.array(skin_nodes)
    )
