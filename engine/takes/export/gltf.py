"""glTF 2.0: the skinned hand with its animation as one .glb file, in metres, y up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.hand.skeleton import Skeleton
from engine.hand.template import HandTemplate
from engine.takes.export.glb import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GlbWriter
from engine.takes.export.posing import PosedMotion, lost_ranges, pose_motion, to_y_up
from engine.takes.export.rig import Rig
from engine.takes.export.timing import running_time_s
from engine.takes.export.turns import quaternions
from engine.takes.motion import Motion
from engine.types import FINGERS, FloatArray, Side
from engine.version import VERSION

Array = NDArray[np.float64]

_PARTS = ("palm", *FINGERS)
_MM = 1e-3
#: A channel that changes by less is left out: 0.1 micrometres, and as much of a turn or stretch at a hand's length.
_STILL = 1e-7
_STILL_MM = 1e-4
_WEIGHTS_A_SET = 4
#: Poses of the clip that the flesh is fitted to, at most; how many times longer or shorter it may be at rest.
_POSES_FITTED, _LONGEST_REACH = 64, 2.0
#: Where there is hardly any flesh, all poses count alike.
_LEAST_FLESH_MM = 0.1
_SKIN_COLOUR = [0.80, 0.60, 0.50, 1.0]


def write_gltf(motion: Motion, path: Path, template: HandTemplate) -> None:
    """Write the file. LumbricalError where the motion has no hand, other joints than its theta, or a stuck clock."""
    times = running_time_s(motion)
    posed = pose_motion(motion)
    rig = Rig(posed)
    writer = GlbWriter()
    flesh = _Flesh.of(posed.thickness)
    mesh = _mesh(writer, template, posed, motion.side, rig, flesh)
    skin = {
        "joints": list(range(len(rig.names))),
        "skeleton": 0,
        "inverseBindMatrices": writer.add(_inverse(rig.binds).transpose(0, 2, 1).reshape(-1, 16).astype("<f4")),
    }
    animation = _Animation(writer, writer.add(times.astype("<f4"), bounds=True))
    nodes = _joint_nodes(rig, animation)
    hand = {"name": f"{motion.side.value}_hand_mesh", "mesh": 0, "skin": 0}
    if flesh.changing:
        mesh["weights"] = animation.track(len(nodes), "weights", flesh.weights(posed.thickness))
    root = {"name": f"{motion.side.value}_hand", "children": [0]}
    take: dict[str, Any] = {"name": "take", "channels": animation.channels, "samplers": animation.samplers}
    take["extras"] = {
        "frames": len(motion),
        "lost_frames": lost_ranges(motion.tracked),
        "first_device_time_s": float(motion.device_time_s[0]),
        "side": motion.side.value,
        "thickness_mm": {name: [low, high] for name, low, high in flesh.ranges()},
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


@dataclass(frozen=True)
class _Flesh:
    """How the clip's extra flesh is spread over a mesh and its morph targets.

    Programs clamp the weights of morph targets to 0..1, so the mesh has the least of the clip, low (6,) mm, and a
    target what a part (one of changing) can gain upon that, up to high (6,) mm.
    """

    low: FloatArray
    high: FloatArray
    changing: list[int]

    @staticmethod
    def of(thickness: FloatArray) -> _Flesh:
        low, high = thickness.min(0), thickness.max(0)
        return _Flesh(low, high, np.flatnonzero(high - low > _STILL_MM).tolist())

    def weights(self, thickness: FloatArray) -> FloatArray:
        """(N, changing) from 0 to 1."""
        parts = self.changing
        return (thickness[:, parts] - self.low[parts]) / (self.high - self.low)[parts]

    def ranges(self) -> Iterator[tuple[str, float, float]]:
        """Each part's name, least and most."""
        for part, name in enumerate(_PARTS):
            yield name, float(self.low[part]), float(self.high[part])


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
    nodes: list[dict[str, Any]] = []
    for number, name in enumerate(rig.names):
        node: dict[str, Any] = {"name": name}
        places, turns, scales = rig.local(number)
        for path, values in (
            ("translation", places),
            ("rotation", quaternions(turns[:, None])[:, 0]),
            ("scale", scales),
        ):
            # Only the skin's leaves stretch.
            if path != "scale" or number in rig.skin_nodes:
                node[path] = animation.track(number, path, values)
        children = np.flatnonzero(rig.parents == number).tolist()
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _outwards(template: HandTemplate, posed: PosedMotion, normals: Array) -> Array:
    """(V, 3) where a vertex goes at rest for a millimetre of flesh: along its normal (V, 3), so far that skinning makes
    the clip's flesh of it best (least squares).

    The model puts flesh on the posed skin, along unit normals; a skin blends and stretches what it has at rest.
    """
    some = np.linspace(0, len(posed.frames) - 1, min(len(posed.frames), _POSES_FITTED)).astype(int)
    stretch = posed.lengths[some] / Skeleton().bone_length_mean.double().numpy()
    stretched = posed.frames[some].copy()
    stretched[..., 1] *= stretch[..., None]
    back = posed.rest_frames.swapaxes(-1, -2)
    weights = template.bone_weights.astype(np.float64)

    def skinned(frames: Array) -> Array:
        turns = np.tensordot(weights, frames @ back, (1, 1))
        return np.asarray((turns @ normals[:, None, :, None])[..., 0])

    wanted, got = skinned(posed.frames[some]), skinned(stretched)
    wanted /= np.maximum(np.linalg.norm(wanted, axis=-1, keepdims=True), 1e-6)
    flesh = (template.thickness_weights @ posed.thickness[some].T)[..., None] ** 2 + _LEAST_FLESH_MM**2
    reach = (flesh * wanted * got).sum((1, 2)) / np.maximum((flesh * got * got).sum((1, 2)), 1e-6)
    return normals * np.clip(reach, 1 / _LONGEST_REACH, _LONGEST_REACH)[:, None]


def _mesh(
    writer: GlbWriter, template: HandTemplate, posed: PosedMotion, side: Side, rig: Rig, flesh: _Flesh
) -> dict[str, Any]:
    """The template at rest with the least flesh of the clip, and a morph target a part for what it gains."""
    vertices, normals = (to_y_up(array.astype(np.float64), side) for array in (template.vertices, template.normals))
    outwards = _outwards(template, posed, normals)
    vertices += outwards * (template.thickness_weights @ flesh.low)[:, None]
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
    for part in flesh.changing:
        grown = outwards * template.thickness_weights[:, part, None] * (flesh.high - flesh.low)[part] * _MM
        targets.append({"POSITION": writer.add(grown.astype("<f4"), ARRAY_BUFFER, bounds=True)})
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": writer.add(faces.reshape(-1).astype("<u4"), ELEMENT_ARRAY_BUFFER),
        "material": 0,
    }
    mesh: dict[str, Any] = {"name": f"{side.value}_hand", "primitives": [primitive]}
    if targets:
        primitive["targets"] = targets
        mesh["extras"] = {"targetNames": [f"thickness_{_PARTS[part]}" for part in flesh.changing]}
    return mesh


def _inverse(binds: Array) -> Array:
    inverse = np.linalg.inv(binds)
    # Rounding must not leave the last row anything but 0 0 0 1: validators ask for it exactly.
    inverse[:, 3] = (0.0, 0.0, 0.0, 1.0)
    return np.asarray(inverse, np.float64)
