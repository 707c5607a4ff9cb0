"""The hand detector's network -> the ONNX file that HandDetector.load reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.localise.frames import DETECTOR_VERSION, INPUT_HEIGHT, INPUT_WIDTH
from engine.localise.network import DetectorNet
from engine.onnx_export import write_onnx


class _Exported(torch.nn.Module):
    """The network with a score from 0 to 1 in place of the logit."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, depth: Tensor, focal: Tensor) -> tuple[Tensor, ...]:
        found = self.net(depth, focal)
        return found.logit.sigmoid(), found.u, found.v, found.z, found.shift


def export_detector(net: DetectorNet, path: Path, facts: dict[str, Any]) -> None:
    """Write `net` and `facts` (JSON: how it was trained) to an ONNX file, whole or not at all."""
    write_onnx(
        _Exported(copy.deepcopy(net).cpu()),
        (torch.zeros(1, 1, INPUT_HEIGHT, INPUT_WIDTH), torch.ones(1)),
        ("depth", "focal"),
        ("score", "u", "v", "z", "shift"),
        path,
        facts=("lumbrical", json.dumps({"kind": "detector", "version": DETECTOR_VERSION, **facts})),
    )
