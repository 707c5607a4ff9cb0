"""Rigged hands in glTF whose joints have the names of WebXR Hand Input, as the WebXR input profiles' own hands.

Read are the positions, the skin and its bind pose; nothing of how the hand looks and none of the pose its nodes
stand in. A joint's own axes count where they are WebXR's (-z along the bone, y out of the back of the hand).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.hand.imports.gltf import GltfFile, Table, chosen, damaged, whole
from engine.hand.imports.rigged import MAX_FACES, MAX_VERTICES, RiggedHand
from engine.types import BONE_COUNT, JOINT_COUNT, FloatArray, LumbricalError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_FINGER_NAMES = ("index-finger", "middle-finger", "ring-finger", "pinky-finger")
_PHALANGES = ("phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
#: WebXR's name of each of the project's joints, in their order.
WEBXR_JOINTS = (
    "wrist",
    *(f"thumb-{joint}" for joint in ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")),
    *(f"{finger}-{joint}" for finger in _FINGER_NAMES for joint in _PHALANGES),
)
#: The fingers' metacarpals begin inside the palm, where the project has no joints; a file may lack them.
WEBXR_METACARPALS = tuple(f"{finger}-metacarpal" for finger in _FINGER_NAMES)
_MAX_SKIN_JOINTS = 1000
_MAX_NODES = 20_000
_TRIANGLES = 4
#: A joint's -z axis this near to its bone (cosine) is taken as WebXR's convention kept.
_ALONG_BONE = 0.9


def read_webxr_hand(data: bytes) -> RiggedHand:
    """The hand in a .glb or .gltf file's bytes. LumbricalError, to be put behind the file's name, when it has none."""
    file = GltfFile(data)
    nodes = file.tables("nodes")
    if len(nodes) > _MAX_NODES:
        raise LumbricalError(f"has {len(nodes)} nodes; export the hand alone")
    number, skin = _hand_skin(file, nodes)
    roles = _roles(skin, nodes)
    binds = _bind_matrices(file, skin)
    with np.errstate(all="ignore"):
        joints, axes = _joint_places(roles, nodes, skin, binds)
        vertices, faces, weights = _skinned_mesh(file, nodes, number, _columns(roles))
    if not (np.isfinite(vertices).all() and np.isfinite(weights).all()):
        damaged("a vertex or weight is not a finite number")
    return RiggedHand(vertices, faces, weights, joints, _backs(joints, axes))


def _name(node: Table) -> str:
    return str(node.get("name", ""))[:100].strip().lower().replace("_", "-").replace(" ", "-")


def _hand_skin(file: GltfFile, nodes: list[Table]) -> tuple[int, Table]:
    """The skin with the most of WebXR's joints, and its number."""
    best: tuple[int, int, Table, list[str]] | None = None
    for number, skin in enumerate(file.tables("skins")):
        names = {_name(chosen(nodes, joint, "node")) for joint in _skin_joints(skin)}
        missing = [name for name in WEBXR_JOINTS if name not in names]
        if best is None or len(missing) < best[0]:
            best = len(missing), number, skin, missing
    if best is None:
        raise LumbricalError("has no skin; it must be a rigged hand with WebXR joint names (docs/own-hand.md)")
    _, number, skin, missing = best
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise LumbricalError(f"lacks WebXR joints in its skin: {some}; rename its joints (docs/own-hand.md)")
    return number, skin


def _skin_joints(skin: Table) -> list[object]:
    joints = skin.get("joints")
    if not isinstance(joints, list) or not 0 < len(joints) <= _MAX_SKIN_JOINTS:
        damaged("a skin's joints are not a list of a usable length")
    return joints


def _roles(skin: Table, nodes: list[Table]) -> list[str]:
    """The WebXR joint that each of the skin's joints is or, for an extra one, hangs on; the wrist when on none."""
    parents: dict[int, int] = {}
    for number, node in enumerate(nodes):
        children = node.get("children", [])
        parents.update({c: number for c in children if isinstance(c, int)} if isinstance(children, list) else {})
    known = {*WEBXR_JOINTS, *WEBXR_METACARPALS}
    roles = []
    for joint in _skin_joints(skin):
        place: int | None = joint if isinstance(joint, int) else None
        # Damaged files may hang a node on itself, so the climb is bounded.
        for _ in range(_MAX_SKIN_JOINTS):
            if place is None or _name(nodes[place]) in known:
                break
            place = parents.get(place)
        roles.append("wrist" if place is None or _name(nodes[place]) not in known else _name(nodes[place]))
    return roles


def _columns(roles: list[str]) -> Integers:
    """For each of the skin's joints its column in RiggedHand.weights: 0 the wrist, k + 1 bone k."""
    columns = {"wrist": 0}
    for joint, name in enumerate(WEBXR_JOINTS[1:], 1):
        # WebXR's joints move the bone beyond them, and a tip the bone before it.
        columns[name] = joint if name.endswith("-tip") else joint + 1
    columns.update({name: 4 * finger + 1 for finger, name in enumerate(WEBXR_METACARPALS, 1)})
    return np.array([columns[role] for role in roles])


def _bind_matrices(file: GltfFile, skin: Table) -> Array:
    """(J, 4, 4) from each joint to the mesh's space, in the pose the mesh was made in."""
    if "inverseBindMatrices" not in skin:
        raise LumbricalError("has a skin without inverseBindMatrices, so its joints have no place; export it again")
    flat = file.array(skin["inverseBindMatrices"], ("MAT4",), _MAX_SKIN_JOINTS)
    inverse = flat.reshape(-1, 4, 4).transpose(0, 2, 1)
    if len(inverse) < len(_skin_joints(skin)) or not np.isfinite(inverse).all() or np.abs(inverse).max() > 1e9:
        damaged("its inverseBindMatrices are not usable")
    try:
        binds: Array = np.linalg.inv(inverse)
    except np.linalg.LinAlgError as error:
        raise LumbricalError("has a joint whose inverseBindMatrix cannot be inverted; export it again") from error
    return binds


def _joint_places(roles: list[str], nodes: list[Table], skin: Table, binds: Array) -> tuple[Array, Array]:
    """(21, 3) places and (21, 3, 3) axes, as unit columns, of the project's joints in the mesh's space."""
    own = [_name(chosen(nodes, joint, "node")) for joint in _skin_joints(skin)]
    order = [own.index(name) for name in WEBXR_JOINTS]
    joints, axes = binds[order, :3, 3], binds[order, :3, :3]
    if not (np.isfinite(joints).all() and np.abs(joints).max() < 1e6):
        damaged("a joint's place is not a usable number")
    return joints, axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)


def _backs(joints: Array, axes: Array) -> Array | None:
    """(20, 3) where the back of the hand is, seen from each bone; None when the joints' axes are not WebXR's."""
    near = np.array([0 if k % 4 == 0 else k for k in range(BONE_COUNT)])
    along = joints[1:JOINT_COUNT] - joints[near]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    phalanges = np.arange(BONE_COUNT) % 4 != 0
    agrees = np.einsum("ki,ki->k", along, -axes[near, :, 2])[phalanges] > _ALONG_BONE
    return axes[near, :, 1] if agrees.all() else None


def _skinned_mesh(
    file: GltfFile, nodes: list[Table], skin: int, columns: Integers
) -> tuple[FloatArray, Integers, FloatArray]:
    """All triangles that move with the skin: vertices (V, 3), faces (F, 3), weights (V, 21)."""
    parts: list[tuple[Array, Integers, Array]] = []
    first = 0
    for number in sorted({whole(n, "mesh") for n in nodes if n.get("skin") == skin and "mesh" in n}):
        primitives = chosen(file.tables("meshes"), number, "mesh").get("primitives")
        for primitive in primitives if isinstance(primitives, list) else []:
            part = _primitive(file, primitive, columns)
            parts.append((part[0], part[1] + first, part[2]))
            first += len(part[0])
            if first > MAX_VERTICES or sum(len(faces) for _, faces, _ in parts) > MAX_FACES:
                raise LumbricalError(f"has more than {MAX_VERTICES} vertices or {MAX_FACES} triangles; reduce its mesh")
    if not parts:
        raise LumbricalError("has no mesh that moves with the hand's skin; export mesh and armature together")
    vertices, faces, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return vertices, faces, weights


def _primitive(file: GltfFile, primitive: object, columns: Integers) -> tuple[Array, Integers, Array]:
    attributes = primitive.get("attributes") if isinstance(primitive, dict) else None
    if not isinstance(primitive, dict) or not isinstance(attributes, dict):
        damaged("a mesh has no attributes")
    if whole(primitive, "mode", _TRIANGLES) != _TRIANGLES:
        raise LumbricalError("has a mesh that is not made of triangles; export it triangulated")
    if not {"POSITION", "JOINTS_0", "WEIGHTS_0"} <= attributes.keys():
        raise LumbricalError("has a mesh without skin weights; export it with skinning on")
    vertices = file.array(attributes["POSITION"], ("VEC3",), MAX_VERTICES).astype(np.float64)
    if "indices" in primitive:
        indices = file.array(primitive["indices"], ("SCALAR",), 3 * MAX_FACES)[:, 0]
    else:
        indices = np.arange(len(vertices))
    if indices.dtype != np.int64 or len(indices) % 3 or indices.min() < 0 or indices.max() >= len(vertices):
        damaged("its triangles name vertices that are not there")
    weights = np.zeros((len(vertices), JOINT_COUNT))
    sets = 2 if {"JOINTS_1", "WEIGHTS_1"} <= attributes.keys() else 1
    for number in range(sets):
        joints = file.array(attributes[f"JOINTS_{number}"], ("VEC4",), MAX_VERTICES)
        shares = file.array(attributes[f"WEIGHTS_{number}"], ("VEC4",), MAX_VERTICES).astype(np.float64)
        if joints.shape != shares.shape or len(joints) != len(vertices) or joints.dtype != np.int64:
            damaged("its skin weights do not fit its vertices")
        if joints.min() < 0 or joints.max() >= len(columns):
            damaged("its skin weights name joints that are not there")
        np.add.at(weights, (np.arange(len(vertices))[:, None], columns[joints]), shares)
    return vertices, indices.reshape(-1, 3), weights
