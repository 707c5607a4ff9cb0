"""Joints from files that others wrote: one numpy array, several in an .npz, or what `track --out` leaves.

What an array means follows from names alone, by rules that docs/results.md states (see `JointFile`). Nothing is
unpickled, and no declared size is believed before it was held against the file's own.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import unproject
from engine.npy_header import DAMAGE, read_npy_header
from engine.types import JOINT_COUNT, FloatArray, Intrinsics, LumbricalError

Array = NDArray[np.float64]

#: The name `track --out` gives its joints, and sequence folders theirs.
TRACKED_KEY = "joints_mm"
TRUTH_KEY = "ground_truth"
NYU_CAMERA = Intrinsics(640, 480, 588.03, 587.07, 320.0, 240.0)
#: Frames of the NYU test set, and the first of them that shows its second subject.
NYU_TEST_FRAMES, NYU_SECOND_SUBJECT = 8252, 2440
NYU_JOINTS = 36
_NYU_WRIST, _NYU_THUMB, _NYU_FINGERS = 35, (29, 27, 25, 26, 24), (18, 12, 6, 0)

_SUFFIXES = (".npz", ".npy", ".jsonl")
#: Half a million frames of 21 joints; as float64 some 250 MB.
_MAX_VALUES = 32_000_000
_MAX_JSON_LINE = 1 << 20
#: No pixel and no mm of a hand's place is beyond it: such values are another unit, or damage.
_LARGEST = 1e5


@dataclass(frozen=True)
class JointFile:
    """One array of one file. key: its name in an .npz, None in files that hold one array only.

    Its name is the key, or the file's name without suffix. A name (of array or file) that ends in "uvd" says that
    joints are column and row in pixels and depth in mm; all others are mm in the camera's frame.
    """

    path: Path
    key: str | None

    @property
    def name(self) -> str:
        return self.path.stem if self.key is None else self.key

    @property
    def is_uvd(self) -> bool:
        if self.name == TRACKED_KEY:
            return False
        return self.name.lower().endswith("uvd") or self.path.stem.lower().endswith("uvd")

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}:{self.key}"


@dataclass(frozen=True)
class DataSet:
    """What is known of the frames that files are about. camera: of joints in u, v, d, None where there is none."""

    camera: Intrinsics | None
    is_nyu: bool

    @staticmethod
    def of(truth: JointFile, intrinsics: Intrinsics | None = None) -> DataSet:
        """A ground truth whose file's name begins with "nyu" is the NYU data set's, whose camera is known."""
        is_nyu = truth.path.name.lower().startswith("nyu")
        return DataSet(NYU_CAMERA if is_nyu and intrinsics is None else intrinsics, is_nyu)

    def camera_of(self, file: JointFile) -> Intrinsics | None:
        """The camera that turns a file's u, v, d into mm, None for a file in mm. LumbricalError if it is not known."""
        if file.is_uvd and self.camera is None:
            raise LumbricalError(f"{file} is in u, v, d by its name: give the camera, --intrinsics fx,fy,cx,cy")
        return self.camera if file.is_uvd else None


def find_truth(text: str) -> JointFile:
    """The one array that FILE[:KEY] names; of an .npz without KEY "ground_truth", "joints_mm" or the only one.

    Raises LumbricalError for a file that is missing, damaged or of another kind, and where there is more than one.
    """
    path, key = _split(text)
    if path.suffix.lower() != ".npz":
        return JointFile(path, None)
    keys = _keys(path)
    if key is None:
        known = [name for name in (TRUTH_KEY, TRACKED_KEY) if name in keys] or keys
        if len(known) > 1 and known[0] not in (TRUTH_KEY, TRACKED_KEY):
            raise LumbricalError(f"{path} holds {_listed(keys)}: say which is the ground truth, as {path}:{keys[0]}")
        key = known[0]
    return JointFile(path, _checked_key(path, key, keys))


def find_predictions(text: str, truth: JointFile) -> list[JointFile]:
    """The arrays that FILE[:KEY] names; of an .npz without KEY "joints_mm", or else all but the ground truth.

    An .npz that holds nothing but the ground truth is compared with itself. Raises as `find_truth`.
    """
    path, key = _split(text)
    if path.suffix.lower() != ".npz":
        return [JointFile(path, None)]
    keys = _keys(path)
    if key is not None:
        return [JointFile(path, _checked_key(path, key, keys))]
    if TRACKED_KEY in keys:
        return [JointFile(path, TRACKED_KEY)]
    is_truths_file = path.samefile(truth.path)
    others = [name for name in keys if name != TRUTH_KEY and not (is_truths_file and name == truth.key)]
    return [JointFile(path, name) for name in others or keys]


def load_joints(file: JointFile, data_set: DataSet) -> Array:
    """(N, J, 3) mm in the camera's frame, x right, y down, z forward; NaN where a joint has no position.

    NYU's 36 joints are reduced to the project's 21. Raises LumbricalError for arrays of another shape, type or size,
    joints that are NaN in part, not in front of the camera, or beyond reason, and for u, v, d without a camera.
    """
    values = _read_jsonl(file) if file.path.suffix.lower() == ".jsonl" else _read_numpy(file)
    unknown = np.isnan(values)
    if (unknown.any(-1) != unknown.all(-1)).any():
        raise LumbricalError(f"{file} has joints that are NaN in part: a joint is whole, or NaN where it is not known")
    if unknown.all():
        raise LumbricalError(f"{file} holds nothing but NaN")
    if np.nanmax(np.abs(values)) > _LARGEST:
        raise LumbricalError(f"{file} has values over {_LARGEST:g}, or infinite ones: joints are in mm, or u, v, d")
    camera = data_set.camera_of(file)
    if camera is not None:
        if (values[..., 2] <= 0).any():
            raise LumbricalError(f"{file} has depths of 0 or less: joints that are not known must be NaN")
        values = unproject(values[..., :2], values[..., 2], camera)
    return nyu_joints_21(values) if data_set.is_nyu and values.shape[1] == NYU_JOINTS else values


def nyu_joints_21(joints: FloatArray) -> Array:
    """The 21 of NYU's 36 joints (N, 36, 3) that stand for the project's, (N, 21, 3), in the project's order.

    The joint before a tip is the middle of the two that NYU's hand has there.
    """
    joints = np.asarray(joints, float)
    mcp, pip, dip, dip_too, tip = _NYU_THUMB
    hands = [joints[:, _NYU_WRIST], joints[:, mcp], joints[:, pip]]
    hands += [joints[:, [dip, dip_too]].mean(1), joints[:, tip]]
    for tip in _NYU_FINGERS:
        hands += [joints[:, tip + 5], joints[:, tip + 3], joints[:, tip + 1 : tip + 3].mean(1), joints[:, tip]]
    return np.stack(hands, 1)


def _split(text: str) -> tuple[Path, str | None]:
    """FILE and KEY; a name with a colon in it that exists is a FILE."""
    path, key = Path(text), None
    before, colon, after = text.rpartition(":")
    if not path.exists() and colon and Path(before).suffix.lower() in _SUFFIXES:
        path, key = Path(before), after
    if not path.exists():
        raise LumbricalError(f"{path} does not exist: give an .npz, .npy or .jsonl file of joints")
    if not path.is_file() or path.suffix.lower() not in _SUFFIXES:
        raise LumbricalError(f"{path} is not an .npz, .npy or .jsonl file of joints")
    if key is not None and path.suffix.lower() != ".npz":
        raise LumbricalError(f"{path} has no array {key!r}: only an .npz file has names; leave :{key} out")
    return path, key


def _checked_key(path: Path, key: str, keys: list[str]) -> str:
    if key not in keys:
        raise LumbricalError(f"{path} has no array {key!r}, it holds {_listed(keys)}")
    return key


def _listed(keys: list[str], most: int = 8) -> str:
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Whatever numpy and zipfile say of a file that is not what its name says, in one line."""
    try:
        yield
    except OSError as error:
        raise LumbricalError(f"{path} cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise LumbricalError(f"{path} is not a whole {path.suffix} file: copy or write it again") from error


def _keys(path: Path) -> list[str]:
    """The names of an .npz file's arrays, in its order."""
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    if not keys:
        raise LumbricalError(f"{path} holds no arrays")
    if not all(key.isprintable() for key in keys):
        raise LumbricalError(f"{path} has arrays whose names cannot be printed: name them in plain words")
    return keys


def _read_numpy(file: JointFile) -> Array:
    """An .npy file's, or one member's, values; its header is checked before they are allocated."""
    with _damage_told(file.path):
        if file.key is None:
            with file.path.open("rb") as stream:
                return _read_array(file, stream, file.path.stat().st_size)
        with zipfile.ZipFile(file.path) as archive:
            member = archive.getinfo(f"{file.key}.npy")
            with archive.open(member) as stream:
                return _read_array(file, stream, member.file_size)


def _read_array(file: JointFile, stream: IO[bytes], size: int) -> Array:
    """Values of an array whose header and values take so many bytes of the seekable stream."""
    shape, dtype = read_npy_header(stream)
    if dtype.hasobject:
        raise LumbricalError(f"{file} holds pickled Python objects, which are never loaded: save an array of numbers")
    if len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise LumbricalError(f"{file} has shape {shape}: joints are (frames, joints, 3)")
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise LumbricalError(f"{file} holds {dtype} values: joints must be float32 or float64")
    if math.prod(shape) > _MAX_VALUES:
        raise LumbricalError(f"{file} declares {shape[0]} x {shape[1]} joints: more than can be compared at once")
    if stream.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError("its size is not what the header says")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), np.float64)


def _read_jsonl(file: JointFile) -> Array:
    """The joints of every line that `track --out FILE.jsonl` wrote, NaN where a frame was not tracked."""
    frames: list[Array] = []
    with _damage_told(file.path), file.path.open("rb") as stream:
        while line := stream.readline(_MAX_JSON_LINE):
            if (len(frames) + 1) * JOINT_COUNT * 3 > _MAX_VALUES:
                raise LumbricalError(f"{file} has more frames than can be compared at once")
            frames.append(_line_joints(file, len(frames) + 1, line))
    if not frames:
        raise LumbricalError(f"{file} is empty")
    return np.stack(frames)


def _line_joints(file: JointFile, number: int, line: bytes) -> Array:
    try:
        record: dict[str, Any] = json.loads(line)
        joints = record[TRACKED_KEY]
        values = np.full((JOINT_COUNT, 3), np.nan) if joints is None else np.asarray(joints, np.float64)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LumbricalError(f"{file}: line {number} is not a result as `track --out` writes it") from error
    if values.shape != (JOINT_COUNT, 3):
        raise LumbricalError(f"{file}: line {number} has joints_mm of shape {values.shape}, not {(JOINT_COUNT, 3)}")
    return values
