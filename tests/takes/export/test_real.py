"""A real recording, tracked, exported and read back with other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pytest
import trimesh

from engine.hand.imports.webxr import WEBXR_JOINTS
from engine.sensors.protocol import EndOfStream
from engine.sensors.sequence_folder import SequenceFolder
from engine.takes.export import export_motion
from engine.takes.motion import Motion
from engine.tracker import Tracker
from engine.types import JOINT_NAMES, FloatArray, Side, TrackingResult
from tests.takes.export.bvh_reader import read_bvh
from tests.takes.export.clips import y_up
from tests.takes.export.glb_reader import Glb

FRAMES = 17


@pytest.fixture(scope="module")
def results(shared_data: Path) -> list[TrackingResult]:
    found: list[TrackingResult] = []
    with SequenceFolder(shared_data / "real" / "open-hand") as sensor:
        tracker = Tracker()
        tracker.side = Side.RIGHT
        while True:
            try:
                frame = sensor.read()
            except EndOfStream:
                return found
            if frame is not None:
                found.append(tracker.track(frame))


@pytest.fixture(scope="module")
def motion(results: list[TrackingResult]) -> Motion:
    def rows(arrays: list[FloatArray | None], shape: tuple[int, ...]) -> FloatArray:
        return np.array([np.full(shape, np.nan) if array is None else array for array in arrays])

    parameters = [result.parameters for result in results]
    return Motion(
        side=Side.RIGHT,
        device_time_s=np.array([result.frame.device_time_s for result in results]),
        tracked=np.array([result.geometry is not None for result in results]),
        theta=rows([p.theta if p else None for p in parameters], (26,)),
        beta=rows([p.beta if p else None for p in parameters], (20,)),
        thickness=rows([p.thickness if p else None for p in parameters], (6,)),
        joints_mm=rows([r.geometry.joints if r.geometry else None for r in results], (21, 3)),
        joint_sigma_mm=rows([r.joint_sigma_mm for r in results], (21,)),
    )


def test_open_hand_as_gltf(results: list[TrackingResult], motion: Motion, tmp_path: Path) -> None:
    export_motion(motion, tmp_path / "open-hand.glb")
    glb = Glb(tmp_path / "open-hand.glb")
    places = glb.places()
    found = 1e3 * np.stack([places[name] for name in WEBXR_JOINTS], 1)
    assert len(glb.times()) == len(motion) == FRAMES and motion.tracked.sum() > 10
    assert np.linalg.norm(found - y_up(motion.joints_mm), axis=2)[motion.tracked].max() < 0.1
    model = y_up(np.stack([r.geometry.surface.vertices for r in results if r.geometry is not None]))
    off = np.linalg.norm(1e3 * glb.vertices()[motion.tracked] - model, axis=2)
    assert np.percentile(off, 95) < 0.1 and off.max() < 0.8
    scene: Any = trimesh.load(tmp_path / "open-hand.glb")
    assert set(WEBXR_JOINTS) <= set(scene.graph.nodes)


def test_open_hand_as_bvh(motion: Motion, tmp_path: Path) -> None:
    export_motion(motion, tmp_path / "open-hand.bvh")
    bvh = read_bvh(tmp_path / "open-hand.bvh")
    places = bvh.places()
    found = np.stack([places[name] for name in JOINT_NAMES], 1)
    assert len(bvh.rows) == FRAMES
    assert np.linalg.norm(found - y_up(motion.joints_mm), axis=2)[motion.tracked].max() < 0.1


def test_open_hand_as_meshes(results: list[TrackingResult], motion: Motion, tmp_path: Path) -> None:
    export_motion(motion, tmp_path / "meshes", "ply")
    for frame, result in enumerate(results):
        if result.geometry is not None:
            mesh = open3d.io.read_triangle_mesh(tmp_path / "meshes" / f"{frame:06d}.ply")
            np.testing.assert_allclose(np.asarray(mesh.vertices), result.geometry.surface.vertices, atol=0.01)
