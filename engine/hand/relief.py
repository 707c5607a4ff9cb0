"""A surface that is one person's own: the template's, raised and lowered by a few millimetres along its normals.

What bones, thickness and the looseness of skin cannot tell of a hand is smooth: a ball of the thumb that stands out, a
back of the hand that is flatter, fingers that are broader than deep. So it is told by few numbers, heights at places
spread over the surface, each of which fades out over its neighbourhood; palm and back are no neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.hand.template import HandTemplate, load_template
from engine.types import FloatArray

#: Places at which a relief is told, over how many mm each fades out, and what a unit normal's difference counts, mm.
RELIEF_SIZE = 120
_REACH_MM, _NORMAL_MM = 9.0, 20.0
#: No relief is higher or deeper, mm.
MOST_RELIEF_MM = 6.0


@cache
def relief_weights() -> NDArray[np.float32]:
    """(V, RELIEF_SIZE) by how much each height moves each vertex of the shipped template; rows sum to one."""
    template = load_template()
    features = np.concatenate((template.vertices, _NORMAL_MM * template.normals), 1).astype(np.float64)
    places = [int(((template.vertices - template.vertices.mean(0)) ** 2).sum(1).argmin())]
    nearest = _apart(features, places[0])
    while len(places) < RELIEF_SIZE:
        places.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _apart(features, places[-1]))
    weights = np.stack([np.exp(-_apart(features, place) / (2 * _REACH_MM**2)) for place in places], 1)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _apart(features: FloatArray, place: int) -> NDArray[np.float64]:
    return np.asarray(((features - features[place]) ** 2).sum(1))


@dataclass(frozen=True)
class RaisedTemplate(HandTemplate):
    """A template with a relief. flat (V, 3): its vertices without it. Points are spread over it as over the flat one,
    so that residuals with and without a relief are those of the same points."""

    flat: FloatArray

    @property
    def spread(self) -> FloatArray:
        return self.flat


def raised(template: HandTemplate, relief: FloatArray) -> RaisedTemplate:
    """The template with heights (RELIEF_SIZE,) mm; its vertices must be those of the shipped one, moved or not."""
    heights = relief_weights() @ relief.astype(np.float32)
    vertices = (template.vertices + heights[:, None] * template.normals).astype(np.float32)
    normals = vertex_normals(vertices, template)
    return RaisedTemplate(
        vertices, normals, template.faces, template.bone_weights, template.thickness_weights, template.spread
    )


def vertex_normals(vertices: FloatArray, template: HandTemplate) -> NDArray[np.float32]:
    """(V, 3) outward units, averaged over the triangles by area; the template's own where there is none."""
    a, b, c = (vertices[template.faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, template.faces[:, corner], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-6, normals / np.maximum(length, 1e-6), template.normals).astype(np.float32)
