"""The hand's rest-pose surface, read from assets/ and checked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.types import BONE_COUNT, THICKNESS_SIZE, FloatArray, LumbricalError

DEFAULT_TEMPLATE = Path(__file__).parents[2] / "assets" / "hand" / "template.npz"
_MAX_VERTICES = 200_000


@dataclass(frozen=True)
class HandTemplate:
    """A right hand at theta = 0 with mean bone lengths, wrist frame, mm.

    vertices (V, 3), normals (V, 3) outward units, faces (F, 3) counter-clockwise seen from outside,
    bone_weights (V, 20) and thickness_weights (V, 6) with rows that sum to one.
    """

    vertices: FloatArray
    normals: FloatArray
    faces: NDArray[np.int32]
    bone_weights: FloatArray
    thickness_weights: FloatArray

    @property
    def spread(self) -> FloatArray:
        """(V, 3) vertices by the areas of whose triangles points are spread over the surface."""
        return self.vertices


def load_template(path: Path = DEFAULT_TEMPLATE) -> HandTemplate:
    """Read a template; LumbricalError when the file is missing or is not one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in HandTemplate.__dataclass_fields__}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LumbricalError(
            f"{path} is not a hand template ({error}); rebuild it: tools/build_hand_mesh.py"
        ) from error
    template = HandTemplate(**arrays)
    points = (template.vertices, template.normals, template.bone_weights, template.thickness_weights)
    count, shapes = template.vertices.size // 3, tuple(array.shape for array in points)
    if shapes != ((count, 3), (count, 3), (count, BONE_COUNT), (count, THICKNESS_SIZE)) or count > _MAX_VERTICES:
        raise LumbricalError(f"{path}: arrays do not fit together: {shapes}; rebuild it: tools/build_hand_mesh.py")
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in points):
        raise LumbricalError(f"{path}: not all its numbers are finite; rebuild it: tools/build_hand_mesh.py")
    triangles = template.faces.ndim == 2 and template.faces.shape[1:] == (3,) and template.faces.size > 0
    if not triangles or template.faces.dtype.kind not in "iu":
        raise LumbricalError(f"{path}: it has no triangles; rebuild it: tools/build_hand_mesh.py")
    if template.faces.min() < 0 or template.faces.max() >= count:
        raise LumbricalError(f"{path}: triangles name vertices that are not there")
    return template
