import numpy as np

from engine.rendering.mesh_depth import render_depth
from engine.types import Intrinsics

CAMERA = Intrinsics(160, 120, 150.0, 150.0, 80.0, 60.0)


def test_a_slanted_square_has_its_planes_depth_and_no_gaps() -> None:
    corners = np.array([[-80.0, -60, 400], [80, -60, 400], [80, 60, 500], [-80, 60, 500]])
    depth = render_depth(corners, np.array([[0, 1, 2], [0, 2, 3]]), CAMERA)
    inner = depth[44:76, 58:102]
    assert (inner > 0).all()
    rows = np.arange(44, 76)
    # On the plane z = 450 + y * 100 / 120, y = z (row - cy) / fy.
    expected = 450 / (1 - (rows - 60) / 150 * 100 / 120)
    assert np.abs(inner - expected[:, None]).max() < 3


def test_the_nearer_surface_wins_and_nothing_is_drawn_outside() -> None:
    near = np.array([[-20.0, -20, 300], [20, -20, 300], [0, 20, 300]])
    far = np.array([[-90.0, -90, 600], [90, -90, 600], [0, 90, 600]])
    depth = render_depth(np.concatenate((near, far)), np.array([[0, 1, 2], [3, 4, 5]]), CAMERA)
    assert depth[60, 80] == 300
    assert set(np.unique(depth)) == {0, 300, 600}


def test_what_is_behind_the_camera_or_beside_the_image_is_left_out() -> None:
    triangle = np.array([[-20.0, -20, -300], [20, -20, 300], [0, 20, 300]])
    assert not render_depth(triangle, np.array([[0, 1, 2]]), CAMERA).any()
    beside = np.array([[900.0, 0, 300], [950, 0, 300], [900, 50, 300]])
    assert not render_depth(beside, np.array([[0, 1, 2]]), CAMERA).any()
