"""A take's recorded poses beside the ones that are tracked now, frame by frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.runtime.interfaces import LiveResult
from app.runtime.session import LiveSession
from app.runtime.source_status import OpenedSource
from engine.takes.names import is_take
from engine.takes.reader import Take
from engine.types import JOINT_COUNT, LumbricalError

_NO_JOINTS = np.zeros((0, JOINT_COUNT, 3), np.float32)


@dataclass(frozen=True)
class ComparisonView:
    """recorded, tracked: the weights of both; now_mm: the mean distance of the joints in the present frame, mean_mm:
    over the `compared` frames of `frames` that were tracked with these weights; NaN where there is none."""

    recorded: str
    tracked: str
    now_mm: float
    mean_mm: float
    compared: int
    frames: int


class RecordedPoses:
    """joints_mm: (F, 21, 3) float32 for a take's F frames, NaN where no hand was tracked; weights: their version."""

    def __init__(self, joints_mm: NDArray[np.float32], weights: str) -> None:
        self.joints_mm = joints_mm
        self.weights = weights

    @classmethod
    def of_take(cls, path: Path) -> RecordedPoses:
        """Read them; without a row in joints_mm when the take has no poses. BadRecording when it cannot be read."""
        with Take(path) as take:
            poses = take.poses()
            kept = poses.tracked & (poses.frame >= 0)
            if not kept.any():
                return cls(_NO_JOINTS, "")
            joints = np.full((take.frame_count, JOINT_COUNT, 3), np.nan, np.float32)
            joints[poses.frame[kept]] = poses.joints_mm[kept]
            return cls(joints, ", ".join(sorted(set(poses.weights_version[kept].tolist()))))


class PoseComparison:
    """Listens to a session's results; while its source is a take with poses, compares both. put() never waits."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._loaded: tuple[OpenedSource, RecordedPoses] | None = None
        self._wanted: OpenedSource | None = None
        #: By version of the weights: (F,) mean distances, NaN where not compared.
        self._distances: dict[str, NDArray[np.float32]] = {}
        self._last: tuple[str, float] | None = None
        session.tracking.add_listener(self)

    def look(self) -> None:
        """Notice a change of the source, and read a take's poses on a thread of their own."""
        opened = self._session.capture.opened
        if opened is self._wanted:
            return
        self._wanted = opened
        with self._lock:
            self._loaded, self._last, self._distances = None, None, {}
        if opened is not None and not opened.is_live and is_take(Path(opened.spec)):
            threading.Thread(target=self._load, args=(opened,), name="lumbrical-poses", daemon=True).start()

    def _load(self, opened: OpenedSource) -> None:
        try:
            poses = RecordedPoses.of_take(Path(opened.spec))
        except LumbricalError:
            return  # playing it says what is wrong with it
        with self._lock:
            if opened is self._wanted and len(poses.joints_mm):
                self._loaded = (opened, poses)

    @property
    def available(self) -> bool:
        """Whether there are recorded poses to show."""
        return self._loaded is not None

    def put(self, live: LiveResult) -> bool:
        """A frame was tracked."""
        with self._lock:
            joints = self._joints(live)
            if joints is None or self._loaded is None:
                return True
            result, poses = live.result, self._loaded[1]
            now_mm = float("nan")
            if result.geometry is not None:
                now_mm = float(np.linalg.norm(result.geometry.joints - joints, axis=1).mean())
                version = result.weights_version
                if version not in self._distances:
                    self._distances[version] = np.full(len(poses.joints_mm), np.nan, np.float32)
                self._distances[version][result.frame.number % len(poses.joints_mm)] = now_mm
            self._last = (result.weights_version, now_mm)
            return True

    def close(self) -> None:
        """Nobody waits here."""

    def recorded(self, live: LiveResult) -> NDArray[np.float32] | None:
        """The joints (21, 3) mm, camera frame, that were recorded for a result's frame; None where there are none."""
        with self._lock:
            joints = self._joints(live)
            return joints if joints is not None and np.isfinite(joints).all() else None

    def _joints(self, live: LiveResult) -> NDArray[np.float32] | None:
        if self._loaded is None or live.epoch < self._loaded[0].epoch:
            return None
        joints = self._loaded[1].joints_mm
        # Played in a loop, numbers go on rising.
        return np.asarray(joints[live.result.frame.number % len(joints)])

    def view(self) -> ComparisonView | None:
        """The numbers to show; None while there is nothing to compare."""
        with self._lock:
            if self._loaded is None or self._last is None:
                return None
            poses = self._loaded[1]
            version, now_mm = self._last
            distances = self._distances.get(version)
            found = distances[np.isfinite(distances)] if distances is not None else _NO_JOINTS.ravel()
            mean_mm = float(found.mean()) if len(found) else float("nan")
            return ComparisonView(poses.weights, version, now_mm, mean_mm, len(found), len(poses.joints_mm))
