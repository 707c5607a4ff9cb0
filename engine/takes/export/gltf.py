"""glTF 2.0: the skinned hand with its animation as one .glb file, in metres, y up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.hand.template import HandTemplate
from engine.takes.export.glb import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GlbWriter
from engine.takes.export.posing import lost_ranges, pose_motion, to_y_up
from engine.takes.export.rig import Rig, build_rig
from engine.takes.export.timing import running_time_s
from engine.takes.export.turns import quaternions
from engine.takes.motion import Motion
from engine.types import THICKNESS_SIZE, FloatArray, Side
from engine.version import VERSION

Array = NDArray[np.float64]

THICKNESS_NAMES = ("palm", "thumb", "index", "middle", "ring", "little")
_MM = 1e-3
#: A channel that changes by less is left out: 0.1 micrometres, and as much of a turn or stretch at a hand's length.
_STILL = 1e-7
_WEIGHTS_A_SET = 4
_SKIN_COLOUR = [0.80, 0.60, 0.50, 1.0]


def write_gltf(motion: Motion, path: Path, template: HandTemplate) -> None:
    """Write the file. LumbricalError where the motion has no hand, other joints than its theta, or a stuck clock."""
    times = running_time_s(motion)
    posed = pose_motion(motion)
    rig = build_rig(posed)
    writer = GlbWriter()
    mesh = _mesh(writer, template, motion.side, rig)
    skin = {
        "joints": list(range(len(rig.names))),
        "skeleton": 0,
        "inverseBindMatrices": writer.add(_inverse(rig.binds).transpose(0, 2, 1).reshape(-1, 16).astype("<f4")),
    }
    animation = _Animation(writer, writer.add(times.astype("<f4"), bounds=True))
    nodes = _joint_nodes(rig, animation)
    hand = {"name": f"{motion.side.value}_hand_mesh", "mesh": 0, "skin": 0}
    mesh["weights"] = animation.track(len(nodes), "weights", posed.thickness)
    root = {"name": f"{motion.side.value}_hand", "children": [0]}
    take: dict[str, Any] = {"name": "take", "channels": animation.channels, "samplers": animation.samplers}
    take["extras"] = {
        "frames": len(motion),
        "lost_frames": lost_ranges(motion.tracked),
        "first_device_time_s": float(motion.device_time_s[0]),
        "side": motion.side.value,
    }
    document = {
        "asset": {"version": "2.0", "generator": f"Lumbrical {VERSION}"},
        "scene": 0,
        "scenes": [{"nodes": [len(nodes) + 1, len(nodes)]}],
        "nodes": [*nodes, hand, root],
        "meshes": [mesh],
        "materials": [{"name": "skin", "pbrMetallicRoughness": _material()}],
        "skins": [skin],
        "animations": [take],
    }
    writer.write(path, document)


def _material() -> dict[str, Any]:
    return {"baseColorFactor": _SKIN_COLOUR, "metallicFactor": 0.0, "roughnessFactor": 0.7}


class _Animation:
    """The channels of one animation whose samplers share their times."""

    def __init__(self, writer: GlbWriter, times: int) -> None:
        self._writer, self._times = writer, times
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []

    def track(self, node: int, path: str, values: FloatArray) -> list[float]:
        """Add a channel of values (N, width), unless they stay the same. Returns the first, for the node to have."""
        rows = values.astype("<f4")
        # One channel at least, so that the clip always has its length and its frames.
        if node == 0 or np.abs(values - values[0]).max() > _STILL:
            flat = rows.reshape(-1) if path == "weights" else rows
            self.samplers.append({"input": self._times, "output": self._writer.add(flat), "interpolation": "LINEAR"})
            target = {"node": node, "path": path}
            self.channels.append({"sampler": len(self.samplers) - 1, "target": target})
        first: list[float] = rows[0].tolist()
        return first


def _joint_nodes(rig: Rig, animation: _Animation) -> list[dict[str, Any]]:
    turns = quaternions(rig.rotations)
    nodes: list[dict[str, Any]] = []
    for number, name in enumerate(rig.names):
        node: dict[str, Any] = {"name": name}
        for path, values in (
            ("translation", rig.translations[:, number]),
            ("rotation", turns[:, number]),
            ("scale", rig.scales[:, number]),
        ):
            # Only the skin's leaves stretch.
            if path != "scale" or number in rig.skin_nodes:
                node[path] = animation.track(number, path, values)
        children = np.flatnonzero(rig.parents == number).tolist()
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _mesh(writer: GlbWriter, template: HandTemplate, side: Side, rig: Rig) -> dict[str, Any]:
    """The template at rest; its flesh as one morph target a part, whose weight is in mm."""
    vertices, normals = (to_y_up(array.astype(np.float64), side) for array in (template.vertices, template.normals))
    faces = template.faces if side is Side.RIGHT else template.faces[:, ::-1]
    attributes = {
        "POSITION": writer.add((vertices * _MM).astype("<f4"), ARRAY_BUFFER, bounds=True),
        "NORMAL": writer.add(normals.astype("<f4"), ARRAY_BUFFER),
    }
    order = np.argsort(-template.bone_weights, axis=1, kind="stable")
    used = int((template.bone_weights > 0).sum(1).max())
    for number in range(-(-used // _WEIGHTS_A_SET)):
        columns = order[:, number * _WEIGHTS_A_SET : (number + 1) * _WEIGHTS_A_SET]
        weights = np.take_along_axis(template.bone_weights, columns, 1)
        # Joints that weigh nothing must be 0, or validators warn.
        joints = np.where(weights > 0, rig.skin_nodes[columns], 0)
        attributes[f"JOINTS_{number}"] = writer.add(joints.astype("|u1"), ARRAY_BUFFER)
        attributes[f"WEIGHTS_{number}"] = writer.add(weights.astype("<f4"), ARRAY_BUFFER)
    targets = []
    for part in range(THICKNESS_SIZE):
        grown = normals * template.thickness_weights[:, part, None] * _MM
        targets.append({"POSITION": writer.add(grown.astype("<f4"), ARRAY_BUFFER, bounds=True)})
    primitive = {
        "attributes": attributes,
        "indices": writer.add(faces.reshape(-1).astype("<u4"), ELEMENT_ARRAY_BUFFER),
        "material": 0,
        "targets": targets,
    }
    names = [f"thickness_{part}_mm" for part in THICKNESS_NAMES]
    return {"name": f"{side.value}_hand", "primitives": [primitive], "extras": {"targetNames": names}}


def _inverse(binds: Array) -> Array:
    inverse = np.linalg.inv(binds)
    # Rounding must not leave the last row anything but 0 0 0 1: validators ask for it exactly.
    inverse[:, 3] = (0.0, 0.0, 0.0, 1.0)
    return np.asarray(inverse, np.float64)
