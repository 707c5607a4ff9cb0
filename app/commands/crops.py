"""`crops SOURCE… --out FILE.npz`: what `train` reads of recordings, so that it needs no reader of images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.whole_file import check_new_file, whole_file, written_to
from engine.types import JOINT_COUNT, DepthFrame, LumbricalError, Side

if TYPE_CHECKING:
    from engine.sensors.labels import SequenceLabels
    from engine.training.crops import Crops

#: Wrist and finger tips: what the paper has labelled, and where sets of labels differ least.
_SIX_JOINTS = (0, 4, 8, 12, 16, 20)
#: Nearer than the cube's half side and a little, or so far that tenths of a millimetre leave 16 bits.
_NEAREST_MM, _FARTHEST_MM = 160.0, 6000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `crops`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="sequence folder with joints_mm.npy; any recording with --joints 0",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="where the crops go")
    parser.add_argument(
        "--joints",
        type=int,
        choices=(0, 6, 21),
        default=6,
        help="labels to keep: of wrist and finger tips (6, the default), all 21, where they are placed as ours, or "
        "none, where the tracker finds the hand",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Cut every labelled frame's crop around its labels' mean, as the papers do, or every tracked one's, and write
    them."""
    from app.observing import observe
    from engine.sensors.labels import load_labels
    from engine.training.crops import joined, save_crops

    check_new_file("--out", args.out, (".npz",), args.force)
    if len({Path(source).resolve() for source in args.sources}) < len(args.sources):
        raise LumbricalError("a recording is given twice: its crops would count twice")
    kept = _SIX_JOINTS if args.joints == 6 else tuple(range(21))
    if args.joints:
        parts = [_crops(load_labels(Path(source)), kept) for source in args.sources]
    else:
        parts = [observe(source).crops() for source in args.sources]
    whole = joined(parts)
    with whole_file("--out", args.out) as temporary, written_to("--out", args.out):
        save_crops(temporary, whole)
    print(f"{len(whole.distance)} crops of {len(parts)} recordings, {args.joints} joints each: {args.out}")
    return 0


def _crops(labels: SequenceLabels, kept: tuple[int, ...]) -> Crops:
    """The labelled frames of one recording."""
    import torch

    from engine.hand.conventions import ANATOMICAL
    from engine.sensors.sequence_folder import SequenceFolder
    from engine.training.crops import MOST_CROPS, Crops

    if labels.joints_mm is None:
        raise LumbricalError(f"{labels.folder} has no joints_mm.npy: labels of joints in mm; without any: --joints 0")
    if labels.info.side is None:
        raise LumbricalError(f'{labels.folder}: sequence.json does not say the hand\'s side; add "side": "right"')
    if len(kept) == JOINT_COUNT and labels.joint_convention not in (None, ANATOMICAL):
        raise LumbricalError(
            f"{labels.folder}: its joints are those of {labels.joint_convention}, not ours: leave --joints 21 out"
        )
    cut: list[tuple[NDArray[np.float32], float, NDArray[np.float32]]] = []
    with SequenceFolder(labels.folder, color=False) as sensor:
        for number, joints in enumerate(labels.joints_mm):
            frame = sensor.read()
            if frame is None:
                raise LumbricalError(f"{labels.folder}: frame {number} could not be read")
            centre = joints[np.isfinite(joints).all(1)].mean(0) if np.isfinite(joints[list(kept)]).all() else None
            if centre is not None:
                if len(cut) == MOST_CROPS:
                    raise LumbricalError(f"{labels.folder} has more than {MOST_CROPS} labelled frames: split it")
                cut.append(_crop(frame, joints, centre, labels.info.side is Side.LEFT, labels.folder))
    if not cut:
        raise LumbricalError(f"{labels.folder} has no frame whose joints are all labelled")
    depth, distance, joints = (np.stack(part).astype(np.float32) for part in zip(*cut, strict=True))
    joints[:, [joint for joint in range(joints.shape[1]) if joint not in kept]] = np.nan
    print(f"{labels.folder}: {len(cut)} of {labels.info.frame_count} frames", file=sys.stderr)
    return Crops(torch.from_numpy(depth), torch.from_numpy(distance), torch.from_numpy(joints))


def _crop(
    frame: DepthFrame, joints: NDArray[np.float32], centre: NDArray[np.float32], mirrored: bool, folder: Path
) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    """Depth (128, 128) mm, infinite where nothing was seen; distance; joints (21, 3) from the cube's centre."""
    from engine.localise.crop import cut, look_at
    from engine.methods.gaussian.encoder import HALF_CUBE_MM

    distance = float(np.linalg.norm(centre))
    if not (centre[2] > 0 and _NEAREST_MM < distance < _FARTHEST_MM):
        raise LumbricalError(
            f"{folder}: a hand's joints lie {distance:.0f} mm from the camera's centre, z {centre[2]:.0f} mm; hands "
            f"between {_NEAREST_MM:.0f} and {_FARTHEST_MM:.0f} mm in front of it can be used"
        )
    window = look_at(centre, mirrored)
    scaled = cut(frame, window)
    depth = np.where(scaled < 1, window.distance + HALF_CUBE_MM * scaled, np.inf)
    canonical = joints * np.array([-1.0 if mirrored else 1.0, 1.0, 1.0], np.float32)
    seen = canonical @ window.rotation.T - np.array([0, 0, window.distance], np.float32)
    return depth.astype(np.float32), window.distance, seen.astype(np.float32)
