from pathlib import Path

import numpy as np
import pytest
import torch

from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton
from engine.training.poses import PoseBank, load_pose_bank
from engine.training.sampling import HandSampler, SamplingConfig
from engine.types import LumbricalError


def _bend(poses: torch.Tensor) -> torch.Tensor:
    """(N, 5) how far each finger's middle joint is bent; the thumb's second joint."""
    return poses.reshape(-1, 5, 4)[:, :, 2]


def test_shipped_bank_is_large_within_limits_and_holds_the_poses_people_know() -> None:
    bank = load_pose_bank()
    poses = bank.articulation
    low, high = torch.as_tensor(ARTICULATION_LIMITS, dtype=torch.float32).T
    assert 1500 <= len(poses) <= 4000
    assert ((poses >= low) & (poses <= high)).all()
    bend = _bend(poses)[:, 1:]
    straight, closed = bend < 0.4, bend > 1.0
    assert (straight.all(1)).sum() > 50
    assert (closed.all(1)).sum() > 50
    pointing = straight[:, 0] & closed[:, 1:].all(1)
    ring = closed[:, 0] & straight[:, 1:].all(1)
    assert pointing.sum() > 10
    assert ring.sum() > 0


def test_no_two_shipped_poses_are_the_same() -> None:
    poses = load_pose_bank().articulation
    distance = torch.cdist(poses, poses) + 10 * torch.eye(len(poses))
    assert distance.min() > 0.02


def test_draws_lie_between_neighbours_and_not_across_the_bank() -> None:
    clusters = torch.cat((torch.zeros(30, 20), torch.full((30, 20), 0.5))) + 0.01 * torch.rand(60, 20)
    drawn = PoseBank(clusters).draw(200, torch.Generator().manual_seed(1)).mean(1)
    assert ((drawn < 0.02) | (drawn > 0.49)).all()
    assert (drawn < 0.02).any()
    assert (drawn > 0.49).any()


def test_a_bank_of_one_pose_draws_that_pose() -> None:
    pose = torch.linspace(0, 0.4, 20).unsqueeze(0)
    assert torch.allclose(PoseBank(pose).draw(3, torch.Generator()), pose.expand(3, 20))


def test_recorded_share_of_hands_stays_near_the_bank() -> None:
    pose = torch.full((1, 20), 0.2)
    config = SamplingConfig(bank_fraction=0.5, bank_jitter=0.0)
    sampler = HandSampler(config, Skeleton(), torch.Generator().manual_seed(3), PoseBank(pose))
    thumb_and_index = sampler.draw(400).articulation[:, :8].reshape(400, 2, 4)
    unmoved = ((thumb_and_index - 0.2).abs().amax(2) < 1e-6).any(1)
    assert 0.4 < unmoved.float().mean() < 0.6


def test_without_a_share_the_bank_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.sampling.load_pose_bank", lambda **_: pytest.fail("read"))
    HandSampler(SamplingConfig(bank_fraction=0.0), Skeleton(), torch.Generator()).draw(4)


def test_same_seed_draws_the_same_hands() -> None:
    first, again = (
        HandSampler(SamplingConfig(), Skeleton(), torch.Generator().manual_seed(5)).draw(8) for _ in range(2)
    )
    assert torch.equal(first.articulation, again.articulation)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"articulation": np.zeros((4, 19), np.float16)},
        {"articulation": np.zeros((0, 20), np.float16)},
        {"articulation": np.full((4, 20), np.nan, np.float16)},
        {"articulation": np.full((4, 20), 3.0, np.float16)},
        {"articulation": np.array([[{}] * 20], object)},
    ],
    ids=["no array", "19 angles", "empty", "not numbers", "beyond limits", "objects"],
)
def test_what_is_not_a_bank_is_refused_in_one_line(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "bank.npz"
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(LumbricalError, match=r"bank\.npz") as caught:
        load_pose_bank(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn"])
def test_damaged_and_missing_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bank.npz"
    with pytest.raises(LumbricalError):
        load_pose_bank(path)
    path.write_bytes(content)
    with pytest.raises(LumbricalError):
        load_pose_bank(path)
