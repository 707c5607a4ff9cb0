"""Sequence folders out of recordings, and what other programs make of their images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open3d
import pytest

from engine.sensors.labels import load_labels
from engine.sensors.sequence_folder import SequenceFolder
from engine.takes.convert.folder import write_folder
from engine.takes.convert.frames import all_frames, measured_fps
from engine.takes.reader import Take
from engine.takes.source import TakeSource
from engine.types import LumbricalError
from tests.takes.convert.memory import MemoryRecording
from tests.takes.make import make_frame, write_take

DEMO = Path(__file__).resolve().parents[3] / "assets" / "demo"


def test_images_and_joints_of_a_take(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 9, color=True)
    with Take(path) as take:
        poses = take.poses()
    with TakeSource(path) as source:
        done = write_folder(source, all_frames(source), tmp_path / "a", origin="SR305", poses=poses)
        assert done.frames == 9 and done.not_kept == ()
        source.seek(0)
        with SequenceFolder(tmp_path / "a") as folder:
            assert folder.side is source.side and folder.fps == 30 and folder.intrinsics == source.intrinsics
            for given, got in zip(all_frames(source), all_frames(folder), strict=True):
                assert np.array_equal(got.depth, given.depth) and got.color is not None and given.color is not None
                assert np.abs(got.color.astype(int) - given.color).max() < 6
    labels = load_labels(tmp_path / "a")
    assert labels.joints_mm is not None
    np.testing.assert_array_equal(np.isnan(labels.joints_mm).all((1, 2)), [False, False, True] * 3)
    np.testing.assert_array_equal(labels.joints_mm[0], poses.joints_mm[0])
    told = json.loads((tmp_path / "a" / "sequence.json").read_text())
    assert told["sensor"] == "SR305" and "not measured" in told["labels"] and "test-1" in told["labels"]


def test_joints_stay_with_their_frames_where_some_are_damaged(tmp_path: Path) -> None:
    path = write_take(tmp_path / "a.mcap", 40)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with Take(path) as take:
        poses = take.poses()
        left = [taken.frame.number for taken in take.frames()]
    assert 20 < len(left) < 40
    with TakeSource(path) as source:
        done = write_folder(source, all_frames(source), tmp_path / "a", poses=poses)
    assert done.frames == len(left) and "gap" in done.not_kept[0]
    joints = np.load(tmp_path / "a" / "joints_mm.npy", allow_pickle=False)
    rows = {int(frame): row for row, frame in enumerate(poses.frame)}
    np.testing.assert_array_equal(joints, poses.joints_mm[[rows[number] for number in left]])


def test_the_rate_is_measured_where_none_is_declared(tmp_path: Path) -> None:
    frames = [make_frame(number) for number in range(10)]
    with MemoryRecording(frames) as sensor:
        assert measured_fps(sensor) == pytest.approx(30)
        assert write_folder(sensor, all_frames(sensor), tmp_path / "a").frames == 10, "it is rewound"
    with MemoryRecording([replace(frame, device_time_s=1.0) for frame in frames]) as sensor:
        assert measured_fps(sensor) == 0
    with MemoryRecording(frames, fps=15) as sensor:
        assert measured_fps(sensor) == 15
        sensor._frame_count = 1_000_001
        with pytest.raises(LumbricalError, match="cannot number"):
            write_folder(sensor, all_frames(sensor), tmp_path / "b")


def test_open3d_reads_the_images(tmp_path: Path) -> None:
    """A PNG and sequence.json's numbers are all that Open3D needs for a point cloud, also as PLY."""
    with SequenceFolder(DEMO) as demo:
        frames = [next(all_frames(demo)) for _ in range(3)]
    with MemoryRecording(frames, fps=30) as sensor:
        write_folder(sensor, all_frames(sensor), tmp_path / "a")
    told = json.loads((tmp_path / "a" / "sequence.json").read_text())
    lens = told["intrinsics"]
    camera = open3d.camera.PinholeCameraIntrinsic(*(lens[name] for name in ("width", "height", "fx", "fy", "cx", "cy")))
    for number, frame in enumerate(frames):
        image = open3d.io.read_image(tmp_path / "a" / "depth" / f"{number:06d}.png")
        assert np.asarray(image).dtype == np.uint16
        cloud = open3d.geometry.PointCloud.create_from_depth_image(
            image, camera, depth_scale=1 / told["depth_unit_m"], depth_trunc=100.0
        )
        v, u = np.nonzero(frame.depth)
        z = frame.depth_mm()[v, u].astype(float)
        given = np.stack([(u - lens["cx"]) * z / lens["fx"], (v - lens["cy"]) * z / lens["fy"], z], 1)
        np.testing.assert_allclose(1000 * np.asarray(cloud.points), given, atol=0.01)
        open3d.io.write_point_cloud(tmp_path / "cloud.ply", cloud)
        again = open3d.io.read_point_cloud(tmp_path / "cloud.ply")
        np.testing.assert_allclose(np.asarray(again.points), np.asarray(cloud.points), atol=1e-6)
        assert np.array_equal(np.asarray(image), frame.depth)
