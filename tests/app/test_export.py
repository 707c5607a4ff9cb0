"""`export`, as typed, and the way from a recording to another program."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pytest
import trimesh

from app import cli
from app.config import DEMO_SOURCE
from engine.hand.imports.webxr import WEBXR_JOINTS
from engine.sensors.sequence_folder import SequenceFolder, write_sequence
from engine.takes.convert.frames import all_frames
from engine.takes.reader import Take
from engine.types import JOINT_NAMES, JOINT_PARENTS
from tests.takes.export.bvh_reader import read_bvh
from tests.takes.export.clips import y_up
from tests.takes.export.glb_reader import Glb
from tests.takes.make import write_take

DEMO_FRAMES = 8


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the demo take's first frames."""
    folder = tmp_path_factory.mktemp("demo") / "wave"
    with SequenceFolder(DEMO_SOURCE) as sensor:
        frames = [next(all_frames(sensor)) for _ in range(DEMO_FRAMES)]
        write_sequence(folder, frames, fps=sensor.fps, side=sensor.side)
    return folder


@pytest.fixture(scope="module")
def wave(demo: Path) -> Path:
    """A take of it, with poses."""
    path = demo.parent / "wave.mcap"
    assert cli.main(["convert", str(demo), "--out", str(path)]) == 0
    return path


def check_the_way(recording: Path, frames: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Converted to a take, replayed, tracked and exported, of the take and of the results: the bones, the frame count
    and the joints are those of the take."""
    take = folder / "take.mcap"
    assert cli.main(["convert", str(recording), "--out", str(take)]) == 0
    capsys.readouterr()
    assert cli.main(["replay", str(take), "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["frames"] == replayed["compared"] == replayed["identical"] == frames
    assert cli.main(["track", str(take), "--out", str(folder / "results.npz")]) == 0
    with Take(take) as opened:
        poses = opened.poses()
    assert poses.tracked.sum() > frames // 2
    given = y_up(poses.joints_mm)[poses.tracked]
    for source in ("take.mcap", "results.npz"):
        for kind in ("glb", "bvh"):
            assert cli.main(["export", str(folder / source), "--out", str(folder / f"{source}.{kind}")]) == 0
        glb = Glb(folder / f"{source}.glb")
        places = glb.places()
        assert len(glb.times()) == frames and set(WEBXR_JOINTS) <= set(places)
        found = 1e3 * np.stack([places[name] for name in WEBXR_JOINTS], 1)
        assert np.linalg.norm(found[poses.tracked] - given, axis=2).max() < 0.1
        scene: Any = trimesh.load(folder / f"{source}.glb")
        assert set(WEBXR_JOINTS) <= set(scene.graph.nodes) and len(scene.geometry) == 1
        bvh = read_bvh(folder / f"{source}.bvh")
        assert len(bvh.rows) == frames
        names = {node.name: bvh.nodes[node.parent].name for node in bvh.nodes if "/" not in node.name}
        parents = {JOINT_NAMES[joint]: JOINT_NAMES[JOINT_PARENTS[joint]] for joint in range(1, 21)}
        assert {name: parent for name, parent in names.items() if name != "wrist"} == parents
        found = np.stack([bvh.places()[name] for name in JOINT_NAMES], 1)
        assert np.linalg.norm(found[poses.tracked] - given, axis=2).max() < 0.1


def test_the_demo_goes_all_the_way(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_the_way(demo, DEMO_FRAMES, tmp_path, capsys)


def test_open_hand_goes_all_the_way(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_the_way(shared_data / "real" / "open-hand", 17, tmp_path, capsys)


def test_every_kind_says_what_was_written(wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, options in (
        ("a.bvh", []),
        ("b.bvh", ["--kind", "bvh-rigid"]),
        ("a.glb", []),
        ("a.csv", []),
        ("a.npz", []),
        ("meshes", ["--kind", "ply"]),
    ):
        assert cli.main(["export", str(wave), "--out", str(tmp_path / out), *options]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"{tmp_path / out}: ") and "8 frames of a right hand" in told and told.count("\n") == 1
    assert len((tmp_path / "a.csv").read_text().splitlines()) == DEMO_FRAMES + 1
    mesh = open3d.io.read_triangle_mesh(tmp_path / "meshes" / "000007.ply")
    assert len(mesh.triangles) > 1000 and 300 < mesh.get_center()[2] < 1000
    assert cli.main(["export", str(tmp_path / "a.npz"), "--out", str(tmp_path / "again.glb")]) == 0


def test_rate_and_frames_without_a_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take = write_take(tmp_path / "a.mcap", 9)
    out = tmp_path / "a.csv"
    assert cli.main(["export", str(take), "--out", str(out), "--fps", "50", "--side", "left"]) == 0
    assert "9 frames of a left hand, 3 of them without a hand" in capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tracked"] for row in rows] == ["1", "1", "0"] * 3
    assert np.diff([float(row["device_time_s"]) for row in rows]) == pytest.approx(0.02)


def test_nothing_is_replaced_unless_asked_for(wave: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    out.write_text("mine")
    assert cli.main(["export", str(wave), "--out", str(out)]) == 2 and out.read_text() == "mine"
    assert cli.main(["export", str(wave), "--out", str(out), "--force"]) == 0 and out.read_text() != "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_cannot_be_exported_is_told_in_one_line(
    wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_take(tmp_path / "images.mcap", 3, poses=False)
    assert cli.main(["export", str(wave), "--out", str(tmp_path / "same.npz")]) == 0
    capsys.readouterr()
    new = str(tmp_path / "new.glb")
    for arguments, words in (
        ([images, "--out", new], "holds no poses"),
        ([tmp_path / "none.mcap", "--out", new], "does not exist"),
        ([DEMO_SOURCE, "--out", new], "track"),
        ([wave, "--out", tmp_path / "new"], "must end in"),
        ([wave, "--out", new, "--kind", "bvh"], "must end in .bvh"),
        ([wave, "--out", tmp_path / "no" / "a.glb"], "does not exist"),
        ([wave, "--out", new, "--side", "left"], "no left hand"),
        ([wave, "--out", new, "--fps", "nan"], "no usable rate"),
        ([wave, "--out", new, "--fps", "1e9"], "above 0, 10,000 at most"),
        ([wave, "--out", new, "--hand", tmp_path / "none.glb"], "cannot be read"),
        ([wave, "--out", tmp_path / "a.bvh", "--hand", "x.glb"], "--hand is for glb and ply"),
        ([tmp_path / "same.npz", "--out", tmp_path / "same.npz", "--force"], "what is to be exported"),
    ):
        assert cli.main(["export", *map(str, arguments)]) == 2, arguments
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and words in told, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.mcap", "same.npz"]


def test_the_kinds_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    told = capsys.readouterr().out
    assert all(f"  {kind} (" in told for kind in ("bvh", "bvh-rigid", "glb", "csv", "npz", "ply"))
