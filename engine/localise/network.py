"""The hand detector's network (torch, for training and export): a small U-Net that marks palms in a depth frame.

One cell of its output covers 4 x 4 pixels of the downsampled frame. The picture's scale is given to it as a channel
(how many pixels a hand's length takes at each pixel's depth), so that one network serves cameras of different angles.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.localise.frames import STRIDE
from engine.methods.backbone import BasicBlock, conv_norm

#: Beyond this, and where nothing was measured, depth counts as this far (mm).
FAR_MM = 2500.0
_DEPTH_SCALE_MM = 500.0
_OFFSET_SCALE_MM = 50.0
_HAND_LENGTH_MM = 180.0
#: Heat maps start at this chance of a hand in a cell, as most cells hold none.
_PRIOR_LOGIT = -4.0


class Detections(NamedTuple):
    """Per cell, (B, H, W) each: logit of a palm's centre; where it is, pixels of the input; its depth, mm.

    shift: (B, 3, H, W) mm from the palm's centre to the mean of the 21 joints.
    """

    logit: Tensor
    u: Tensor
    v: Tensor
    z: Tensor
    shift: Tensor


class DetectorNet(nn.Module):
    """width: channels of the first stage. Input height and width are multiples of 32."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width, 6 * width, 8 * width)
        self.stem = nn.Sequential(conv_norm(3, sizes[0], 3, 2), nn.ReLU())
        self.stages = nn.ModuleList(BasicBlock(i, o, 2) for i, o in pairwise(sizes))
        self.laterals = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(sizes[:1:-1], sizes[-2:0:-1], strict=True))
        self.blocks = nn.ModuleList(BasicBlock(o, o, 1) for o in sizes[-2:0:-1])
        self.head = nn.Conv2d(sizes[1], 7, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([_PRIOR_LOGIT] + 6 * [0.0]))  # type: ignore[union-attr]

    def forward(self, depth: Tensor, focal: Tensor) -> Detections:
        """depth: (B, 1, H, W) mm, 0 where nothing was measured; focal: (B,) the focal length in input pixels."""
        seen = (depth > 0) & (depth < FAR_MM)
        mm = torch.where(seen, depth, FAR_MM)
        hand_px = torch.log2(focal.reshape(-1, 1, 1, 1) * _HAND_LENGTH_MM / mm) / 2 - 2
        mask = seen.to(mm.dtype)
        with torch.autocast(depth.device.type, enabled=False):
            # Eight bits of mantissa would round depth to some 8 mm, which is half a finger.
            features = self.stem(torch.cat((mm / _DEPTH_SCALE_MM - 1.5, hand_px, mask), 1))
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        for lateral, block, finer in zip(self.laterals, self.blocks, pyramid[-2::-1], strict=True):
            features = block(nn.functional.interpolate(lateral(features), scale_factor=2.0, mode="nearest") + finer)
        return self._decode(self.head(features).float(), mm)

    def _decode(self, raw: Tensor, mm: Tensor) -> Detections:
        height, width = raw.shape[-2:]
        middle = (STRIDE - 1) / 2
        u = torch.arange(width, device=raw.device) * STRIDE + middle
        v = (torch.arange(height, device=raw.device) * STRIDE + middle).unsqueeze(1)
        return Detections(
            logit=raw[:, 0],
            u=u + STRIDE * raw[:, 1],
            v=v + STRIDE * raw[:, 2],
            z=cell_depth(mm)[:, 0] + _OFFSET_SCALE_MM * raw[:, 3],
            shift=_OFFSET_SCALE_MM * raw[:, 4:],
        )


def cell_depth(mm: Tensor) -> Tensor:
    """The nearest depth in and about each cell, (B, 1, H / 4, W / 4) from (B, 1, H, W)."""
    cells = -nn.functional.max_pool2d(-mm, STRIDE)
    return -nn.functional.max_pool2d(-cells, 3, 1, 1)
