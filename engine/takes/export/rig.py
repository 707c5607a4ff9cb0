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
class Rig:
    """J nodes: names, and parents (J,), -1 the wrist's.

    translations (N, J, 3) m, rotations (N, J, 3, 3) and scales (N, J, 3) are those against the parent, frame by frame.
    binds (J, 4, 4): each node's place in the mesh's space, m, when the mesh is at rest. skin_nodes (20,): of each bone.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    translations: Array
    rotations: Array
    scales: Array
    binds: Array
    skin_nodes: NDArray[np.int64]


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


def build_rig(posed: PosedMotion) -> Rig:
    """The rig in every frame of a motion whose rest is that of the mean hand."""
    layout = _layout()
    places, axes = _world(layout, posed.joints, posed.frames, posed.lengths)
    skeleton_lengths = Skeleton().bone_length_mean.double().numpy()
    rest_places, rest_axes = _world(layout, posed.rest_joints[None], posed.rest_frames[None], skeleton_lengths[None])
    scales = np.ones((len(places), len(layout.names), 3))
    scales[:, layout.skin_nodes, 2] = posed.lengths / skeleton_lengths
    translations, rotations = places.copy(), axes.copy()
    child = layout.parents >= 0
    parent = layout.parents[child]
    back = axes[:, parent].swapaxes(-1, -2)
    translations[:, child] = (back @ (places[:, child] - places[:, parent])[..., None])[..., 0]
    rotations[:, child] = back @ axes[:, child]
    binds = np.tile(np.eye(4), (len(layout.names), 1, 1))
    binds[:, :3, :3], binds[:, :3, 3] = rest_axes[0], rest_places[0]
    return Rig(layout.names, layout.parents, translations, rotations, scales, binds, layout.skin_nodes)


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


def _world(layout: _Layout, joints: Array, frames: Array, lengths: Array) -> tuple[Array, Array]:
    """Places (N, J, 3) m and axes (N, J, 3, 3) of all nodes against the scene."""
    bones = frames[:, layout.bone]
    x, y, z = (bones[..., i] for i in range(3))
    axes = np.stack((-x, -z, -y), -1)
    along = (layout.way * lengths[:, layout.bone])[..., None] * y
    return (joints[:, layout.start] + along) * _MM, axes
