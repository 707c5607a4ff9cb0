import numpy as np
import torch

from engine.geometry.rotations import euler_to_matrix
from engine.hand.inverse_kinematics import FitConfig, FittedPose, fit_points, joint_jacobian
from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton


def a_hand(seed: int) -> FittedPose:
    random = np.random.default_rng(seed)
    rotation = euler_to_matrix(torch.from_numpy(random.normal(0, 0.6, 3))).numpy()
    low, high = ARTICULATION_LIMITS.T
    return FittedPose(
        random.normal(0, 50, 3) + (0, 0, 500), rotation, random.uniform(low, high), random.normal(0, 1, 20)
    )


def joints(fit: FittedPose, skeleton: Skeleton) -> np.ndarray:
    batch = [torch.from_numpy(a)[None] for a in (fit.translation, fit.rotation, fit.articulation)]
    pose = skeleton.pose(*batch, skeleton.bone_lengths(torch.from_numpy(fit.beta)[None]))
    return pose.joints[0].numpy()


def test_jacobian_equals_autograd() -> None:
    skeleton, fit = Skeleton(torch.float64), a_hand(0)

    def of(step: torch.Tensor) -> torch.Tensor:
        skew = torch.zeros(3, 3, dtype=torch.float64)
        signs = ((2, 1, 0), (0, 2, 1), (1, 0, 2))
        for row, column, axis in signs:
            skew = skew.index_put((torch.tensor(row), torch.tensor(column)), step[3 + axis])
            skew = skew.index_put((torch.tensor(column), torch.tensor(row)), -step[3 + axis])
        turn = torch.linalg.matrix_exp(skew) @ torch.from_numpy(fit.rotation)
        lengths = skeleton.bone_lengths((torch.from_numpy(fit.beta) + step[26:])[None])
        pose = skeleton.pose(
            (torch.from_numpy(fit.translation) + step[:3])[None],
            turn[None],
            (torch.from_numpy(fit.articulation) + step[6:26])[None],
            lengths,
        )
        return pose.joints.reshape(-1)

    expected = torch.autograd.functional.jacobian(of, torch.zeros(46, dtype=torch.float64))
    batch = [torch.from_numpy(a)[None] for a in (fit.translation, fit.rotation, fit.articulation)]
    pose = skeleton.pose(*batch, skeleton.bone_lengths(torch.from_numpy(fit.beta)[None]))
    assert np.allclose(joint_jacobian(pose, fit.rotation, skeleton), expected.numpy(), atol=1e-8)


def test_a_disturbed_hand_finds_back_to_its_points() -> None:
    skeleton = Skeleton()
    before, after = [], []
    for seed in range(10):
        truth = a_hand(seed)
        random = np.random.default_rng(100 + seed)
        turn = euler_to_matrix(torch.from_numpy(random.normal(0, 0.1, 3))).numpy()
        start = FittedPose(
            truth.translation + random.normal(0, 8, 3),
            turn @ truth.rotation,
            truth.articulation + random.normal(0, 0.15, 20),
            truth.beta + random.normal(0, 0.5, 20),
        )
        target = joints(truth, Skeleton(torch.float64))
        fitted = fit_points(start, target, np.full(21, 4.0), skeleton)
        for errors, fit in ((before, start), (after, fitted)):
            errors.append(np.linalg.norm(joints(fit, Skeleton(torch.float64)) - target, axis=1).mean())
        assert np.allclose(fitted.rotation @ fitted.rotation.T, np.eye(3), atol=1e-6)
    assert np.mean(before) > 10
    assert np.mean(after) < 2


def test_unsure_points_pull_less() -> None:
    skeleton, truth = Skeleton(), a_hand(3)
    target = joints(truth, Skeleton(torch.float64))
    off = target.copy()
    off[8] += (0, 0, 60)
    sure, unsure = np.full(21, 3.0), np.full(21, 3.0)
    unsure[8] = 60.0
    errors = [
        np.linalg.norm(joints(fit_points(truth, off, s, skeleton), Skeleton(torch.float64))[8] - target[8])
        for s in (sure, unsure)
    ]
    assert errors[1] < 0.3 * errors[0]


def test_limits_hold_against_impossible_points() -> None:
    skeleton = Skeleton()
    low, high = ARTICULATION_LIMITS.T
    truth = a_hand(4)
    bent = truth.articulation.copy()
    bent[10] = high[10] + 1.0
    target = joints(FittedPose(truth.translation, truth.rotation, bent, truth.beta), Skeleton(torch.float64))
    fitted = fit_points(truth, target, np.full(21, 5.0), skeleton, FitConfig(steps=6))
    assert (fitted.articulation < high + 0.2).all()
    assert (fitted.articulation > low - 0.2).all()
