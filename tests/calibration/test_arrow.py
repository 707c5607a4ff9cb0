"""The elimination of poses against one dense solve."""

from __future__ import annotations

import numpy as np

from calibration.arrow import POSE, solve_arrow

SIZE, FRAMES = 7, 5
POSES = POSE.stop


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    jacobian = random.normal(size=(FRAMES, 60, POSES + SIZE))
    hessians = jacobian.transpose(0, 2, 1) @ jacobian
    root = random.normal(size=(SIZE, SIZE))
    return hessians, random.normal(size=(FRAMES, POSES + SIZE)), root @ root.T, random.normal(size=SIZE)


def dense(hessians: np.ndarray, gradients: np.ndarray, prior: np.ndarray, pull: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same system as one matrix: its step and the covariance of its shape."""
    total = FRAMES * POSES + SIZE
    whole, right = np.zeros((total, total)), np.zeros(total)
    shape = np.arange(FRAMES * POSES, total)
    whole[np.ix_(shape, shape)] = prior
    right[shape] = pull
    for index in range(FRAMES):
        rows = np.concatenate((np.arange(index * POSES, (index + 1) * POSES), shape))
        whole[np.ix_(rows, rows)] += hessians[index]
        right[rows] += gradients[index]
    step = -np.linalg.solve(whole, right)
    return step[:-SIZE].reshape(FRAMES, POSES), step[-SIZE:], np.linalg.inv(whole)[-SIZE:, -SIZE:]


def test_it_solves_what_a_dense_solver_solves() -> None:
    hessians, gradients, prior, pull = problem()
    poses, shape, covariance = dense(hessians, gradients, prior, pull)
    found = solve_arrow(hessians, gradients, prior, pull)
    assert np.allclose(found.poses, poses, rtol=1e-8, atol=1e-10)
    assert np.allclose(found.shape, shape, rtol=1e-8, atol=1e-10)
    assert np.allclose(np.linalg.inv(prior + found.information.sum(0)), covariance, rtol=1e-7)


def test_a_frame_of_no_weight_finds_its_pose_but_says_nothing_of_the_shape() -> None:
    hessians, gradients, prior, pull = problem(1)
    weights = np.ones(FRAMES)
    weights[2] = 0.0
    found = solve_arrow(hessians, gradients, prior, pull, weights=weights)
    kept = weights > 0
    without = solve_arrow(hessians[kept], gradients[kept], prior, pull)
    assert np.allclose(found.shape, without.shape)
    assert np.allclose(found.information[2], 0)
    stays = hessians[2][POSE, POSE] @ found.poses[2] + hessians[2][POSE, POSES:] @ found.shape
    assert np.allclose(stays, -gradients[2][POSE])


def test_damping_shortens_the_poses_steps() -> None:
    hessians, gradients, prior, pull = problem(2)
    free, damped = (solve_arrow(hessians, gradients, prior, pull, damping) for damping in (0.0, 10.0))
    assert np.linalg.norm(damped.poses) < 0.5 * np.linalg.norm(free.poses)
