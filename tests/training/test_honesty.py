"""What the documentation of the training data claims of the shipped configurations."""

from pathlib import Path

import torch

from engine.hand.skeleton import Skeleton
from engine.training.config import ENCODER_CONFIG, load_config
from engine.training.detector_training import load_detector_config
from engine.training.sampling import HandSampler, batch_seed


def test_no_batch_of_the_test_data_is_one_of_training() -> None:
    encoder, detector = load_config(ENCODER_CONFIG), load_detector_config(Path("configs/detector.toml"))
    for config, tests in ((encoder, encoder.test_images), (detector, detector.test_scenes)):
        trained = {batch_seed(config.seed, index) for index in range(config.images // config.part_size + 1)}
        tested = {batch_seed(config.test_seed, index) for index in range(tests)}
        assert len(trained) > 1000 and not trained & tested


def test_fingers_rarely_pass_through_each_other() -> None:
    skeleton, count = Skeleton(), 1500
    sampler = HandSampler(load_config(ENCODER_CONFIG).render.sampling, skeleton, torch.Generator().manual_seed(5))
    hands = sampler.draw(count)
    turn = torch.eye(3).expand(count, 3, 3)
    lengths = skeleton.bone_lengths(hands.beta)
    joints = skeleton.pose(torch.zeros(count, 3), turn, hands.articulation, lengths).joints[:, 1:].reshape(-1, 5, 4, 3)
    ways = torch.linspace(0.1, 0.95, 8)[:, None]
    middle = [joints[:, :, i, None] + ways * (joints[:, :, i + 1, None] - joints[:, :, i, None]) for i in range(3)]
    # Without the thumb's metacarpal, which lies in the palm.
    lines = torch.cat(middle, 2).flatten(1, 2)[:, 8:]
    finger = torch.arange(5).repeat_interleave(24)[8:]
    gaps = torch.cdist(lines, lines).masked_fill(finger[:, None] == finger, 1e3)
    nearest = gaps.flatten(1).min(1).values
    assert (nearest < 6).float().mean() < 0.035
    assert (nearest < 8).float().mean() < 0.06
