"""Files of foreign hands, made from the project's own: a rigged GLB and a pickle laid out like MANO's."""

from __future__ import annotations

import copy
import json
import pickle
import struct
import sys
import types
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.geometry.rotations import euler_to_matrix
from engine.hand.imports.webxr import WEBXR_JOINTS, WEBXR_METACARPALS
from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.template import load_template
from engine.types import JOINT_PARENTS
from tools.convert_mano import TIP_VERTICES

Array = NDArray[Any]
PARENTS = np.array(JOINT_PARENTS[1:])
NAMES = [*WEBXR_JOINTS, *WEBXR_METACARPALS]
_TYPES = {"<f4": 5126, "<u2": 5123, "|u1": 5121, "<u4": 5125}


@dataclass
class Rig:
    """A posed hand ready to be written: mm, wrist frame of the right hand until something moves it."""

    vertices: Array
    faces: Array
    weights: Array  # (V, 4)
    weight_joints: Array  # (V, 4) into names
    binds: Array  # (len(names), 4, 4)
    names: list[str] = field(default_factory=lambda: list(NAMES))

    def moved(self, matrix: Array) -> Rig:
        """Everything carried by a (4, 4) matrix, which may mirror and scale."""
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        return replace(self, vertices=vertices, binds=matrix @ self.binds)

    def without_axes(self) -> Rig:
        """The same with joints that only have a place."""
        binds = np.tile(np.eye(4), (len(self.binds), 1, 1))
        binds[:, :3, 3] = self.binds[:, :3, 3]
        return replace(self, binds=binds)

    def mirrored(self) -> Rig:
        """A left hand as a modeller would make it: axes by WebXR's convention, triangles outwards."""
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        return replace(self.moved(flip), binds=flip @ self.binds @ flip, faces=self.faces[:, ::-1])


def own_rig(theta: Array | None = None, beta: Array | None = None) -> Rig:
    """The project's own hand in a pose, its palm's thumb bone rigged to the wrist."""
    template, skeleton = load_template(), Skeleton()
    both = (np.zeros(n, np.float32) if a is None else a.astype(np.float32) for a, n in ((theta, 26), (beta, 20)))
    pose = skeleton(*(torch.from_numpy(a)[None] for a in both))
    vertices = skin_of(template, skeleton)(pose, torch.zeros(1, 6))[0][0].double().numpy()
    joints, frames = pose.joints[0].double().numpy(), pose.rotations[0].double().numpy()
    order = np.argsort(-template.bone_weights, axis=1, kind="stable")[:, :4]
    # Bone k turns about the joint it starts from; the palm's bones have metacarpals of their own.
    joint_of_bone = np.array([k if k % 4 else (0 if k == 0 else 20 + k // 4) for k in range(20)])
    binds = np.tile(np.eye(4), (25, 1, 1))
    for joint in range(25):
        if joint > 20:
            bone = 4 * (joint - 20)
        elif joint == 0:
            bone = 8
        else:
            bone = joint if joint % 4 else joint - 1
        x, y, z = frames[bone].T
        binds[joint, :3, :3] = np.stack((-x, -z, -y), 1)
        binds[joint, :3, 3] = joints[joint] if joint < 21 else 0.7 * joints[0] + 0.3 * joints[4 * (joint - 20) + 1]
    weights = np.take_along_axis(template.bone_weights, order, 1)
    return Rig(vertices, template.faces, weights, joint_of_bone[order], binds)


def turned(
    angles: tuple[float, float, float], scale: float = 1.0, shift: tuple[float, float, float] = (0, 0, 0)
) -> Array:
    """A (4, 4) matrix: turn by Euler angles, scale, then shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * euler_to_matrix(torch.tensor([angles], dtype=torch.float64))[0].numpy()
    matrix[:3, 3] = shift
    return matrix


def document_of(rig: Rig) -> tuple[dict[str, Any], bytes]:
    """The glTF document and its binary part, in metres."""
    metres = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    inverse = np.linalg.inv(metres @ rig.binds @ np.diag([1e3, 1e3, 1e3, 1.0]))
    arrays = [
        ("VEC3", (rig.vertices * 1e-3).astype("<f4")),
        ("VEC4", rig.weight_joints.astype("|u1")),
        ("VEC4", rig.weights.astype("<f4")),
        ("SCALAR", rig.faces.astype("<u2").ravel()),
        ("MAT4", inverse.transpose(0, 2, 1).reshape(-1, 16).astype("<f4")),
    ]
    binary, views, accessors = b"", [], []
    for kind, array in arrays:
        content = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(content)})
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": _TYPES[array.dtype.str], "count": len(array), "type": kind}
        )
        binary += content + bytes(-len(content) % 4)
    nodes: list[dict[str, Any]] = [{"name": name} for name in rig.names]
    attributes = {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}
    return {
        "asset": {"version": "2.0"},
        "nodes": [*nodes, {"mesh": 0, "skin": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3}]}],
        "skins": [{"inverseBindMatrices": 4, "joints": list(range(len(rig.names)))}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }, binary


def glb(document: dict[str, Any], binary: bytes) -> bytes:
    """The two as one GLB file."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def glb_of(rig: Rig) -> bytes:
    """The rig as a GLB file."""
    return glb(*document_of(rig))


@dataclass
class Mano:
    """A made-up model of MANO's sizes: sixteen ellipsoids around the project's resting bones, in metres."""

    v_template: Array
    weights: Array
    faces: Array
    regressor: Array
    joints: Array


def made_up_mano() -> Mano:
    """Its tips are MANO's tip vertices, at the project's tips."""
    skeleton = Skeleton(torch.float64)
    pose = skeleton(torch.zeros(1, 26, dtype=torch.float64), torch.zeros(1, 20, dtype=torch.float64))
    joints, frames = pose.joints[0].numpy() * 1e-3, pose.rotations[0].numpy()
    bones = [8, *(4 * finger + k for finger in (1, 2, 4, 3, 0) for k in (1, 2, 3))]
    vertices, faces, parts = [], [], []
    for part, bone in enumerate(bones):
        start, end = joints[PARENTS[bone]], joints[bone + 1]
        # Parts must not touch, or their poles would be welded.
        half_length = 0.5 * float(np.linalg.norm(end - start)) - 0.001
        around, rings = _ellipsoid(half_length)
        vertices.append(end - half_length * frames[bone][:, 1] + around @ frames[bone].T)
        faces.append(rings + 47 * part)
        parts += [part] * 47
    places = np.concatenate((*vertices, np.tile(joints[:1], (26, 1))))
    weights = np.zeros((778, 16))
    weights[np.arange(778), parts + [0] * 26] = 1.0
    order = np.arange(778)
    for finger, tip in enumerate(TIP_VERTICES):
        pole = 47 * (bones.index(4 * finger + 3)) + 46
        order[[pole, tip]] = order[[tip, pole]]
    place = np.argsort(order)
    # Any regressor will do whose joints are the right ones: least squares finds one.
    regressor = np.zeros((16, 778))
    own = joints[[0, *(PARENTS[b] for b in bones[1:])]]
    homogeneous = np.concatenate((places[order], np.ones((778, 1))), 1)
    regressor[:] = np.linalg.lstsq(homogeneous.T, np.concatenate((own, np.ones((16, 1))), 1).T, rcond=None)[0].T
    return Mano(places[order], weights[order], place[np.concatenate(faces)], regressor, own)


def _ellipsoid(half_length: float) -> tuple[Array, Array]:
    """47 vertices, long along y, the last at its far end, and their triangles."""
    heights = np.linspace(-1, 1, 7)[1:-1]
    turn = np.arange(9) * (2 * np.pi / 9)
    rings = []
    for height in heights:
        radius = 0.008 * np.sqrt(1 - height * height)
        rings.append(np.stack((radius * np.cos(turn), np.full(9, half_length * height), radius * np.sin(turn)), 1))
    points = np.concatenate((*rings, [[0, -half_length, 0], [0, half_length, 0]]))
    faces = []
    for k in range(9):
        n = (k + 1) % 9
        faces += [[45, k, n], [46, 36 + n, 36 + k]]
        for ring in range(0, 36, 9):
            faces += [[ring + k, ring + 9 + k, ring + n], [ring + n, ring + 9 + k, ring + 9 + n]]
    return points, np.array(faces)


def mano_pickle(mano: Mano, monkeypatch: Any, protocol: int = 2) -> bytes:
    """What MANO_RIGHT.pkl holds, as far as it matters here: scipy's and chumpy's classes, numpy's old module names."""
    csc = _class(monkeypatch, "scipy.sparse.csc", "csc_matrix")
    ch = _class(monkeypatch, "chumpy.ch", "Ch")
    rows, columns = np.nonzero(mano.regressor)
    order = np.lexsort((rows, columns))
    regressor = csc()
    regressor.__dict__.update(
        _shape=(16, 778),
        data=mano.regressor[rows, columns][order],
        indices=rows[order].astype(np.int32),
        indptr=np.searchsorted(columns[order], np.arange(779)).astype(np.int32),
        maxprint=50,
    )
    shapes = ch()
    shapes.__dict__.update(x=np.zeros((2, 3)), _dirty_vars={"x"})
    model = {
        "v_template": np.asfortranarray(mano.v_template), "weights": mano.weights, "f": mano.faces.astype(np.uint32),
        "J_regressor": regressor, "shapedirs": shapes, "bs_type": "lrotmin", "hands_mean": np.zeros(45),
    }  # fmt: skip
    data = pickle.dumps(copy.copy(model), protocol)
    return data.replace(b"cnumpy._core.", b"cnumpy.core.") if protocol == 2 else data


def _class(monkeypatch: Any, module: str, name: str) -> Any:
    made = types.ModuleType(module)
    cls = type(name, (), {"__module__": module})
    setattr(made, name, cls)
    # Its parent must be importable too; where scipy is installed, its own serves.
    parent = module.split(".")[0]
    if parent not in sys.modules:
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, module, made)
    return cls
