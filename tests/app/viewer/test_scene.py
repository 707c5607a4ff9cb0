"""Scenes as arrays: which layers appear, where their points lie, which way surfaces face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.viewer import shapes
from app.viewer.camera import OrbitCamera
from app.viewer.palette import INTERVAL_RANGE_MM, interval_colors
from app.viewer.scene import (
    OUT_OF_SIGHT,
    Layers,
    Points,
    SceneBuilder,
    SceneInput,
    Surface,
    nearest_thing,
    reduced_depth,
)
from engine.metrics import interval_radius
from engine.types import Side
from tests.app.fakes import CAMERA, make_frame, open_hand, tetrahedra


def scene(layers: Layers) -> SceneInput:
    frame = make_frame()
    return SceneInput(OrbitCamera().pose(), layers, frame.depth, 1.0, frame.intrinsics, open_hand())


def volume(points: np.ndarray, triangles: np.ndarray) -> float:
    """Of a closed surface; positive when its triangles face outwards."""
    a, b, c = (points[triangles[:, k]].astype(float) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("name", ["skeleton", "gaussians", "mesh", "cloud"])
def test_each_layer_appears_when_switched_on_only(name: str) -> None:
    nothing = Layers(False, False, False, False)
    builder = SceneBuilder(tetrahedra())
    assert name not in builder.build(scene(nothing))
    assert name in builder.build(scene(replace(nothing, **{name: True})))


def test_without_a_hand_only_the_surroundings_are_drawn() -> None:
    drawables = SceneBuilder(tetrahedra()).build(replace(scene(Layers(True, True, True, True)), geometry=None))
    assert {"skeleton", "gaussians", "mesh"}.isdisjoint(drawables) and "cloud" in drawables


def test_a_mesh_without_fitting_triangles_is_left_out() -> None:
    assert "mesh" not in SceneBuilder().build(scene(Layers()))
    assert "mesh" not in SceneBuilder(tetrahedra() + 1000).build(scene(Layers()))


def test_the_cloud_is_the_depth_image_in_the_camera_frame() -> None:
    given = scene(Layers())
    depth = make_frame().depth.copy()
    depth[0, 0] = 0
    cloud = SceneBuilder().build(replace(given, depth=depth))["cloud"]
    assert isinstance(cloud, Points)
    points = cloud.points.reshape(CAMERA.height, CAMERA.width, 3)
    z = 420.0
    assert points[50, 70] == pytest.approx([(70 - CAMERA.cx) / CAMERA.fx * z, (50 - CAMERA.cy) / CAMERA.fy * z, z])
    assert np.all(points[0, 0] == OUT_OF_SIGHT)


def test_reduced_depth_keeps_its_points_in_place() -> None:
    frame = make_frame()
    depth, camera = reduced_depth(frame, 1500)
    assert depth.size <= 1500 and depth.shape == (camera.height, camera.width)
    stride = frame.depth.shape[1] // depth.shape[1]
    assert (10 - camera.cx) / camera.fx == pytest.approx((10 * stride - CAMERA.cx) / CAMERA.fx)
    depth[:] = 0
    assert frame.depth.max() > 0


def test_the_nearest_thing_is_where_it_stands() -> None:
    frame = make_frame()
    depth = frame.depth.copy()
    depth[30:60, 100:140] = 200
    depth[5, 5] = 100
    found = nearest_thing(depth, 1.0, frame.intrinsics)
    expected = [(119.5 - CAMERA.cx) / CAMERA.fx * 200, (44.5 - CAMERA.cy) / CAMERA.fy * 200, 200]
    assert found is not None and found == pytest.approx(expected, abs=5)
    assert nearest_thing(np.zeros_like(depth), 1.0, frame.intrinsics) is None


def test_layers_are_pulled_along_the_lines_of_sight() -> None:
    given = scene(Layers(skeleton=False, mesh=True))
    mesh = SceneBuilder(tetrahedra()).build(given)["mesh"]
    assert isinstance(mesh, Surface) and given.geometry is not None
    camera = given.camera

    def on_screen(points: np.ndarray) -> np.ndarray:
        view = (points - camera.eye) @ camera.rotation.T
        return view[:, :2] / view[:, 2:]

    assert on_screen(mesh.vertices) == pytest.approx(on_screen(given.geometry.surface.vertices), abs=1e-5)


def test_surfaces_face_outwards_for_both_hands() -> None:
    builder = SceneBuilder(tetrahedra())
    right = scene(Layers(True, True, True, True))
    assert right.geometry is not None
    left = replace(right, geometry=right.geometry.mirrored(), side=Side.LEFT)
    for given in (right, left):
        for name in ("mesh", "gaussians"):
            surface = builder.build(given)[name]
            assert isinstance(surface, Surface)
            assert volume(surface.vertices, surface.triangles) > 0, name


def test_unit_sphere_and_tube_face_outwards() -> None:
    points, triangles = shapes.unit_sphere(6, 9)
    assert volume(points, triangles) == pytest.approx(4 / 3 * np.pi, rel=0.2)
    ends = np.array([[0, 0, 0]], np.float32), np.array([[0, 0, 10]], np.float32)
    radius = np.ones(1, np.float32)
    tube, normals = shapes.tubes(*ends, radius, radius, 8)
    a, b, c = (tube[shapes.tube_triangles(8)[:, k]] for k in range(3))
    outwards = (np.cross(b - a, c - a) * normals[shapes.tube_triangles(8)[:, 0]]).sum(1)
    assert np.all(outwards > 0)


def test_vertex_normals_of_a_sphere_are_its_directions() -> None:
    points, triangles = shapes.unit_sphere(20, 30)
    normals = shapes.NormalTable(triangles, len(points)).normals(points)
    assert (normals * points).sum(1).min() > 0.99


def test_shading_is_brighter_towards_the_light_and_stays_in_range() -> None:
    points, _ = shapes.unit_sphere(20, 30)
    eye = np.array([0, 0, -10], np.float32)
    colors = shapes.shade(np.full(3, 0.8, np.float32), points, points, np.eye(3, dtype=np.float32), eye)
    assert colors.min() >= 0 and colors.max() <= 1
    upper_left, lower_right = (points @ [-0.5, -0.6, -0.6]).argmax(), (points @ [0.3, 0.8, -0.5]).argmax()
    assert colors[upper_left].mean() > colors[lower_right].mean() + 0.2


def unsure(sigma_mm: np.ndarray, **layers: bool) -> SceneInput:
    return replace(scene(Layers(**{"uncertainty": True, **layers})), joint_sigma_mm=sigma_mm)


def test_rings_are_the_outlines_of_each_joints_interval() -> None:
    sigma = np.linspace(2, 30, 21)
    given = unsure(sigma)
    rings = SceneBuilder().build(given)["uncertainty"]
    assert isinstance(rings, Surface) and given.geometry is not None
    camera = given.camera
    joints = (given.geometry.joints - camera.eye) @ camera.rotation.T
    # Back from where they were pulled to: a joint's ring lies in the plane through it that faces the eye.
    points = ((rings.vertices - camera.eye) @ camera.rotation.T).reshape(21, -1, 3)
    points *= (np.linalg.norm(joints, axis=1) ** 2 / (points * joints[:, None]).sum(-1).mean(1))[:, None, None]
    assert (((points - joints[:, None]) * joints[:, None]).sum(-1) / 400**2) == pytest.approx(0, abs=1e-3)
    outer, inner = np.linalg.norm(points - joints[:, None], axis=-1).reshape(21, 2, -1).transpose(1, 0, 2)
    radii = interval_radius(0.9) * sigma
    assert 0.5 * (outer + inner) == pytest.approx(np.broadcast_to(radii[:, None], outer.shape), rel=1e-3)
    assert (outer - inner).max() < 2.5


def test_rings_face_the_eye() -> None:
    given = unsure(np.full(21, 8.0))
    rings = SceneBuilder().build(given)["uncertainty"]
    assert isinstance(rings, Surface)
    a, b, c = (rings.vertices[rings.triangles[:, k]].astype(float) for k in range(3))
    assert np.all((np.cross(b - a, c - a) * (given.camera.eye - a)).sum(1) > 0)


def test_unsure_joints_have_other_colours_than_sure_ones() -> None:
    builder = SceneBuilder()
    sigma = np.full(21, 3.0)
    sigma[8] = 30.0
    shown, calm = builder.build(unsure(sigma)), builder.build(unsure(np.full(21, 3.0)))
    for name in ("uncertainty", "skeleton"):
        surface, other = shown[name], calm[name]
        assert isinstance(surface, Surface) and isinstance(other, Surface)
        changed = np.flatnonzero(np.abs(surface.colors - other.colors).max(1) > 0.05)
        per_joint = 80 if name == "uncertainty" else len(builder._sphere[0])
        assert len(changed) and set(changed // per_joint) == {8}
    redness = interval_colors(np.geomspace(*INTERVAL_RANGE_MM, 20)) @ (1, 0, -1)
    assert redness[0] < -0.3 and redness[-1] > 0.4


@pytest.mark.parametrize("missing", ["layer", "sigma", "hand"])
def test_without_expected_errors_the_skeleton_keeps_its_fingers_colours(missing: str) -> None:
    plain = scene(Layers())
    given = unsure(np.full(21, 30.0), uncertainty=missing != "layer")
    given = replace(given, joint_sigma_mm=None if missing == "sigma" else given.joint_sigma_mm)
    given = replace(given, geometry=None if missing == "hand" else given.geometry)
    drawables = SceneBuilder().build(given)
    assert "uncertainty" not in drawables
    if missing != "hand":
        fingers, shown = SceneBuilder().build(plain)["skeleton"], drawables["skeleton"]
        assert isinstance(fingers, Surface) and isinstance(shown, Surface)
        np.testing.assert_array_equal(fingers.colors, shown.colors)


def test_a_recorded_pose_is_drawn_in_one_colour_of_its_own_with_or_without_a_new_one() -> None:
    joints = open_hand().joints + np.array([0, 25, 0], np.float32)
    shown = replace(scene(Layers(True, False, False, False)), recorded_joints=joints)
    builder = SceneBuilder(tetrahedra())
    assert "recorded" not in builder.build(replace(shown, recorded_joints=None))
    for one in (shown, replace(shown, geometry=None)):
        recorded = builder.build(one)["recorded"]
        assert isinstance(recorded, Surface)
        # Pulled towards the eye by half: twice as far from it, it lies about the joints.
        eye = shown.camera.eye
        balls = recorded.vertices[: 21 * len(shapes.unit_sphere(7, 12)[0])]
        middle = (2 * (balls - eye) + eye).mean(0)
        assert np.allclose(middle, joints.mean(0), atol=6)
        red, green, blue = recorded.colors.mean(0)
        assert red > 1.2 * blue > 1.2 * green
    assert not np.allclose(recorded.colors.mean(0), builder.build(shown)["skeleton"].colors.mean(0), atol=0.1)
