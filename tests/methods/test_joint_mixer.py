"""The transformer over joints: what it looks at, and that a new one changes nothing."""

from __future__ import annotations

import pytest
import torch

from engine.methods.gaussian.encoder import CROP_SIZE, Encoder, EncoderConfig
from engine.methods.joint_mixer import JointMixer, MixerLayer

SMALL = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=2)


def test_a_joint_hears_of_others_and_of_the_image() -> None:
    torch.manual_seed(0)
    mixer = JointMixer(joints=5, features=3, channels=4, cells=9, width=8, layers=2)
    joints, cells = torch.randn(2, 5, 3), torch.randn(2, 4, 9)
    plain = mixer(joints, cells)
    assert plain.shape == (2, 5, 8)
    other = joints.clone()
    other[0, 4] += 1
    moved = (mixer(other, cells) - plain).abs().amax(2)
    assert (moved[0] > 1e-4).all() and (moved[1] == 0).all()
    further = cells.clone()
    further[1, :, 8] += 1
    moved = (mixer(joints, further) - plain).abs().amax(2)
    assert (moved[1] > 1e-5).all() and (moved[0] == 0).all()


def test_attention_is_torch_s() -> None:
    torch.manual_seed(0)
    layer, tokens = MixerLayer(16), torch.randn(3, 7, 16)
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    attention.in_proj_weight.data, attention.in_proj_bias.data = layer.attended.weight.data, layer.attended.bias.data
    attention.out_proj.weight.data, attention.out_proj.bias.data = layer.joined.weight.data, layer.joined.bias.data
    seen = layer.before_attention(tokens)
    halfway = tokens + attention(seen, seen, seen, need_weights=False)[0]
    assert torch.allclose(layer(tokens), halfway + layer.network(layer.before_network(halfway)), atol=1e-5)


def test_a_new_mixer_leaves_the_dense_head_s_points_alone() -> None:
    torch.manual_seed(0)
    encoder = Encoder(SMALL).eval()
    crop, distance = torch.randn(2, 1, CROP_SIZE, CROP_SIZE), torch.tensor([400.0, 600.0])
    first = encoder(crop, distance).points
    for parameter in encoder.mixer.parameters():
        parameter.data.add_(0.1)
    assert torch.equal(encoder(crop, distance).points, first)
    encoder.moved.weight.data.add_(0.1)
    assert not torch.equal(encoder(crop, distance).points, first)


@pytest.mark.parametrize(("width", "layers"), [(0, 3), (126, 3), (2048, 3), (128, 0), (128, 99)])
def test_sizes_of_no_mixer_are_refused(width: int, layers: int) -> None:
    with pytest.raises(ValueError, match="mixes joints"):
        EncoderConfig(mixer_width=width, mixer_layers=layers)
