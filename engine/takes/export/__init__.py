"""Motion for other programs: export_motion writes one of EXPORT_KINDS, whole or not at all."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.hand.template import HandTemplate, load_template
from engine.takes.export.bvh import write_bvh
from engine.takes.export.files import check_target, whole_file, whole_folder
from engine.takes.export.gltf import write_gltf
from engine.takes.export.meshes import write_meshes
from engine.takes.export.results import load_results
from engine.takes.export.tables import write_csv, write_npz
from engine.takes.motion import Motion
from engine.types import LumbricalError

__all__ = ["EXPORT_KINDS", "ExportKind", "Exported", "check_export", "export_motion", "kind_of", "load_results"]


@dataclass(frozen=True)
class ExportKind:
    """A kind of export as a command line lists it. suffix: how its files end, "" for a folder."""

    name: str
    suffix: str
    summary: str


_MOST_FPS = 10_000
#: All kinds, by name; of two with one suffix the first is meant by it.
EXPORT_KINDS: dict[str, ExportKind] = {
    kind.name: kind
    for kind in (
        ExportKind("bvh", ".bvh", "skeleton, mm, y up; bones change as tracked (position channels on every joint)"),
        ExportKind("bvh-rigid", ".bvh", "skeleton, mm, y up; one shape for the clip, positions on the wrist only"),
        ExportKind("glb", ".glb", "animated skinned mesh (glTF), metres, y up, joints named as in WebXR"),
        ExportKind("csv", ".csv", "a row a frame: joints, their uncertainty, theta, beta, thickness; camera frame, mm"),
        ExportKind("npz", ".npz", "the same as NumPy arrays"),
        ExportKind("ply", "", "a folder of meshes, one binary PLY a frame; camera frame, mm"),
    )
}


@dataclass(frozen=True)
class Exported:
    """What an export wrote. byte_count: of the file, or of all files in the folder."""

    path: Path
    kind: ExportKind
    frames: int
    lost_frames: int
    byte_count: int


def kind_of(path: Path, kind: str | None = None) -> ExportKind:
    """The kind asked for by name, or else by the path's suffix. LumbricalError where there is none or they differ."""
    suffixes = {one.suffix for one in EXPORT_KINDS.values() if one.suffix}
    suffix = path.suffix.lower()
    if kind is not None:
        chosen = EXPORT_KINDS.get(kind)
        if chosen is None:
            raise LumbricalError(f"there is no kind {kind!r} of export: choose from {', '.join(EXPORT_KINDS)}")
        if chosen.suffix and suffix != chosen.suffix:
            raise LumbricalError(f"{path}: the name of a {kind} file must end in {chosen.suffix}")
        if not chosen.suffix and suffix in {*suffixes, ".ply"}:
            raise LumbricalError(f"{path}: {kind} writes a folder of meshes: give a name without {path.suffix}")
        return chosen
    for one in EXPORT_KINDS.values():
        if one.suffix and suffix == one.suffix:
            return one
    if suffix == ".ply":
        raise LumbricalError(f"{path}: there is one mesh a frame: name a folder and the kind ply")
    raise LumbricalError(
        f"{path}: its name must end in {', '.join(sorted(suffixes))}; or name a folder and the kind ply"
    )


def check_export(path: Path, kind: str | None = None, *, force: bool = False) -> ExportKind:
    """Raise LumbricalError where export_motion could not write in the end: to be told before long work begins."""
    chosen = kind_of(path, kind)
    check_target(path, chosen.suffix, force)
    return chosen


def export_motion(
    motion: Motion,
    path: Path,
    kind: str | None = None,
    *,
    force: bool = False,
    fps: float | None = None,
    template: HandTemplate | None = None,
) -> Exported:
    """Write the motion to `path`, which is there whole or not at all.

    kind: a name of EXPORT_KINDS; None goes by the suffix. force: replace an older file, or folder of meshes.
    fps: frames are evenly spaced by this instead of by the device's clock. template: the user's own hand for glb and
    ply; None is the project's.
    Raises LumbricalError where the path cannot be written, or the motion does not give what the kind needs.
    """
    chosen = check_export(path, kind, force=force)
    if len(motion) == 0:
        raise LumbricalError("the motion has no frames: there is nothing to export")
    if fps is not None:
        motion = _evenly_timed(motion, fps)
    if not chosen.suffix:
        with whole_folder(path, force) as folder:
            write_meshes(motion, folder, template or load_template())
            size = sum(file.stat().st_size for file in folder.iterdir())
    else:
        with whole_file(path, force) as temporary:
            _write(motion, temporary, chosen, template)
            size = temporary.stat().st_size
    return Exported(path, chosen, len(motion), motion.lost_count, size)


def _write(motion: Motion, path: Path, kind: ExportKind, template: HandTemplate | None) -> None:
    if kind.name == "glb":
        write_gltf(motion, path, template or load_template())
    elif kind.name == "csv":
        write_csv(motion, path)
    elif kind.name == "npz":
        write_npz(motion, path)
    else:
        write_bvh(motion, path, rigid=kind.name == "bvh-rigid")


def _evenly_timed(motion: Motion, fps: float) -> Motion:
    if not (math.isfinite(fps) and 0 < fps <= _MOST_FPS):
        raise LumbricalError(f"{fps:g} frames a second is no usable rate: give a number above 0, {_MOST_FPS:,} at most")
    return dataclasses.replace(motion, device_time_s=motion.device_time_s[0] + np.arange(len(motion)) / fps)
