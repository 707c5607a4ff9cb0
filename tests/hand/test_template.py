"""The shipped hand surface: closed, turned outwards, of a hand's size, and skinned so that fingers move alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.surface import RestHand, finger_body, hand_body, local_coordinates, smooth_union, tapered_capsule
from engine.hand.template import HandTemplate, load_template

ROOT = Path(__file__).parents[2]
#: Bones of each finger that bend, thumb to little.
FINGER_BONES = [[4 * finger + 1, 4 * finger + 2, 4 * finger + 3] for finger in range(5)]


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def hand() -> RestHand:
    pose = Skeleton(torch.float64)(torch.zeros(1, 26).double(), torch.zeros(1, 20).double())
    return RestHand(pose.joints[0].numpy(), pose.rotations[0].numpy(), pose.bone_lengths[0].numpy())


def corners(template: HandTemplate) -> np.ndarray:
    return template.vertices.astype(np.float64)[template.faces]


def solid_angle(template: HandTemplate, points: np.ndarray) -> np.ndarray:
    """How often the surface winds around each point: 1 inside, 0 outside."""
    a, b, c = (corners(template)[None, :, i] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    triple = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    dots = [np.einsum("pfi,pfi->pf", x, y) for x, y in ((a, b), (b, c), (c, a))]
    angle = 2 * np.arctan2(triple, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb)
    return angle.sum(1) / (4 * np.pi)


def edge_lengths(template: HandTemplate) -> np.ndarray:
    c = corners(template)
    return np.linalg.norm(c - np.roll(c, 1, axis=1), axis=2)


def bend(template: HandTemplate, finger: int, angles: tuple[float, float, float]) -> np.ndarray:
    """Vertices (V, 3) at mean shape with one finger bent, wrist frame."""
    skeleton = Skeleton()
    articulation = torch.zeros(1, 20)
    articulation[0, [4 * finger, 4 * finger + 2, 4 * finger + 3]] = torch.tensor(angles)
    pose = skeleton.pose(torch.zeros(1, 3), torch.eye(3)[None], articulation, skeleton.bone_length_mean[None])
    return skin_of(template, skeleton)(pose, torch.zeros(1, 6))[0][0].numpy()


def test_arrays_have_the_documented_types(template: HandTemplate) -> None:
    assert 2000 <= len(template.vertices) <= 4000
    assert template.faces.dtype == np.int32
    for array in (template.vertices, template.normals, template.bone_weights, template.thickness_weights):
        assert array.dtype == np.float32
        assert np.all(np.isfinite(array))


def test_closed_one_piece_without_handles(template: HandTemplate) -> None:
    faces = template.faces.astype(np.int64)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    keys = directed[:, 0] * len(template.vertices) + directed[:, 1]
    reverse = directed[:, 1] * len(template.vertices) + directed[:, 0]
    assert len(np.unique(keys)) == len(keys), "an edge runs the same way in two triangles"
    assert np.array_equal(np.sort(keys), np.sort(reverse)), "an edge has a triangle on one side only"
    assert len(template.vertices) - len(keys) // 2 + len(faces) == 2
    label = np.arange(len(template.vertices))
    for _ in range(300):
        lower = label.copy()
        np.minimum.at(lower, directed[:, 0], label[directed[:, 1]])
        if np.array_equal(lower, label):
            break
        label = lower
    assert np.all(label == 0), "vertices that no path of edges joins to the first"


def test_turned_outwards_and_of_a_hand_s_size(template: HandTemplate) -> None:
    a, b, c = np.moveaxis(corners(template), 1, 0)
    volume_cm3 = np.einsum("ij,ij->", a, np.cross(b, c)) / 6000
    assert 300 <= volume_cm3 <= 450
    across = np.cross(b - a, c - a)
    for corner in range(3):
        assert np.mean(np.einsum("ij,ij->i", across, template.normals[template.faces[:, corner]]) > 0) > 0.999
    np.testing.assert_allclose(np.linalg.norm(template.normals, axis=1), 1.0, atol=1e-5)
    outside = template.vertices[::40] + 0.3 * template.normals[::40]
    inside = template.vertices[::40] - 0.3 * template.normals[::40]
    assert np.all(np.abs(solid_angle(template, outside.astype(np.float64))) < 0.5)
    assert np.all(solid_angle(template, inside.astype(np.float64)) > 0.5)


def test_triangles_are_even(template: HandTemplate) -> None:
    c = corners(template)
    area = np.linalg.norm(np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0]), axis=1) / 2
    quality = 4 * np.sqrt(3) * area / (edge_lengths(template) ** 2).sum(1)
    assert quality.min() > 0.35
    assert np.median(quality) > 0.95
    assert edge_lengths(template).max() < 12


def test_tips_on_the_skin_and_other_joints_inside(template: HandTemplate, hand: RestHand) -> None:
    tips, others = hand.joints[4::4], np.delete(hand.joints, [4, 8, 12, 16, 20], axis=0)
    gap = np.linalg.norm(template.vertices[None] - tips[:, None], axis=2).min(1)
    centres = corners(template).mean(1)
    gap = np.minimum(gap, np.linalg.norm(centres[None] - tips[:, None], axis=2).min(1))
    assert np.all(gap < 2.0), gap
    assert np.all(np.abs(hand_body(tips, hand)) < 2.0)
    assert np.all(solid_angle(template, others) > 0.5)
    depth = np.linalg.norm(template.vertices[None] - others[:, None], axis=2).min(1)
    assert np.all(depth > 5.0), depth


def test_proportions_of_a_real_hand(template: HandTemplate, hand: RestHand) -> None:
    v = template.vertices
    knuckles = v[np.abs(v[:, 1] - hand.joints[9, 1] + 4) < 6]
    fingers_only = knuckles[knuckles[:, 0] < 40]
    assert 74 <= np.ptp(fingers_only[:, 0]) <= 90, "breadth over the knuckles"
    middle = v[(np.abs(v[:, 0] - hand.joints[9, 0]) < 5) & (np.abs(v[:, 1] - hand.joints[9, 1]) < 6)]
    assert 24 <= np.ptp(middle[:, 2]) <= 33, "thickness at the middle knuckle"
    assert middle[:, 2].max() - hand.joints[9, 2] < hand.joints[9, 2] - middle[:, 2].min(), "joints lie near the back"
    wrist = v[np.abs(v[:, 1] - 12) < 4]
    assert 54 <= np.ptp(wrist[:, 0]) <= 68
    assert 33 <= np.ptp(wrist[:, 2]) <= 44
    assert 25 <= v[:, 1].max() <= 35


def test_fingers_apart_at_rest(template: HandTemplate, hand: RestHand) -> None:
    vertices = template.vertices.astype(np.float64)
    for finger in range(1, 5):
        _, s, _ = local_coordinates(vertices, hand.finger_origin(finger), hand.finger_frame(finger))
        own = finger_body(vertices, hand, finger)
        free = vertices[(np.abs(own) < 0.8) & (s > 0.7 * hand.finger_stations(finger)[1])]
        assert len(free) > 80
        for other in range(5):
            if other != finger:
                assert finger_body(free, hand, other).min() > 0.3, (finger, other)


def test_surface_does_not_cut_itself(template: HandTemplate) -> None:
    o3d = pytest.importorskip("open3d")
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(template.vertices.astype(np.float64)), o3d.utility.Vector3iVector(template.faces)
    )
    assert not mesh.is_self_intersecting()


def test_weights_are_partitions(template: HandTemplate) -> None:
    for weights in (template.bone_weights, template.thickness_weights):
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    assert (template.bone_weights > 0).sum(1).max() <= 4
    assert np.all(template.bone_weights.max(0) > 0.2), "a bone that moves nothing"
    stub = template.vertices[:, 1] > 5
    palm = template.bone_weights[stub][:, [0, 4, 8, 12, 16]]
    np.testing.assert_allclose(palm.sum(1), 1.0, atol=1e-5)


def test_weights_change_gently_along_the_skin(template: HandTemplate) -> None:
    edges = np.concatenate([template.faces[:, [0, 1]], template.faces[:, [1, 2]], template.faces[:, [2, 0]]])
    for weights, most in ((template.bone_weights, 0.9), (template.thickness_weights, 0.6)):
        assert np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max() < most


@pytest.mark.parametrize("finger", range(1, 5))
def test_a_finger_bends_alone(template: HandTemplate, hand: RestHand, finger: int) -> None:
    moved = np.linalg.norm(bend(template, finger, (1.4, 1.7, 1.0)) - template.vertices, axis=1)
    vertices = template.vertices.astype(np.float64)
    for other in range(5):
        _, s, _ = local_coordinates(vertices, hand.finger_origin(other), hand.finger_frame(other))
        free = (finger_body(vertices, hand, other) < 0.8) & (s > 0.92 * hand.finger_stations(other)[1])
        if other == finger:
            assert moved[free].min() > 10
        else:
            assert moved[free].max() < 0.5, other


def test_thickness_moves_one_finger(template: HandTemplate, hand: RestHand) -> None:
    vertices = template.vertices.astype(np.float64)
    for finger in range(5):
        _, s, _ = local_coordinates(vertices, hand.finger_origin(finger), hand.finger_frame(finger))
        free = (finger_body(vertices, hand, finger) < 0.8) & (s > hand.finger_stations(finger)[1])
        assert template.thickness_weights[free][:, 1 + finger].min() > 0.95
    assert template.thickness_weights[vertices[:, 1] > 2][:, 0].min() > 0.99


@pytest.mark.parametrize("finger", range(5))
def test_a_bent_finger_keeps_its_volume(template: HandTemplate, finger: int) -> None:
    def volume(vertices: np.ndarray) -> float:
        a, b, c = (vertices[template.faces[:, i]].astype(np.float64) for i in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    straight = volume(template.vertices)
    bent = volume(bend(template, finger, (0.0, 1.75 if finger else 1.0, 0.8)))
    assert abs(bent - straight) < 0.012 * straight


def test_smooth_union_is_the_minimum_far_away_and_deeper_near() -> None:
    a, b = np.array([0.0, 5.0, 1.0]), np.array([0.0, 1.0, 9.0])
    np.testing.assert_allclose(smooth_union(a, b, 3.0), [-0.5, 1.0, 1.0])


def test_tapered_capsule_measures_distance() -> None:
    points = np.array([[0.0, -5.0, 0.0], [3.0, 10.0, 0.0], [0.0, 5.0, 4.0]])
    distance = tapered_capsule(points, (0.0, 0.0, 0.0), (0.0, 10.0, 0.0), 2.0, 1.0)
    np.testing.assert_allclose(distance, [3.0, 2.0, 2.5])


def test_script_reproduces_the_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    spec = importlib.util.spec_from_file_location("build_hand_mesh", ROOT / "tools" / "build_hand_mesh.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    built = tmp_path / "template.npz"
    monkeypatch.setattr("sys.argv", ["build_hand_mesh.py", "--out", str(built)])
    assert script.main() == 0
    assert built.read_bytes() == (ROOT / "assets" / "hand" / "template.npz").read_bytes()
