"""Find hands in a whole depth frame with a small network, through ONNX Runtime.

The frame is downsampled to 160 x 128 pixels (engine/localise/frames.py). The network gives, per cell of 4 x 4 pixels,
how likely a palm's centre lies there, where exactly, at which depth, and where the middle of the hand's joints is from
there (engine/localise/network.py; trained on rendered scenes only, configs/detector.toml).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.localise.frames import DETECTOR_VERSION, INPUT_HEIGHT, INPUT_WIDTH, downsample
from engine.types import DepthFrame, LumbricalError

DEFAULT_WEIGHTS = Path(__file__).parents[2] / "assets" / "weights" / "detector.onnx"
_MAX_FILE_BYTES = 32 * 2**20
#: Two palms cannot be nearer to each other than this, mm.
_APART_MM = 70.0
#: How many cells around a peak have a vote on the hand's place, to each side, and within which depth of the peak's.
_VOTERS, _SAME_DEPTH_MM = 2, 60.0
_NEAREST_MM, _FARTHEST_MM = 80.0, 2500.0

Array = NDArray[np.float32]


@dataclass(frozen=True)
class HandCandidate:
    """A hand that may be there. centre_mm: (3,) mean of the 21 joints, the crop's centre; palm_mm: (3,) the palm's
    centre (mean of joints 0, 5, 9, 13, 17); both in the camera frame. score: 0 to 1."""

    centre_mm: Array
    palm_mm: Array
    score: float


class HandDetector:
    """Loaded weights. Not for use from two threads at once."""

    def __init__(self, session: Any, metadata: dict[str, Any]) -> None:
        self._session = session
        #: What the weights' file says of itself: version, images, seed, training configuration.
        self.metadata = metadata
        self.threshold = float(metadata.get("threshold", 0.3))

    @staticmethod
    def load(path: Path = DEFAULT_WEIGHTS, threads: int = 1) -> HandDetector:
        """Read weights; LumbricalError when the file is missing, holds no detector or is of another version."""
        path = Path(path)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise LumbricalError(
                f"{path}: no detector weights there ({error.strerror}); train them: "
                "python main.py train configs/detector.toml"
            ) from error
        if not 0 < size <= _MAX_FILE_BYTES:
            raise LumbricalError(f"{path}: {size} bytes cannot be detector weights; restore the file that is shipped")
        session = _open_session(path, threads)
        return HandDetector(session, _checked_metadata(path, session))

    def detect(self, frame: DepthFrame, limit: int = 4) -> list[HandCandidate]:
        """At most `limit` candidates by falling score; none when the frame shows no hand. Deterministic."""
        small, focal, principal = downsample(frame)
        if not small.any():
            return []
        feeds = {"depth": small[None, None], "focal": np.array([focal], np.float32)}
        score, u, v, z, shift = (part[0] for part in self._session.run(None, feeds))
        places = np.concatenate((u[None], v[None], z[None], shift))
        candidates: list[HandCandidate] = []
        for row, column in _peaks(score, self.threshold):
            column_px, row_px, depth, *way = _vote(score, places, row, column)
            if not _NEAREST_MM < depth < _FARTHEST_MM:
                continue
            tangents = (np.array([column_px, row_px]) - principal) / focal
            palm = np.array([tangents[0] * depth, tangents[1] * depth, depth], np.float32)
            if any(np.linalg.norm(palm - known.palm_mm) < _APART_MM for known in candidates):
                continue
            candidates.append(HandCandidate(palm + np.array(way, np.float32), palm, float(score[row, column])))
            if len(candidates) == limit:
                break
        return candidates


def _peaks(score: Array, threshold: float) -> list[tuple[int, int]]:
    """Cells above the threshold that no neighbour exceeds, by falling score."""
    padded = np.pad(score, 1, constant_values=-1.0)
    height, width = score.shape
    around = np.max([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    rows, columns = np.nonzero((score >= around) & (score > threshold))
    order = np.argsort(-score[rows, columns], kind="stable")
    return [(int(rows[i]), int(columns[i])) for i in order]


def _vote(score: Array, places: Array, row: int, column: int) -> list[float]:
    """What a peak and the cells around it say of the hand's place (6,), weighted by their squared scores.

    Cells that mean another depth, and so another thing, have no vote.
    """
    rows = slice(max(0, row - _VOTERS), row + _VOTERS + 1)
    columns = slice(max(0, column - _VOTERS), column + _VOTERS + 1)
    near = np.abs(places[2, rows, columns] - places[2, row, column]) < _SAME_DEPTH_MM
    weight = np.square(score[rows, columns]) * near
    mean: list[float] = ((places[:, rows, columns] * weight).sum((1, 2)) / weight.sum()).tolist()
    return mean


def _open_session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own types, which have no common public base
        raise LumbricalError(f"{path} is not an ONNX network; restore the file that is shipped") from error


def _checked_metadata(path: Path, session: Any) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get("lumbrical", "")
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("kind") != "detector":
        raise LumbricalError(f"{path} holds no hand detector; restore the file that is shipped")
    if metadata.get("version") != DETECTOR_VERSION:
        raise LumbricalError(
            f"{path} is of version {metadata.get('version')}, this program reads version {DETECTOR_VERSION}; "
            "train again: python main.py train configs/detector.toml"
        )
    shape = next((tuple(i.shape) for i in session.get_inputs() if i.name == "depth"), None)
    if shape != (1, 1, INPUT_HEIGHT, INPUT_WIDTH):
        raise LumbricalError(f"{path}: its input is {shape}, not (1, 1, {INPUT_HEIGHT}, {INPUT_WIDTH}); train it again")
    threshold = metadata.get("threshold", 0.3)
    if not isinstance(threshold, float) or not 0 < threshold < 1:
        raise LumbricalError(f"{path}: its threshold is {str(threshold)[:20]}, not between 0 and 1; train it again")
    return metadata
