"""ResNet-18 (He et al. 2016) of any width, without its classifier, for one-channel crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FULL_WIDTH = 64


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (over stride), followed by batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, 3, stride)
        self.second = conv_norm(outputs, outputs, 3)
        same = stride == 1 and inputs == outputs
        self.short_cut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)

    def forward(self, image: Tensor) -> Tensor:
        inner = torch.relu(self.first(image))
        return torch.relu(self.second(inner) + self.short_cut(image))


class ResNet18(nn.Module):
    """Features at strides 4, 8, 16 and 32 of a (B, 1, H, W) image; `channels` names their sizes."""

    def __init__(self, width: float) -> None:
        super().__init__()
        base = int(_FULL_WIDTH * width)
        self.channels = (base, 2 * base, 4 * base, 8 * base)
        self.stem = nn.Sequential(conv_norm(1, base, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        inputs = (base, *self.channels[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(i, o, stride), BasicBlock(o, o, 1))
            for i, o, stride in zip(inputs, self.channels, (1, 2, 2, 2), strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        features, pyramid = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        return pyramid
