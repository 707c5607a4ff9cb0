"""Small steps on rendered and own frames: weights move, statistics of batch normalisation do not."""

from __future__ import annotations

import numpy as np
import torch

from engine.adaptation.anchors import AnchorConfig, AnchorTraining
from engine.adaptation.samples import Sample
from engine.hand.template import load_template
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.training.renders import HandRenderer, HandShape, RenderConfig


def _own(count: int) -> list[Sample]:
    batch = HandRenderer(RenderConfig(points=1000, empty_fraction=0, left_fraction=0), 4).batch(count)
    crops = batch.crop[:, 0].numpy().astype(np.float16)
    pose = np.zeros(26, np.float32)
    return [
        Sample(c, float(d), pose, 3.0, 1.0, 1.0, 0.0, True, 0.0) for c, d in zip(crops, batch.distance, strict=True)
    ]


def test_steps_move_the_average_only_and_leave_statistics() -> None:
    torch.manual_seed(1)
    encoder = Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    config = AnchorConfig(steps=2, batch=6, own=2, general=2, render=RenderConfig(points=1000))
    shape = HandShape(torch.full((20,), 0.5), torch.zeros(6), torch.zeros(16))
    training = AnchorTraining(encoder, load_template(), shape, _own(5), config)
    while not training.finished:
        assert np.isfinite(training.step())
    after = training.average.state_dict()
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert any(not torch.equal(before[name], after[name]) for name in after)
    assert all(torch.equal(before[name], after[name]) for name in after if "running" in name)
