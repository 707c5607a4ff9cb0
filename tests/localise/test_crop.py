import numpy as np
import pytest

from engine.localise.crop import cut, look_at
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.types import DepthFrame, Intrinsics

CAMERA = Intrinsics(640, 480, 475.0, 480.0, 315.0, 236.0)


def frame_of_points(points: np.ndarray, size: int = 3) -> DepthFrame:
    depth = np.zeros((480, 640), np.uint16)
    for x, y, z in points:
        u, v = round(x / z * CAMERA.fx + CAMERA.cx), round(y / z * CAMERA.fy + CAMERA.cy)
        depth[v - size : v + size + 1, u - size : u + size + 1] = round(z / 0.125)
    return DepthFrame(depth, 0.125, CAMERA, 0, 0.0, 0.0)


@pytest.mark.parametrize("roll", [0.0, 1.3, -2.8])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("centre", [(0.0, 0.0, 450.0), (-180.0, 120.0, 600.0), (200.0, -150.0, 700.0)])
def test_a_point_in_the_crop_goes_back_to_where_it_was(
    centre: tuple[float, float, float], mirrored: bool, roll: float
) -> None:
    point = np.array(centre) + (40.0, -60.0, 30.0)
    window = look_at(np.array(centre), mirrored, roll)
    crop = cut(frame_of_points(point[None]), window)
    rows, columns = np.nonzero(crop < 1)
    assert len(rows) > 3
    d = crop[rows, columns] * HALF_CUBE_MM
    scale = (window.distance + d) / window.distance * 2 * HALF_CUBE_MM / 128
    local = np.stack(((columns - 63.5) * scale, (rows - 63.5) * scale, d), 1)
    back = window.to_camera(local.astype(np.float32)).mean(0) * ((-1, 1, 1) if mirrored else (1, 1, 1))
    assert np.linalg.norm(back - point) < 3.0


def test_a_quarter_roll_brings_what_is_left_of_the_centre_under_it() -> None:
    frame = frame_of_points(np.array([[-60.0, 0.0, 500.0]]))
    rows, columns = np.nonzero(cut(frame, look_at(np.array([0.0, 0.0, 500.0]), roll=np.pi / 2)) < 1)
    assert np.allclose((columns.mean(), rows.mean()), (63.5, 63.5 + 60 * 128 / 300), atol=1.5)


def test_the_centre_of_the_cube_is_the_point_looked_at() -> None:
    centre = np.array([100.0, -50.0, 500.0])
    assert np.allclose(look_at(centre).to_camera(np.zeros((1, 3), np.float32)), centre, atol=1e-3)
    assert np.allclose(look_at(centre, True).to_camera(np.zeros((1, 3), np.float32)), (-100, -50, 500), atol=1e-3)


def test_a_window_straight_below_the_camera_is_a_rotation_too() -> None:
    rotation = look_at(np.array([0.0, 400.0, 0.0])).rotation
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("nowhere", [(0.0, 0.0, 0.0), (np.nan, 0.0, 500.0), (0.0, np.inf, 500.0)])
def test_no_window_looks_nowhere(nowhere: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="no camera can look at"):
        look_at(np.array(nowhere))


def test_a_mirrored_crop_of_a_mirrored_frame_is_the_crop() -> None:
    points = np.array([[20.0, 10, 480], [-40, 30, 520], [60, -20, 500]])
    camera = Intrinsics(640, 480, 475.0, 480.0, 319.5, 236.0)
    frame = frame_of_points(points)
    frame = DepthFrame(frame.depth, 0.125, camera, 0, 0.0, 0.0)
    flipped = DepthFrame(np.ascontiguousarray(frame.depth[:, ::-1]), 0.125, camera, 0, 0.0, 0.0)
    centre = np.array([15.0, 5.0, 500.0])
    assert np.array_equal(cut(frame, look_at(centre)), cut(flipped, look_at(centre * (-1, 1, 1), mirrored=True)))


def test_what_is_outside_the_cube_or_unseen_is_background() -> None:
    frame = frame_of_points(np.array([[0.0, 0.0, 900.0]]))
    assert (cut(frame, look_at(np.array([0.0, 0.0, 500.0]))) == 1).all()
    assert (cut(frame, look_at(np.array([900.0, 0.0, 300.0]))) == 1).all()


def test_corners_surround_the_projected_centre() -> None:
    frame = frame_of_points(np.empty((0, 3)))
    corners = look_at(np.array([50.0, 20.0, 500.0])).corners_uv(frame)
    assert np.allclose(corners.mean(0), (315 + 475 * 0.1, 236 + 480 * 0.04), atol=6)
    assert np.allclose(corners[1, 0] - corners[0, 0], 300 / 500 * 475, rtol=0.05)
