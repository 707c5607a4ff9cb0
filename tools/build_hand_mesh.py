"""Builds assets/hand/template.npz: the hand's mesh and skinning weights, from the volumes in engine/hand/surface.py.

Run from anywhere: `python tools/build_hand_mesh.py [--out FILE]`. Needs scikit-image, which the app does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.hand.skeleton import Skeleton  # noqa: E402
from engine.hand.surface import (  # noqa: E402
    STUB_LENGTH_MM,
    WEB_REACH,
    RestHand,
    finger_body,
    hand_body,
    local_coordinates,
)
from engine.types import BETA_SIZE, BONE_COUNT, THETA_SIZE, THICKNESS_SIZE  # noqa: E402
from tools.remeshing import remesh  # noqa: E402

TEMPLATE = ROOT / "assets" / "hand" / "template.npz"
REMESH_ROUNDS = 8
GRID_MM = 1.25
_BLOCK = 200_000
#: How far the palm holds the skin midway between two fingers back when they bend.
_WEB_HOLD = 0.3
_WEB_ROUNDS = 4

Array = NDArray[np.float64]
Faces = NDArray[np.int64]


def rest_hand() -> RestHand:
    """The skeleton with mean bone lengths and all angles zero, rounded so that the last bits of torch do not matter."""
    pose = Skeleton(torch.float64)(
        torch.zeros(1, THETA_SIZE, dtype=torch.float64), torch.zeros(1, BETA_SIZE, dtype=torch.float64)
    )
    joints, rotations, lengths = (
        np.round(value[0].numpy(), 9) for value in (pose.joints, pose.rotations, pose.bone_lengths)
    )
    return RestHand(joints, rotations, lengths)


def distance(points: Array, hand: RestHand) -> Array:
    """Distance of points (N, 3) to the hand, a block at a time, (N,) mm."""
    return np.concatenate([hand_body(points[i : i + _BLOCK], hand) for i in range(0, len(points), _BLOCK)])


def marching_cubes(hand: RestHand) -> tuple[Array, Faces]:
    """The hand's surface as a fine triangle mesh: vertices (N, 3) mm, faces (M, 3) turned outwards."""
    from skimage.measure import marching_cubes as extract

    low = np.floor(hand.joints.min(0) - 26.0)
    high = np.ceil(hand.joints.max(0) + 26.0)
    high[1] = STUB_LENGTH_MM + 4.0
    axes = [np.arange(a, b + GRID_MM, GRID_MM) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    values = distance(grid.reshape(-1, 3), hand).reshape(grid.shape[:3])
    vertices, faces, _, _ = extract(values, 0.0, spacing=(GRID_MM,) * 3)
    vertices, faces = vertices.astype(np.float64) + low, faces.astype(np.int64)
    return vertices, faces if signed_volume(vertices, faces) > 0 else faces[:, ::-1].copy()


def signed_volume(vertices: Array, faces: Faces) -> float:
    """Volume in mm3 of a closed mesh; negative when its triangles are turned inwards."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def wanted_edge(points: Array, hand: RestHand) -> Array:
    """Edge length the mesh should have at points (N, 3), (N,) mm: short on fingers and at their bends, long on palm."""
    size = np.full(len(points), 5.4)
    for finger in range(5):
        _, s, _ = local_coordinates(points, hand.finger_origin(finger), hand.finger_frame(finger))
        _, second, third, tip = hand.finger_stations(finger)
        on_finger = 1.0 - smooth_step(finger_body(points, hand, finger), 0.5, 4.0)
        bend = np.minimum(np.abs(s - second), np.abs(s - third))
        fine = 3.9 - 0.7 * (1.0 - smooth_step(bend, 3.0, 9.0)) - 0.9 * smooth_step(s, tip - 18.0, tip - 4.0)
        on_finger = on_finger * smooth_step(s, -4.0, 0.5 * second)
        size = np.minimum(size, size + on_finger * (fine - size))
    return size


def gradient(points: Array, hand: RestHand) -> Array:
    """Slope of the distance at points (N, 3) by central differences, (N, 3)."""
    step = 0.05
    columns = []
    for i in range(3):
        shift = np.zeros(3)
        shift[i] = step
        columns.append((distance(points + shift, hand) - distance(points - shift, hand)) / (2 * step))
    return np.stack(columns, -1)


def neighbour_mean(values: Array, faces: Faces) -> Array:
    """Mean of the values (N, C) over each vertex's neighbours, (N, C)."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    total = np.stack([np.bincount(both[:, 0], values[both[:, 1], c], len(values)) for c in range(values.shape[1])], -1)
    return total / np.bincount(both[:, 0], minlength=len(values))[:, None]


def relax(vertices: Array, faces: Faces, hand: RestHand, rounds: int) -> Array:
    """Even out the triangles: move vertices to their neighbours' mean along the surface, then back onto it."""
    for _ in range(rounds):
        slope = gradient(vertices, hand)
        length = np.maximum(np.sqrt((slope * slope).sum(1, keepdims=True)), 0.2)
        normal = slope / length
        step = 0.5 * (neighbour_mean(vertices, faces) - vertices)
        vertices = vertices + step - normal * (step * normal).sum(1, keepdims=True)
        off = distance(vertices, hand)[:, None] / length
        vertices = vertices - normal * np.clip(off, -1.0, 1.0)
    return vertices


def vertex_normals(vertices: Array, faces: Faces) -> Array:
    """Unit outward normals, area-weighted, (N, 3)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(total, faces[:, i], face)
    return total / np.sqrt((total * total).sum(1, keepdims=True))


def smooth_step(x: Array, low: Array | float, high: Array | float) -> Array:
    """0 below low, 1 above high, a cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def finger_shares(vertices: Array, faces: Faces, hand: RestHand) -> Array:
    """How the four fingers share each vertex, (N, 4), rows sum to 1: whose body is nearest, then spread along the skin.

    Spreading along the skin blends the webs, yet never crosses the gap between two fingers.
    """
    nearest = np.argmin([finger_body(vertices, hand, finger) for finger in range(1, 5)], 0)
    shares = np.eye(4)[nearest]
    for _ in range(_WEB_ROUNDS):
        shares = 0.5 * (shares + neighbour_mean(shares, faces))
    return shares


def distance_to_segment(points: Array, start: Array, end: Array) -> Array:
    """Distance of points (N, 3) to a line segment, (N,) mm."""
    axis = end - start
    along = np.clip(((points - start) * axis).sum(1) / (axis * axis).sum(), 0.0, 1.0)
    apart = points - start - along[:, None] * axis
    return np.sqrt((apart * apart).sum(1))


def palm_shares(vertices: Array, hand: RestHand) -> Array:
    """How the five bones at the wrist share the palm, (N, 5), thumb first; below the wrist joint the four others."""
    near = np.stack([distance_to_segment(vertices, hand.joints[0], hand.finger_origin(f)) for f in range(5)], -1)
    share = 1.0 / (near * near + 16.0) ** 2
    share[:, 0] *= 1.0 - smooth_step(vertices[:, 1], -30.0, -10.0)
    share /= share.sum(1, keepdims=True)
    even = smooth_step(vertices[:, 1], -25.0, 0.0)[:, None]
    return even * np.array([0.0, 0.25, 0.25, 0.25, 0.25]) + (1.0 - even) * share


def chain_weights(vertices: Array, hand: RestHand, finger: int) -> Array:
    """Weights (N, 3) of a finger's three straight bones among themselves; rows sum to 1."""
    _, s, _ = local_coordinates(vertices, hand.finger_origin(finger), hand.finger_frame(finger))
    _, second, third, _ = hand.finger_stations(finger)
    first_bend = smooth_step(s, second - 5.5, second + 5.5)
    last_bend = smooth_step(s, third - 4.5, third + 4.5)
    return np.stack([1.0 - first_bend, first_bend * (1.0 - last_bend), first_bend * last_bend], -1)


def thumb_share(vertices: Array, hand: RestHand) -> Array:
    """How much a point moves with the thumb rather than the palm, (N,)."""
    origin, frame = hand.finger_origin(0), hand.finger_frame(0)
    _, s, _ = local_coordinates(vertices, origin, frame)
    _, second, _, tip = hand.finger_stations(0)
    to_thumb = distance_to_segment(vertices, origin, origin + frame[:, 1] * tip)
    to_palm = np.min([distance_to_segment(vertices, hand.joints[0], hand.joints[4 * f + 2]) for f in range(1, 5)], 0)
    nearer = smooth_step((to_palm - to_thumb) / (to_palm + to_thumb), -0.45, 0.5)
    above_wrist = 1.0 - smooth_step(vertices[:, 1], -14.0, 2.0)
    return nearer * smooth_step(s, -10.0, 0.8 * second) * above_wrist


def skinning_weights(vertices: Array, faces: Faces, hand: RestHand) -> tuple[Array, Array]:
    """Bone weights (N, 20) and thickness weights (N, 6) of linear blend skinning; rows sum to 1."""
    bones, thickness = np.zeros((len(vertices), BONE_COUNT)), np.zeros((len(vertices), THICKNESS_SIZE))
    shares, thumb = finger_shares(vertices, faces, hand), thumb_share(vertices, hand)
    # Two equal shares give 1, a single one 0.
    between_fingers = 2.0 * (shares * (1.0 - shares)).sum(1)
    bones[:, 1:4] = thumb[:, None] * chain_weights(vertices, hand, 0)
    thickness[:, 1] = thumb
    palm = 1.0 - thumb
    for finger in range(1, 5):
        _, s, w = local_coordinates(vertices, hand.finger_origin(finger), hand.finger_frame(finger))
        pulp = smooth_step(w, -6.0, 8.0)
        share = shares[:, finger - 1] * (1.0 - thumb)
        moves = share * smooth_step(s, -6.0 - 3.0 * pulp, 9.0 + 9.0 * pulp) * (1.0 - _WEB_HOLD * between_fingers)
        bones[:, 4 * finger + 1 : 4 * finger + 4] = moves[:, None] * chain_weights(vertices, hand, finger)
        thickness[:, 1 + finger] = share * smooth_step(s, 2.0, 2.0 + WEB_REACH * hand.finger_stations(finger)[1])
        palm = palm - moves
    bones[:, 0::4] = np.maximum(palm, 0.0)[:, None] * palm_shares(vertices, hand)
    thickness[:, 0] = np.maximum(1.0 - thickness[:, 1:].sum(1), 0.0)
    return strongest(bones, 4), thickness


def strongest(weights: Array, count: int) -> Array:
    """Each row's `count` largest weights, the rest zero, summing to 1 again."""
    order = np.argsort(-weights, axis=1, kind="stable")
    kept = weights.copy()
    np.put_along_axis(kept, order[:, count:], 0.0, axis=1)
    return kept / kept.sum(1, keepdims=True)


def build(hand: RestHand) -> dict[str, NDArray[np.generic]]:
    """Everything template.npz holds, by key."""
    vertices, faces = marching_cubes(hand)
    vertices, faces = remesh(
        vertices, faces, lambda points: wanted_edge(points, hand), lambda v, f: relax(v, f, hand, 3), REMESH_ROUNDS
    )
    bone_weights, thickness_weights = skinning_weights(vertices, faces, hand)
    return {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "bone_weights": bone_weights.astype(np.float32),
        "thickness_weights": thickness_weights.astype(np.float32),
        "normals": vertex_normals(vertices, faces).astype(np.float32),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the hand's mesh and skinning weights from its volumes.")
    parser.add_argument("--out", type=Path, default=TEMPLATE, help="where to write (default: assets/hand/template.npz)")
    out: Path = parser.parse_args().out
    try:
        template = build(rest_hand())
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **template)
    except ModuleNotFoundError as error:
        print(f"{error}: install it with `pip install scikit-image`", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot write {out}: {error.strerror}; choose another file with --out", file=sys.stderr)
        return 2
    volume = signed_volume(template["vertices"].astype(np.float64), template["faces"].astype(np.int64)) / 1000
    print(f"{out}: {len(template['vertices'])} vertices, {len(template['faces'])} triangles, {volume:.0f} cm3")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
