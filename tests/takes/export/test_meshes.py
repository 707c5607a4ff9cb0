"""A mesh a frame, read back with Open3D and trimesh: the hand model's own, inside its skin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pytest
import trimesh

from engine.hand.hand import HandModel
from engine.takes.export import export_motion
from engine.takes.motion import Motion
from engine.types import FloatArray, LumbricalError, Side
from tests.takes.export.clips import LOST, fields_of, moving_hand, parameters_of


def _posed(motion: Motion, frame: int) -> FloatArray:
    geometry = HandModel()(parameters_of(motion, frame))
    return (geometry.mirrored() if motion.side is Side.LEFT else geometry).surface.vertices


@pytest.mark.parametrize("side", list(Side))
def test_meshes_are_the_models(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    told = export_motion(motion, tmp_path / "meshes", "ply")
    names = sorted(file.name for file in (tmp_path / "meshes").iterdir())
    assert names == [f"{frame:06d}.ply" for frame in range(24) if frame not in LOST]
    assert told.byte_count == sum(file.stat().st_size for file in (tmp_path / "meshes").iterdir())
    for frame in (2, 12):
        path = tmp_path / "meshes" / f"{frame:06d}.ply"
        mesh = open3d.io.read_triangle_mesh(path)
        np.testing.assert_allclose(np.asarray(mesh.vertices), _posed(motion, frame), atol=1e-3)
        assert len(mesh.triangles) == len(HandModel().faces)
        again: Any = trimesh.load(path, process=False)
        np.testing.assert_allclose(again.vertices, _posed(motion, frame), atol=1e-3)
        assert again.volume > 1e5 and again.is_watertight


def test_no_hand_no_folder(tmp_path: Path) -> None:
    motion = Motion(**(fields_of(moving_hand()) | {"tracked": np.zeros(24, np.bool_)}))
    with pytest.raises(LumbricalError, match="no hand in any of its 24 frames"):
        export_motion(motion, tmp_path / "meshes", "ply")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_500_000})())
    with pytest.raises(LumbricalError, match=r"needs [2-9] MB, 2 MB are free"):
        export_motion(moving_hand(), tmp_path / "meshes", "ply")
    assert list(tmp_path.iterdir()) == []
