"""Joints that look at each other: a small transformer (Vaswani et al. 2017) over one token a joint.

Convolutions say well where a joint is that they see. Where one is hidden it follows from the other joints, which the
attention between tokens can put together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_HEADS = 4


class MixerLayer(nn.Module):
    """Self-attention over tokens (B, T, width), then a small network on each; normalised before, added after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attended = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        heads = self.attended(self.before_attention(tokens)).reshape(batch, count, 3, _HEADS, width // _HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        share = (query @ key.transpose(-1, -2) * (width // _HEADS) ** -0.5).softmax(-1)
        seen = (share @ value).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.joined(seen)
        mixed: Tensor = tokens + self.network(self.before_network(tokens))
        return mixed


class JointMixer(nn.Module):
    """What is known of each joint (B, joints, features) and the coarsest map (B, channels, cells) of the image ->
    tokens (B, joints, width). width: a multiple of 4."""

    def __init__(self, joints: int, features: int, channels: int, cells: int, width: int, layers: int) -> None:
        super().__init__()
        self.joints = joints
        self.from_joint, self.from_cell = nn.Linear(features, width), nn.Linear(channels, width)
        self.names = nn.Parameter(0.1 * torch.randn(joints + cells, width))
        self.layers = nn.ModuleList(MixerLayer(width) for _ in range(layers))
        self.normalised = nn.LayerNorm(width)

    def forward(self, joints: Tensor, cells: Tensor) -> Tensor:
        tokens = torch.cat((self.from_joint(joints), self.from_cell(cells.transpose(1, 2))), 1) + self.names
        for layer in self.layers:
            tokens = layer(tokens)
        mixed: Tensor = self.normalised(tokens[:, : self.joints])
        return mixed
