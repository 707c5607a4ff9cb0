"""Turns a fine closed triangle mesh into one with even triangles of wanted sizes: collapse, split and flip edges.

The scheme of Botsch & Kobbelt 2004, "A remeshing approach to multiresolution modeling", in plain Python: every step
visits edges in a fixed order, so that the same mesh gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Faces = NDArray[np.int64]
Point = tuple[float, float, float]
Triangle = tuple[int, int, int]

#: Edges outside these parts of their wanted length are collapsed or split.
SHORTEST, LONGEST = 0.78, 1.35
#: A triangle may turn by at most this cosine when an edge near it changes.
_LEAST_COSINE = 0.5


def _cross(a: Point, b: Point, c: Point) -> Point:
    x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    u, v, w = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return y * w - z * v, z * u - x * w, x * v - y * u


def _agree(before: Point, after: Point) -> bool:
    """Whether two face normals (of any length) point nearly the same way."""
    dot = before[0] * after[0] + before[1] * after[1] + before[2] * after[2]
    size = math.sqrt(
        (before[0] ** 2 + before[1] ** 2 + before[2] ** 2) * (after[0] ** 2 + after[1] ** 2 + after[2] ** 2)
    )
    return dot > _LEAST_COSINE * size


class Remesher:
    """A closed mesh whose edges can change. sizes: wanted edge length at each vertex, mm."""

    def __init__(self, vertices: Array, faces: Faces, sizes: Array) -> None:
        self.points: list[Point] = [(float(x), float(y), float(z)) for x, y, z in vertices]
        self.sizes: list[float] = [float(size) for size in sizes]
        self.triangles: dict[int, Triangle] = {i: (int(a), int(b), int(c)) for i, (a, b, c) in enumerate(faces)}
        self.around: list[set[int]] = [set() for _ in self.points]
        self.next_triangle = len(self.triangles)
        for number, triangle in self.triangles.items():
            for corner in triangle:
                self.around[corner].add(number)

    def arrays(self) -> tuple[Array, Faces]:
        """The mesh without the vertices that no triangle uses: vertices (N, 3), faces (M, 3)."""
        faces = np.array([self.triangles[i] for i in sorted(self.triangles)], np.int64)
        used, inverse = np.unique(faces, return_inverse=True)
        return np.array(self.points)[used], inverse.reshape(-1, 3)

    def ratio(self, a: int, b: int) -> float:
        """Length of an edge as a part of what is wanted there."""
        return math.dist(self.points[a], self.points[b]) * 2.0 / (self.sizes[a] + self.sizes[b])

    def edges(self) -> list[tuple[int, int]]:
        """Every edge once, lower vertex first, in order."""
        pairs = ((t[i], t[i - 1]) for t in self.triangles.values() for i in range(3))
        return sorted({(min(pair), max(pair)) for pair in pairs})

    def collapse_short_edges(self) -> None:
        """Merge the ends of edges that are too short, shortest first, where the surface stays as it is."""
        ranked = sorted((self.ratio(a, b), a, b) for a, b in self.edges())
        for ratio, a, b in ranked:
            if ratio >= SHORTEST:
                return
            if self.around[a] & self.around[b] and self.ratio(a, b) < SHORTEST:
                self._collapse(a, b)

    def split_long_edges(self) -> None:
        """Put a vertex into the middle of edges that are too long, longest first."""
        ranked = sorted((-self.ratio(a, b), a, b) for a, b in self.edges())
        for ratio, a, b in ranked:
            if -ratio <= LONGEST:
                return
            if len(self.around[a] & self.around[b]) == 2:
                self._split(a, b)

    def flip_edges(self) -> None:
        """Turn edges inside their two triangles where the angles across them sum to more than 180 degrees."""
        for a, b in self.edges():
            shared = sorted(self.around[a] & self.around[b])
            if len(shared) == 2:
                self._flip(a, b, shared[0], shared[1])

    def _middle(self, a: int, b: int) -> Point:
        p, q = self.points[a], self.points[b]
        return (p[0] + q[0]) / 2, (p[1] + q[1]) / 2, (p[2] + q[2]) / 2

    def _neighbours(self, vertex: int) -> set[int]:
        return {corner for t in self.around[vertex] for corner in self.triangles[t]} - {vertex}

    def _remove(self, number: int) -> None:
        for corner in self.triangles.pop(number):
            self.around[corner].discard(number)

    def _add(self, triangle: Triangle) -> None:
        self.triangles[self.next_triangle] = triangle
        for corner in triangle:
            self.around[corner].add(self.next_triangle)
        self.next_triangle += 1

    def _collapse(self, a: int, b: int) -> None:
        of_a, of_b = self._neighbours(a), self._neighbours(b)
        shared = self.around[a] & self.around[b]
        if len(of_a & of_b) != 2 or len(shared) != 2 or len(of_a | of_b) - 2 < 4:
            return
        middle = self._middle(a, b)
        size = (self.sizes[a] + self.sizes[b]) / 2
        if any(math.dist(middle, self.points[n]) > LONGEST * size for n in (of_a | of_b) - {a, b}):
            return
        changed = sorted((self.around[a] | self.around[b]) - shared)
        for number in changed:
            old = [self.points[corner] for corner in self.triangles[number]]
            new = [middle if corner in (a, b) else self.points[corner] for corner in self.triangles[number]]
            if not _agree(_cross(*old), _cross(*new)):
                return
        self.points[a], self.sizes[a] = middle, size
        moved = [self.triangles[number] for number in sorted(self.around[b] - shared)]
        for number in sorted(self.around[b]):
            self._remove(number)
        for x, y, z in moved:
            self._add((a if x == b else x, a if y == b else y, a if z == b else z))

    def _split(self, a: int, b: int) -> None:
        new = len(self.points)
        self.points.append(self._middle(a, b))
        self.sizes.append((self.sizes[a] + self.sizes[b]) / 2)
        self.around.append(set())
        for number in sorted(self.around[a] & self.around[b]):
            x, y, z = self.triangles[number]
            self._remove(number)
            for end in (a, b):
                self._add((new if x == end else x, new if y == end else y, new if z == end else z))

    def _flip(self, a: int, b: int, first: int, second: int) -> None:
        c, d = (next(v for v in self.triangles[t] if v not in (a, b)) for t in (first, second))
        if self.around[c] & self.around[d] or min(len(self.around[a]), len(self.around[b])) < 4:
            return
        if self._angle(c, a, b) + self._angle(d, a, b) <= math.pi + 1e-3:
            return
        x, y, z = self.triangles[first]
        if (a, b) not in ((x, y), (y, z), (z, x)):
            a, b = b, a
        # Now `first` runs a, b, c and `second` b, a, d; the flipped pair is a, d, c and d, b, c.
        old = [_cross(*(self.points[v] for v in self.triangles[t])) for t in (first, second)]
        pair = ((a, d, c), (d, b, c))
        new = [_cross(*(self.points[v] for v in triangle)) for triangle in pair]
        if all(_agree(o, n) for o in old for n in new):
            self._remove(first)
            self._remove(second)
            for triangle in pair:
                self._add(triangle)

    def _angle(self, corner: int, a: int, b: int) -> float:
        p, q, r = self.points[corner], self.points[a], self.points[b]
        u, v = [q[i] - p[i] for i in range(3)], [r[i] - p[i] for i in range(3)]
        sizes = math.hypot(*u) * math.hypot(*v)
        return math.acos(max(-1.0, min(1.0, sum(x * y for x, y in zip(u, v, strict=True)) / max(sizes, 1e-12))))


def remesh(
    vertices: Array,
    faces: Faces,
    wanted_size: Callable[[Array], Array],
    settle: Callable[[Array, Faces], Array],
    rounds: int,
) -> tuple[Array, Faces]:
    """Even triangles of a wanted size.

    wanted_size: edge length in mm at points (N, 3), (N,). settle: moves vertices along the surface towards even
    spacing and back onto it. The mesh must be closed and without handles; it stays so.
    """
    for _ in range(rounds):
        mesh = Remesher(vertices, faces, wanted_size(vertices))
        mesh.split_long_edges()
        mesh.collapse_short_edges()
        mesh.flip_edges()
        vertices, faces = mesh.arrays()
        vertices = settle(vertices, faces)
    return vertices, faces
