"""Building blocks of the scene: unit spheres, tubes between points, vertex normals, shading. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

#: Directions towards the lights, view frame (x right, y down, z forward), and their strengths.
_KEY = np.array([-0.45, -0.70, -0.55], np.float32)
_FILL = np.array([0.75, 0.15, -0.60], np.float32)
_KEY /= np.linalg.norm(_KEY)
_FILL /= np.linalg.norm(_FILL)
_RIM_COLOR = np.array([0.50, 0.66, 0.85], np.float32)


def unit_sphere(rings: int, segments: int) -> tuple[F32, I32]:
    """A sphere of radius 1: points (= normals) (rings * segments + 2, 3) and triangles facing outwards."""
    polar = np.pi * np.arange(1, rings + 1) / (rings + 1)
    around = 2 * np.pi * np.arange(segments) / segments
    sine = np.sin(polar)[:, None]
    body = np.stack(
        (sine * np.cos(around), np.broadcast_to(np.cos(polar)[:, None], (rings, segments)), sine * np.sin(around)), -1
    ).reshape(-1, 3)
    points = np.concatenate((body, [[0, 1, 0], [0, -1, 0]]))
    quads = _ring_quads(rings, segments)
    step = np.arange(segments)
    following = (step + 1) % segments
    last = (rings - 1) * segments
    top = np.stack((np.full(segments, len(body)), following, step), -1)
    bottom = np.stack((np.full(segments, len(body) + 1), last + step, last + following), -1)
    return points.astype(np.float32), np.concatenate((quads, top, bottom)).astype(np.int32)


def spheres(template: tuple[F32, I32], centers: F32, radii: F32) -> tuple[F32, F32]:
    """Points and normals (N * P, 3) of a template sphere copied to N centers (N, 3) with radii (N,) mm."""
    unit = template[0]
    points = centers[:, None] + unit * radii[:, None, None]
    normals = np.broadcast_to(unit, points.shape)
    return points.reshape(-1, 3), normals.reshape(-1, 3)


def tubes(starts: F32, ends: F32, start_radii: F32, end_radii: F32, segments: int) -> tuple[F32, F32]:
    """Points and normals (N * 2 * segments, 3) of N open tapered tubes; ring at the start first."""
    axis = ends - starts
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-6)
    side, other = _across(axis)
    around = (2 * np.pi * np.arange(segments) / segments).astype(np.float32)[:, None]
    ring: F32 = (np.cos(around) * side[:, None] + np.sin(around) * other[:, None]).astype(np.float32)
    points = np.stack(
        (starts[:, None] + ring * start_radii[:, None, None], ends[:, None] + ring * end_radii[:, None, None]), 1
    )
    return points.reshape(-1, 3), np.stack((ring, ring), 1).reshape(-1, 3)


def rings(centers: F32, radii: F32, width: float, eye: F32, segments: int) -> F32:
    """Points (N * 2 * segments, 3) of N flat rings that face the eye; outer circle first.

    radii: (N,) mm, of their middle lines; width: of their bands, as a share of the distance from the eye, so that near
    and far rings are drawn equally thick. Their triangles are tube_triangles'.
    """
    towards = eye - centers
    distance = np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-6)
    side, other = _across(towards / distance)
    around = (2 * np.pi * np.arange(segments) / segments).astype(np.float32)[:, None]
    spokes = np.cos(around) * side[:, None] + np.sin(around) * other[:, None]
    half = 0.5 * np.float32(width) * distance[..., None]
    middle = radii[:, None, None]
    inner = centers[:, None] + spokes * np.maximum(middle - half, 0)
    outer = centers[:, None] + spokes * (middle + half)
    return np.stack((outer, inner), 1).reshape(-1, 3)


def tube_triangles(segments: int) -> I32:
    """Triangles of one tube made by tubes()."""
    return _ring_quads(2, segments).astype(np.int32)


def repeat_triangles(triangles: I32, points: int, copies: int) -> I32:
    """The triangles of one template of so many points, for that many copies in a row."""
    offsets = (np.arange(copies, dtype=np.int32) * points)[:, None, None]
    return (triangles[None] + offsets).reshape(-1, 3)


def _across(axis: F32) -> tuple[F32, F32]:
    """Two unit vectors (N, 3) square to each unit axis (N, 3) and to each other."""
    helper = np.where(np.abs(axis[:, :1]) < 0.8, np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32))
    side = np.cross(axis, helper)
    unit: F32 = (side / np.linalg.norm(side, axis=-1, keepdims=True)).astype(np.float32)
    return unit, np.cross(axis, unit).astype(np.float32)


def _ring_quads(rings: int, segments: int) -> I32:
    ring = np.arange(rings - 1)[:, None] * segments
    here = np.arange(segments)[None]
    following = (here + 1) % segments
    a, b, c, d = ring + here, ring + following, ring + segments + here, ring + segments + following
    return np.concatenate((np.stack((a, b, c), -1).reshape(-1, 3), np.stack((b, d, c), -1).reshape(-1, 3)))


class NormalTable:
    """Vertex normals of a mesh whose triangles stay the same, by gathering face normals: no scatter, so it is fast."""

    def __init__(self, triangles: I32, vertex_count: int) -> None:
        corners = triangles.ravel()
        order = np.argsort(corners, kind="stable")
        counts = np.bincount(corners, minlength=vertex_count)
        width = int(counts.max(initial=1))
        # Unused places point at one extra face whose normal is zero.
        self._faces = np.full((vertex_count, width), len(triangles), np.int32)
        column = np.arange(len(corners)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._faces[corners[order], column] = order // 3
        self._triangles = triangles

    def normals(self, vertices: F32) -> F32:
        """Unit normals (V, 3), area-weighted."""
        a, b, c = (vertices[self._triangles[:, k]] for k in range(3))
        faces = np.zeros((len(self._triangles) + 1, 3), np.float32)
        u, v = b - a, c - a
        faces[:-1, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        faces[:-1, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        faces[:-1, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        sums = faces[self._faces].sum(1)
        return sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-9)


def shade(base: F32, points: F32, normals: F32, rotation: F32, eye: F32, gloss: float = 0.18, rim: float = 0.35) -> F32:
    """Colours (N, 3) of points lit softly from beside the viewer, in 0..1.

    base: (N, 3) or (3,) colour; normals: (N, 3) unit, world; rotation, eye: the view's pose, world to view.
    """
    facing = normals @ rotation.T
    towards = eye - points
    towards = (towards / np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-6)) @ rotation.T
    key = np.square(0.5 + 0.5 * (facing @ _KEY))
    fill = 0.5 + 0.5 * (facing @ _FILL)
    light = 0.16 + 0.74 * key + 0.22 * fill
    half = towards + _KEY
    half = half / np.linalg.norm(half, axis=-1, keepdims=True)
    shine = gloss * np.maximum((facing * half).sum(-1), 0) ** 28
    edge = rim * (1 - np.clip((facing * towards).sum(-1), 0, 1)) ** 3
    colors = base * light[:, None] + shine[:, None] + edge[:, None] * _RIM_COLOR
    return np.clip(colors, 0, 1).astype(np.float32)
