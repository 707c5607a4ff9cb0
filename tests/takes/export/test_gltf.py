"""glTF, read back with pygltflib and trimesh: joints, skin, names and times are the motion's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from engine.hand.imports import load_hand
from engine.hand.imports.webxr import WEBXR_JOINTS, WEBXR_METACARPALS
from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.template import load_template
from engine.takes.export import export_motion
from engine.takes.motion import Motion
from engine.types import LumbricalError, Side
from tests.takes.export.clips import Array, fields_of, moving_hand, y_up
from tests.takes.export.glb_reader import Glb

both_sides = pytest.mark.parametrize("side", list(Side))


def _posed_vertices(motion: Motion) -> Array:
    """(N, V, 3) mm as the hand model poses them, y up, for the tracked frames."""
    skeleton = Skeleton()
    theta, beta, thickness = (
        torch.tensor(a[motion.tracked], dtype=torch.float32) for a in (motion.theta, motion.beta, motion.thickness)
    )
    vertices = skin_of(load_template(), skeleton)(skeleton(theta, beta), thickness)[0].double().numpy()
    return y_up(vertices * ([-1, 1, 1] if motion.side is Side.LEFT else [1, 1, 1]))


def _off_mm(motion: Motion, glb: Glb) -> Array:
    """(N, V) how far the skin is from the model's own."""
    return np.asarray(np.linalg.norm(1e3 * glb.vertices()[motion.tracked] - _posed_vertices(motion), axis=2))


@both_sides
def test_every_joint_is_where_the_motion_has_it(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.glb")
    glb = Glb(tmp_path / "take.glb")
    places = glb.places()
    found = 1e3 * np.stack([places[name] for name in WEBXR_JOINTS], 1)
    off = np.linalg.norm(found - y_up(motion.joints_mm), axis=2)[motion.tracked]
    assert off.max() < 0.001
    np.testing.assert_allclose(glb.times(), np.arange(24) / 30, atol=1e-6)


@both_sides
def test_without_flesh_the_skin_is_the_models_to_the_micrometre(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side, thickness=0.0)
    export_motion(motion, tmp_path / "take.glb")
    assert _off_mm(motion, Glb(tmp_path / "take.glb")).max() < 0.002


def test_flesh_differs_only_where_bones_blend(tmp_path: Path) -> None:
    motion = moving_hand(thickness=2.0)
    export_motion(motion, tmp_path / "take.glb")
    off = _off_mm(motion, Glb(tmp_path / "take.glb"))
    one_bone = load_template().bone_weights.max(1) == 1
    most = np.nanmax(np.abs(motion.thickness))
    # The model grows along the posed normal; a morph target grows before the skin bends and stretches with it.
    assert off[:, one_bone].max() < 0.05 * most
    assert np.median(off) < 0.01 and off.max() < 0.5 * most


def test_it_turns_outwards(tmp_path: Path) -> None:
    for side in Side:
        export_motion(moving_hand(side), tmp_path / f"{side.value}.glb")
        scene: Any = trimesh.load(tmp_path / f"{side.value}.glb")
        mesh = next(iter(scene.geometry.values()))
        assert mesh.volume > 1e-4 and mesh.is_watertight
        assert np.einsum("ij,ij->i", mesh.vertex_normals, _normals(tmp_path / f"{side.value}.glb")).min() > 0


def _normals(path: Path) -> Array:
    glb = Glb(path)
    return np.asarray(glb.array(glb.primitive.attributes.NORMAL), np.float64)


def test_trimesh_finds_the_bones(tmp_path: Path) -> None:
    motion = moving_hand(lost=())
    export_motion(motion, tmp_path / "take.glb")
    scene: Any = trimesh.load(tmp_path / "take.glb")
    assert {*WEBXR_JOINTS, *WEBXR_METACARPALS} <= set(scene.graph.nodes)
    for joint, name in enumerate(WEBXR_JOINTS):
        matrix, _ = scene.graph.get(name)
        np.testing.assert_allclose(1e3 * matrix[:3, 3], y_up(motion.joints_mm[0, joint]), atol=0.001)
    (mesh,) = scene.geometry.values()
    assert len(mesh.vertices) == len(load_template().vertices)


@both_sides
def test_axes_are_webxrs(tmp_path: Path, side: Side) -> None:
    motion = moving_hand(side)
    export_motion(motion, tmp_path / "take.glb")
    glb = Glb(tmp_path / "take.glb")
    names = [node.name for node in glb.document.nodes]
    worlds, places = glb.worlds()[motion.tracked], glb.places()
    for name, child in (("index-finger-phalanx-proximal", "index-finger-phalanx-intermediate"),
                        ("thumb-phalanx-distal", "thumb-tip"),
                        ("index-finger-metacarpal", "index-finger-phalanx-proximal")):  # fmt: skip
        along = (places[child] - places[name])[motion.tracked]
        axes = worlds[:, names.index(name), :3, :3]
        np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-5)
        np.testing.assert_allclose(-axes[:, :, 2], along / np.linalg.norm(along, axis=1, keepdims=True), atol=1e-4)
    # A quarter of the way from the wrist to the knuckle.
    near, whole = (
        np.linalg.norm((places[name] - places["wrist"])[motion.tracked], axis=1)
        for name in ("index-finger-metacarpal", "index-finger-phalanx-proximal")
    )
    np.testing.assert_allclose(near, 0.25 * whole, rtol=1e-4)
    # In the first tracked frame the hand is nearly at rest: its palm faces the camera, its back looks away.
    assert worlds[0, names.index("wrist"), 2, 1] < -0.7


@both_sides
def test_our_own_import_takes_it_back(tmp_path: Path, side: Side) -> None:
    """`--hand` fits the exported rig to the skeleton: the hand's form, joint for joint, is the template's."""
    export_motion(moving_hand(side, thickness=0.0), tmp_path / "take.glb")
    template, back = load_template(), load_hand(tmp_path / "take.glb")
    assert back.vertices.shape == template.vertices.shape
    off = np.linalg.norm(back.vertices - template.vertices, axis=1)
    assert off.max() < 0.001


def test_a_lost_hand_holds_its_pose_and_is_listed(tmp_path: Path) -> None:
    export_motion(moving_hand(), tmp_path / "take.glb")
    glb = Glb(tmp_path / "take.glb")
    tip = glb.places()["index-finger-tip"]
    for lost, shown in ((0, 2), (1, 2), (7, 6), (9, 6), (23, 22)):
        np.testing.assert_array_equal(tip[lost], tip[shown])
    extras = glb.animation.extras
    assert extras["lost_frames"] == [[0, 1], [7, 9], [23, 23]]
    assert extras["frames"] == 24 and extras["side"] == "right" and extras["first_device_time_s"] == 1000.0
    thickness = moving_hand().thickness[:, 2]
    assert extras["thickness_mm"]["index"] == pytest.approx([np.nanmin(thickness), np.nanmax(thickness)])


def test_a_hand_of_one_shape_has_no_tracks_that_say_nothing(tmp_path: Path) -> None:
    export_motion(moving_hand(changing=False), tmp_path / "take.glb")
    paths = [channel.target.path for channel in Glb(tmp_path / "take.glb").animation.channels]
    # The wrist moves, its scale never; 21 joints but for the wrist's five fixed ones and the tips turn.
    assert (
        set(paths) == {"translation", "rotation"} and paths.count("translation") == 1 and paths.count("rotation") == 16
    )


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    motion = moving_hand(frames=1, lost=())
    export_motion(motion, tmp_path / "take.glb")
    places = Glb(tmp_path / "take.glb").places()
    np.testing.assert_allclose(1e3 * places["thumb-tip"], y_up(motion.joints_mm[:, 4]), atol=0.001)


def test_a_clock_that_stands_still_needs_a_rate(tmp_path: Path) -> None:
    fields = fields_of(moving_hand())
    fields["device_time_s"][12] = fields["device_time_s"][11]
    motion = Motion(**fields)
    with pytest.raises(LumbricalError, match="from frame 11 to 12"):
        export_motion(motion, tmp_path / "take.glb")
    assert list(tmp_path.iterdir()) == []
    export_motion(motion, tmp_path / "take.glb", fps=50)
    np.testing.assert_allclose(Glb(tmp_path / "take.glb").times(), np.arange(24) / 50, atol=1e-6)
