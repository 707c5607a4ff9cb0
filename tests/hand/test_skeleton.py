import torch

from engine.geometry.rotations import euler_to_matrix
from engine.hand.skeleton import Skeleton
from engine.types import JOINT_PARENTS


def random_hand(count: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    theta = torch.randn(count, 26, generator=generator, dtype=dtype) * 0.4
    return theta, torch.randn(count, 20, generator=generator, dtype=dtype)


def test_bones_have_the_lengths_beta_says() -> None:
    skeleton = Skeleton(torch.float64)
    theta, beta = random_hand(10)
    pose = skeleton(theta, beta)
    lengths = (pose.joints[:, 1:] - pose.joints[:, list(JOINT_PARENTS[1:])]).norm(dim=-1)
    assert torch.allclose(lengths, skeleton.bone_length_mean + beta @ skeleton.bone_length_basis.T)
    assert torch.allclose(lengths, pose.bone_lengths)


def test_rest_pose_shows_the_palm_to_the_camera_fingers_up_thumb_to_the_right() -> None:
    skeleton = Skeleton(torch.float64)
    joints = skeleton(torch.zeros(1, 26, dtype=torch.float64), torch.zeros(1, 20, dtype=torch.float64)).joints[0]
    assert joints[12, 1] < joints[9, 1] < joints[0, 1]
    assert joints[4, 0] > joints[8, 0] > joints[20, 0]


def test_flexion_moves_tips_towards_the_palm_and_abduction_to_the_little_finger() -> None:
    skeleton = Skeleton(torch.float64)
    theta, beta = torch.zeros(1, 26, dtype=torch.float64), torch.zeros(1, 20, dtype=torch.float64)
    rest = skeleton(theta, beta).joints[0]
    for finger in range(1, 5):
        tip = 4 * finger + 4
        for angle in (0, 2, 3):
            bent = theta.clone()
            bent[0, 6 + 4 * finger + angle] = 0.5
            assert skeleton(bent, beta).joints[0, tip, 2] < rest[tip, 2] - 3
        spread = theta.clone()
        spread[0, 6 + 4 * finger + 1] = 0.3
        assert skeleton(spread, beta).joints[0, tip, 0] < rest[tip, 0] - 3


def test_thumb_flexion_crosses_the_palm() -> None:
    skeleton = Skeleton(torch.float64)
    theta, beta = torch.zeros(1, 26, dtype=torch.float64), torch.zeros(1, 20, dtype=torch.float64)
    rest = skeleton(theta, beta).joints[0, 4]
    theta[0, [6, 8, 9]] = 0.6
    bent = skeleton(theta, beta).joints[0, 4]
    assert bent[0] < rest[0] - 30
    assert bent[2] < rest[2]


def test_global_motion_is_rigid() -> None:
    skeleton = Skeleton(torch.float64)
    theta, beta = random_hand(6)
    still = theta.clone()
    still[:, :6] = 0
    expected = skeleton(still, beta).joints @ euler_to_matrix(theta[:, 3:6]).mT + theta[:, None, :3]
    assert torch.allclose(skeleton(theta, beta).joints, expected)


def test_gradients() -> None:
    skeleton = Skeleton(torch.float64)
    theta, beta = (t.requires_grad_() for t in random_hand(2))
    assert torch.autograd.gradcheck(lambda t, b: skeleton(t, b).joints, (theta, beta))
