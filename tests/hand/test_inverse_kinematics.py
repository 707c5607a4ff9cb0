import numpy as np
import torch

from engine.geometry.rotations import euler_to_matrix
from engine.hand.inverse_kinematics import FitConfig, FittedPose, PoseFitter
from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton


def a_hand(seed: int) -> FittedPose:
    random = np.random.default_rng(seed)
    rotation = euler_to_matrix(torch.from_numpy(random.normal(0, 0.6, 3))).numpy()
    low, high = ARTICULATION_LIMITS.T
    return FittedPose(
        random.normal(0, 50, 3) + (0, 0, 500), rotation, random.uniform(low, high), random.normal(0, 1, 20)
    )


def joints(fit: FittedPose) -> np.ndarray:
    return PoseFitter(Skeleton(torch.float64)).pose(fit).joints[0].numpy()


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
    fitter = PoseFitter(skeleton)
    assert np.allclose(fitter.jacobian(fitter.pose(fit), fit.rotation), expected.numpy(), atol=1e-8)


def test_a_disturbed_hand_finds_back_to_its_points() -> None:
    fitter = PoseFitter(Skeleton(), FitConfig(steps=3))
    before: list[float] = []
    after: list[float] = []
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
        target = joints(truth)
        fitted = fitter.fit(start, target, np.full(21, 4.0))
        for errors, fit in ((before, start), (after, fitted)):
            errors.append(np.linalg.norm(joints(fit) - target, axis=1).mean())
        assert np.allclose(fitted.rotation @ fitted.rotation.T, np.eye(3), atol=1e-6)
    assert np.mean(before) > 10
    assert np.mean(after) < 2


def test_unsure_points_pull_less() -> None:
    fitter, truth = PoseFitter(Skeleton()), a_hand(3)
    target = joints(truth)
    off = target.copy()
    off[8] += (0, 0, 60)
    sure, unsure = np.full(21, 3.0), np.full(21, 3.0)
    unsure[8] = 60.0
    errors = [np.linalg.norm(joints(fitter.fit(truth, off, s))[8] - target[8]) for s in (sure, unsure)]
    assert errors[1] < 0.3 * errors[0]


def test_limits_hold_against_impossible_points() -> None:
    low, high = ARTICULATION_LIMITS.T
    truth = a_hand(4)
    bent = truth.articulation.copy()
    bent[10] = high[10] + 1.0
    target = joints(FittedPose(truth.translation, truth.rotation, bent, truth.beta))
    fitted = PoseFitter(Skeleton(), FitConfig(steps=6)).fit(truth, target, np.full(21, 5.0))
    assert (fitted.articulation < high + 0.2).all()
    assert (fitted.articulation > low - 0.2).all()
