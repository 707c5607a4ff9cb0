"""A foreign rigged hand, whatever its file, and its way into the project's rest pose.

Foreign hands differ from the project's in pose, size, side and in where their joints are. What is done about each:

Side. A left hand is mirrored. It is known from the joints' axes or, without those, from the thumb, which lies to the
palm's side of the hand's plane.
Tips. Files put their tips anywhere between the last joint and the skin; the project's tips are the skin's end. The
end is looked up in the mesh.
Wrist. It is no hinge here, only the place that the palm's bones start from, and every file has its own idea of where
that is. It slides along the middle ray until the palm is as long as it should be for a hand with such fingers.
Thumb. Its first joint hides in the flesh and is as far out as a file likes; it slides along its metacarpal likewise.
Size. One scale, from the lengths of the four fingers, for everything; then each bone takes its mean length along
itself.
Pose. Every bone's frame in the file is turned into its frame at rest; the skin follows by linear blend skinning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.model import rest_pose
from engine.hand.skeleton import Skeleton
from engine.hand.template import HandTemplate
from engine.types import BONE_COUNT, JOINT_NAMES, JOINT_PARENTS, FloatArray, LumbricalError, Side

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: More than any hand needs; the app poses every vertex in every frame.
MAX_VERTICES = 50_000
MAX_FACES = 100_000
_WEIGHTS_PER_VERTEX = 4
_PARENTS = np.array(JOINT_PARENTS[1:])
_PALM_BONES = np.arange(0, BONE_COUNT, 4)
_PHALANGES = np.array([k for k in range(4, BONE_COUNT) if k % 4])
_PALM_JOINTS = [0, 5, 9, 13, 17]
_WRIST, _THUMB_CMC, _INDEX, _MIDDLE, _LITTLE = 0, 1, 5, 9, 17
_PALM_DIRECTION = np.array([0.0, 0.0, -1.0])
#: A tip this far from the skin's end, as a part of the last bone's length, is taken to be meant there.
_TIP_TOLERANCE = 0.1
#: The thumb's joints and the finger tips must together lie this far off the palm's plane, as a part of the hand.
_CLEAR_SIDE = 0.01
_MOST_STRETCH = 4.0
_MOST_REACH_MM = 500.0


@dataclass(frozen=True)
class RiggedHand:
    """A hand as a file has it, in any unit, pose and frame.

    vertices (V, 3); faces (F, 3); weights (V, 21), column 0 for what moves with the wrist, k + 1 with bone k;
    joints (21, 3) in the project's order. backs (20, 3): for each bone the direction of the hand's back (the nail's
    side), or None when the file does not say.
    """

    vertices: FloatArray
    faces: Integers
    weights: FloatArray
    joints: FloatArray
    backs: FloatArray | None = None


@dataclass(frozen=True)
class _Rest:
    """The skeleton at rest: joints (21, 3) mm, frames (20, 3, 3) bone to wrist frame, lengths (20,) mm."""

    joints: Array
    frames: Array
    lengths: Array


def fit_to_skeleton(hand: RiggedHand, named: Side | None = None) -> HandTemplate:
    """The hand as a right hand in the skeleton's rest pose with mean bone lengths.

    named: the side that the file's name speaks of; it counts only where the hand itself does not show it.
    Raises LumbricalError, to be put behind the file's name, when the joints are not those of a hand.
    """
    pose = rest_pose(Skeleton(torch.float64))
    rest = _Rest(*(t[0].numpy() for t in (pose.joints, pose.rotations, pose.bone_lengths)))
    _check_joints(hand)
    hand = _on_the_skin(_welded(_as_right(hand, named)))
    size = rest.lengths[_PHALANGES].sum() / _lengths(hand.joints)[_PHALANGES].sum()
    hand = _scaled(hand, size, rest)
    stretch = rest.lengths / _lengths(hand.joints)
    if not (stretch.max() < _MOST_STRETCH and stretch.min() > 1 / _MOST_STRETCH):
        bone = int(np.abs(np.log(stretch)).argmax())
        ends = f"{JOINT_NAMES[_PARENTS[bone]]} to {JOINT_NAMES[bone + 1]}"
        raise LumbricalError(f"is not built like a hand: {ends} is {1 / stretch[bone]:.2g} times as long as usual")
    weights = _bone_weights(hand)
    vertices = _posed(hand, weights, stretch, rest)
    if np.abs(vertices).max() > _MOST_REACH_MM:
        raise LumbricalError(f"reaches {np.abs(vertices).max() / 10:.0f} cm from its wrist; export the hand alone")
    faces = _turned_outwards(vertices, hand.faces)
    return HandTemplate(
        vertices.astype(np.float32),
        _normals(vertices, faces).astype(np.float32),
        faces.astype(np.int32),
        weights.astype(np.float32),
        _thickness_weights(weights).astype(np.float32),
    )


def _lengths(joints: FloatArray) -> Array:
    """(20,) the bones' lengths."""
    return np.asarray(np.linalg.norm(joints[1:] - joints[_PARENTS], axis=1), np.float64)


def _directions(joints: FloatArray) -> Array:
    """(20, 3) the bones' directions, away from the wrist."""
    return np.asarray((joints[1:] - joints[_PARENTS]) / _lengths(joints)[:, None], np.float64)


def _check_joints(hand: RiggedHand) -> None:
    lengths = _lengths(hand.joints)
    if not (np.isfinite(lengths).all() and lengths.max() > 0):
        raise LumbricalError("has joints that are all in one place")
    if lengths.min() < 1e-4 * lengths.max():
        bone = int(lengths.argmin())
        ends = f"{JOINT_NAMES[_PARENTS[bone]]} and {JOINT_NAMES[bone + 1]}"
        raise LumbricalError(f"has two joints in one place, {ends}; its rig must be posed like a hand")
    if (hand.weights.sum(1) <= 0.01).any() or hand.weights.min() < 0:
        raise LumbricalError("has vertices that no joint moves; give every vertex a weight")
    palm = np.linalg.svd(hand.joints[_PALM_JOINTS] - hand.joints[_PALM_JOINTS].mean(0), compute_uv=False)
    if palm[1] < 1e-2 * palm[0]:
        raise LumbricalError("has its knuckles and wrist in one line; its rig must be posed like a hand")


def _as_right(hand: RiggedHand, named: Side | None) -> RiggedHand:
    """The hand itself, or its mirror image when it is a left one."""
    joints = hand.joints
    distal, radial = joints[_MIDDLE] - joints[_WRIST], joints[_INDEX] - joints[_LITTLE]
    back_if_right = np.cross(distal, radial)
    back_if_right /= np.linalg.norm(back_if_right)
    if hand.backs is not None:
        is_left = float(hand.backs[_PHALANGES].sum(0) @ back_if_right) < 0
    else:
        thumb = (joints[1:5] - joints[_WRIST]).mean(0)
        curl = (joints[8::4] - joints[5::4]).mean(0)
        off_plane = float((thumb + curl) @ back_if_right) / float(np.linalg.norm(distal))
        is_left = off_plane > 0
        if abs(off_plane) < _CLEAR_SIDE:
            if named is None:
                raise LumbricalError(
                    "does not show whether it is left or right; put left or right into the file's name"
                )
            is_left = named is Side.LEFT
    if not is_left:
        return hand
    mirror = np.array([-1.0, 1.0, 1.0])
    backs = None if hand.backs is None else hand.backs * mirror
    return replace(hand, vertices=hand.vertices * mirror, joints=joints * mirror, backs=backs)


def _welded(hand: RiggedHand) -> RiggedHand:
    """One vertex for all that share a place (files split them where texture or shading jumps); only those in use."""
    used = np.unique(hand.faces)
    _, first, place = np.unique(hand.vertices[used], axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    number = np.full(len(hand.vertices), -1)
    number[used] = rank[place.ravel()]
    kept = used[first[order]]
    faces = number[hand.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    if len(faces) < 4:
        raise LumbricalError("has a mesh without any extent")
    weights = hand.weights[kept]
    return replace(hand, vertices=hand.vertices[kept], faces=faces, weights=weights / weights.sum(1, keepdims=True))


def _on_the_skin(hand: RiggedHand) -> RiggedHand:
    """The tips moved along their bones to where the skin ends."""
    joints = np.array(hand.joints, np.float64)
    directions, lengths = _directions(joints), _lengths(joints)
    for bone in range(3, BONE_COUNT, 4):
        own = hand.vertices[hand.weights[:, bone + 1] > 0.5]
        if len(own) == 0:
            raise LumbricalError(f"has no vertices that follow the bone before {JOINT_NAMES[bone + 1]}")
        end = float(((own - joints[bone]) @ directions[bone]).max())
        if abs(end - lengths[bone]) > _TIP_TOLERANCE * lengths[bone] and end > 0:
            joints[bone + 1] = joints[bone] + end * directions[bone]
    return replace(hand, joints=joints)


def _scaled(hand: RiggedHand, size: float, rest: _Rest) -> RiggedHand:
    """The hand in mm at the size of the mean hand, with palm and thumb metacarpal at their proper lengths."""
    joints = size * hand.joints
    for near, far in ((_WRIST, _MIDDLE), (_THUMB_CMC, _THUMB_CMC + 1)):
        ray = joints[near] - joints[far]
        joints[near] = joints[far] + ray * (rest.lengths[far - 1] / np.linalg.norm(ray))
    return replace(hand, vertices=size * hand.vertices, joints=joints)


def _bone_weights(hand: RiggedHand) -> Array:
    """(V, 20) rows that sum to one, at most four not zero.

    What moves with the wrist is shared out among the palm's bones, most to those that are near. Where weights have to
    go, palm and phalanges keep their proportion, which is what shows when a finger bends.
    """
    weights = np.array(hand.weights[:, 1:], np.float64)
    palm = weights[:, _PALM_BONES] + hand.weights[:, :1] * _palm_shares(hand)
    phalanges = np.delete(weights, _PALM_BONES, axis=1)
    kept = _strongest(np.concatenate((palm.sum(1, keepdims=True), phalanges), 1), np.array(_WEIGHTS_PER_VERTEX))
    palm = _strongest(palm, _WEIGHTS_PER_VERTEX - np.count_nonzero(kept[:, 1:], axis=1))
    weights = np.empty_like(weights)
    weights[:, _PALM_BONES] = kept[:, :1] * palm
    weights[:, np.delete(np.arange(BONE_COUNT), _PALM_BONES)] = kept[:, 1:]
    return weights


def _palm_shares(hand: RiggedHand) -> Array:
    """(V, 5) how near each of the palm's bones is to a vertex; rows sum to one."""
    start = hand.joints[_WRIST]
    near = np.empty((len(hand.vertices), len(_PALM_BONES)))
    for column, bone in enumerate(_PALM_BONES):
        ray = hand.joints[bone + 1] - start
        along = np.clip((hand.vertices - start) @ ray / (ray @ ray), 0, 1)
        # 6 mm added in quadrature: at the wrist, where all bones begin, the shares must not jump.
        near[:, column] = np.square(hand.vertices - start - along[:, None] * ray).sum(1) + 36.0
    shares = near**-2.0
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float64)


def _strongest(weights: Array, count: NDArray[np.int_]) -> Array:
    """Each row's `count` largest weights, scaled to a sum of one; rows of nothing stay so."""
    rank = np.argsort(np.argsort(-weights, axis=1, kind="stable"), axis=1)
    kept = np.where(rank < np.broadcast_to(count, len(weights))[:, None], weights, 0.0)
    total = kept.sum(1, keepdims=True)
    return np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)


def _posed(hand: RiggedHand, weights: Array, stretch: Array, rest: _Rest) -> Array:
    """(V, 3) mm: the vertices carried from the file's pose to rest."""
    scale = np.ones((BONE_COUNT, 3))
    scale[:, 1] = stretch
    linear = (rest.frames * scale[:, None]) @ _frames_in_file(hand, rest).transpose(0, 2, 1)
    shift = rest.joints[_PARENTS] - np.einsum("kij,kj->ki", linear, hand.joints[_PARENTS])
    posed = weights @ shift
    for bone in range(BONE_COUNT):
        posed += weights[:, bone, None] * (hand.vertices @ linear[bone].T)
    return posed


def _frames_in_file(hand: RiggedHand, rest: _Rest) -> Array:
    """(20, 3, 3) the bones' frames in the file's pose: y along the bone, z to its flexor side."""
    along, turn = _directions(hand.joints), _turn_to_rest(hand.joints, rest)
    frames = np.empty((BONE_COUNT, 3, 3))
    current = turn
    for bone in range(BONE_COUNT):
        if bone % 4 == 0:
            frames[bone] = _frame(along[bone], _PALM_DIRECTION @ turn)
            current = turn
        elif hand.backs is not None:
            frames[bone] = _frame(along[bone], -hand.backs[bone])
        else:
            # Without axes, each finger is unbent bone by bone from the palm outwards, with no twist.
            current = _swing(current @ along[bone], rest.frames[bone][:, 1]) @ current
            frames[bone] = current.T @ rest.frames[bone]
    return frames


def _turn_to_rest(joints: FloatArray, rest: _Rest) -> Array:
    """(3, 3) the rotation that lays wrist and knuckles best on those at rest (Kabsch)."""
    ours, theirs = (j[_PALM_JOINTS] - j[_PALM_JOINTS].mean(0) for j in (rest.joints, joints))
    u, _, vt = np.linalg.svd(ours.T @ theirs)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt, np.float64)


def _frame(y: Array, towards_z: FloatArray) -> Array:
    """A frame with y as given and z as near to towards_z as that allows."""
    z = towards_z - (towards_z @ y) * y
    length = float(np.linalg.norm(z))
    if length < 1e-3:
        raise LumbricalError("has joint axes that do not say which side of a finger its back is")
    z = z / length
    return np.stack((np.cross(y, z), y, z), 1)


def _swing(start: Array, end: Array) -> Array:
    """(3, 3) the shortest turn that takes one unit vector to another."""
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -0.99:
        raise LumbricalError("has a bone that points backwards; its rig must be posed like an open hand")
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + cosine), np.float64)


def _turned_outwards(vertices: Array, faces: Integers) -> Integers:
    """The triangles in the order that makes the enclosed volume positive (an open wrist does not matter)."""
    a, b, c = (vertices[faces[:, i]] - vertices.mean(0) for i in range(3))
    return faces if float(np.einsum("ij,ij->", a, np.cross(b, c))) >= 0 else faces[:, ::-1].copy()


def _normals(vertices: Array, faces: Integers) -> Array:
    """(V, 3) unit normals, each the mean of the triangles around it by area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12), np.float64)


def _thickness_weights(bone_weights: Array) -> Array:
    """(V, 6) palm, thumb, index, middle, ring, little: every finger takes what its own bones move."""
    fingers = bone_weights.reshape(-1, 5, 4)[:, :, 1:].sum(2)
    return np.concatenate((bone_weights[:, _PALM_BONES].sum(1, keepdims=True), fingers), 1)
