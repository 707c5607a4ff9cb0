"""The hand's rest-pose surface, read from assets/ and checked."""

from __future__ import annotations

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


def load_template(path: Path = DEFAULT_TEMPLATE) -> HandTemplate:
    """Read a template; LumbricalError when the file is missing or is not one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in HandTemplate.__dataclass_fields__}
    except (OSError, KeyError, ValueError) as error:
        raise LumbricalError(
            f"{path} is not a hand template ({error}); rebuild it: tools/build_hand_mesh.py"
        ) from error
    template = HandTemplate(**arrays)
    count = len(template.vertices)
    shapes = (template.normals.shape, template.bone_weights.shape, template.thickness_weights.shape)
    if shapes != ((count, 3), (count, BONE_COUNT), (count, THICKNESS_SIZE)) or not 0 < count <= _MAX_VERTICES:
        raise LumbricalError(f"{path}: arrays do not fit together: {count} vertices, {shapes}")
    if template.faces.ndim != 2 or template.faces.min() < 0 or template.faces.max() >= count:
        raise LumbricalError(f"{path}: triangles name vertices that are not there")
    return template
