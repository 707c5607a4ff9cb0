"""Takes beside sequence folders: they have no labels, so only what needs none is measured on them."""

from __future__ import annotations

from pathlib import Path

from engine.sensors.labels import SequenceLabels, load_labels
from engine.sensors.protocol import BadRecording, Sensor
from engine.sensors.sequence_folder import SequenceFolder, SequenceInfo
from engine.takes.names import is_take
from engine.takes.reader import Take
from engine.takes.source import TakeSource
from engine.takes.words import counted


def read_labels(path: Path) -> SequenceLabels:
    """The labels of a sequence folder, or none for a take. Raises BadRecording for what is damaged."""
    if not is_take(path):
        return load_labels(path)
    with Take(path) as take:
        first = None
        readable = 0
        for taken in take.frames(color=False):
            first = first or taken.frame
            readable += 1
        if first is None:
            raise BadRecording(f"{path} holds no frames that can be read")
        if readable < take.frame_count:
            lost = counted(take.frame_count - readable, "frame")
            raise BadRecording(f"{path} is damaged, it lost {lost}: `main.py recover` it first")
        info = SequenceInfo(
            intrinsics=first.intrinsics,
            depth_unit_mm=first.depth_unit_mm,
            fps=take.fps,
            side=take.info.side,
            frame_count=readable,
            joint_convention=None,
            extra={"sensor": take.info.sensor},
        )
    return SequenceLabels(path, info, joints_mm=None, palm_uv=None, joints_uv_2d=None, bone_lengths_mm=None)


def open_frames(path: Path) -> Sensor:
    """The frames of what read_labels read, not opened yet."""
    return TakeSource(path, color=False) if is_take(path) else SequenceFolder(path, color=False)
