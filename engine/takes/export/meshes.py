"""A motion as one binary PLY mesh a frame, in mm and the camera's frame: it lies on the depth it was tracked in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.template import HandTemplate
from engine.takes.export.files import check_room
from engine.takes.export.posing import check_has_hand
from engine.takes.motion import Motion
from engine.types import Side

_CHUNK = 32


def write_meshes(motion: Motion, folder: Path, template: HandTemplate) -> None:
    """Write NNNNNN.ply into the folder for each tracked frame, numbered by its place in the clip; none for a lost one.

    Raises LumbricalError where the motion has no hand, and where the disk has no room for all of them.
    """
    check_has_hand(motion)
    triangles = _triangles(template, motion.side)
    header = _header(len(template.vertices), len(triangles))
    frames = np.flatnonzero(motion.tracked)
    check_room(folder.parent, len(frames) * (len(header) + template.vertices.size * 4 + triangles.nbytes))
    skeleton = Skeleton()
    skin = skin_of(template, skeleton)
    mirror = np.array([-1 if motion.side is Side.LEFT else 1, 1, 1], np.float32)
    for first in range(0, len(frames), _CHUNK):
        rows = frames[first : first + _CHUNK]
        theta, beta, thickness = (
            torch.tensor(array[rows], dtype=torch.float32) for array in (motion.theta, motion.beta, motion.thickness)
        )
        with torch.inference_mode():
            vertices = skin(skeleton(theta, beta), thickness)[0].numpy() * mirror
        for frame, mesh in zip(rows, vertices, strict=True):
            content = header + np.ascontiguousarray(mesh, "<f4").tobytes() + triangles.tobytes()
            (folder / f"{frame:06d}.ply").write_bytes(content)


def _triangles(template: HandTemplate, side: Side) -> NDArray[Any]:
    """As PLY has them: each with its count before it, counter-clockwise seen from outside."""
    faces = template.faces if side is Side.RIGHT else template.faces[:, ::-1]
    triangles = np.empty(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    triangles["count"], triangles["corners"] = 3, faces
    return triangles


def _header(vertices: int, triangles: int) -> bytes:
    lines = (
        "ply", "format binary_little_endian 1.0", "comment millimetres; x right, y down, z away from the camera",
        f"element vertex {vertices}", "property float x", "property float y", "property float z",
        f"element face {triangles}", "property list uchar int vertex_indices", "end_header",
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode("ascii")
