import numpy as np
import pytest
import torch

from engine.geometry.rotations import (
    euler_to_matrix,
    matrix_to_euler,
    matrix_to_six_d,
    rotation_about_axis,
    six_d_to_matrix,
)
from engine.geometry.turns import euler_of, matrix_of, nearest_rotation


@pytest.mark.parametrize("pitch", [0.4, -1.2, np.pi / 2, -np.pi / 2])
def test_one_rotation_in_numpy_is_what_a_batch_of_one_is_in_torch(pitch: float) -> None:
    for y, z in np.random.default_rng(0).uniform(-3, 3, (20, 2)):
        euler = np.array([pitch, y, z])
        matrix = matrix_of(euler)
        assert np.allclose(matrix, euler_to_matrix(torch.from_numpy(euler)), atol=1e-12)
        assert np.allclose(euler_of(matrix), matrix_to_euler(torch.from_numpy(matrix)), atol=1e-12)
        bent = matrix[:, :2] + np.random.default_rng(1).normal(0, 0.1, (3, 2))
        expected = six_d_to_matrix(torch.from_numpy(bent.T.reshape(6)))
        assert np.allclose(nearest_rotation(bent), expected, atol=1e-12)


def test_turn_about_z_carries_x_to_y() -> None:
    turned = rotation_about_axis(2, torch.tensor(torch.pi / 2)) @ torch.tensor([1.0, 0, 0])
    assert torch.allclose(turned, torch.tensor([0.0, 1, 0]), atol=1e-6)


def test_euler_round_trip_where_the_gimbal_is_free() -> None:
    euler = (torch.rand(200, 3, dtype=torch.float64) - 0.5) * torch.tensor([3.0, 6.2, 6.2], dtype=torch.float64)
    assert torch.allclose(matrix_to_euler(euler_to_matrix(euler)), euler, atol=1e-9)


def test_euler_angles_give_the_rotation_back_where_the_gimbal_locks() -> None:
    generator = torch.Generator().manual_seed(0)
    y, z = torch.rand(2, 100, generator=generator) * 6 - 3
    for pitch in (torch.pi / 2, -torch.pi / 2, torch.pi / 2 - 1e-5, 1e-6 - torch.pi / 2):
        matrix = euler_to_matrix(torch.stack((torch.full_like(y, pitch), y, z), -1))
        # Rounding, as a product of rotations leaves it.
        matrix = matrix + 3e-7 * torch.randn(100, 3, 3, generator=generator)
        assert torch.allclose(euler_to_matrix(matrix_to_euler(matrix)), matrix, atol=1e-5)


def test_euler_order_is_z_x_y() -> None:
    x, y, z = torch.tensor([0.3, -0.7, 1.1])
    expected = rotation_about_axis(2, z) @ rotation_about_axis(0, x) @ rotation_about_axis(1, y)
    assert torch.allclose(euler_to_matrix(torch.stack((x, y, z))), expected)


def test_six_d_gives_rotations_and_round_trips() -> None:
    matrix = six_d_to_matrix(torch.randn(50, 6, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    assert torch.allclose(matrix @ matrix.mT, identity, atol=1e-9)
    assert torch.allclose(torch.linalg.det(matrix), torch.ones(50, dtype=torch.float64))
    assert torch.allclose(six_d_to_matrix(matrix_to_six_d(matrix)), matrix, atol=1e-9)


def test_six_d_gradients() -> None:
    six = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(six_d_to_matrix, six)
