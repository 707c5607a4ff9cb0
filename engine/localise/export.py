"""The hand detector's network -> the ONNX file that HandDetector.load reads."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from engine.localise.frames import DETECTOR_VERSION, INPUT_HEIGHT, INPUT_WIDTH
from engine.localise.network import DetectorNet


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
    model = _Exported(copy.deepcopy(net).cpu().eval())
    inputs = (torch.zeros(1, 1, INPUT_HEIGHT, INPUT_WIDTH), torch.ones(1))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        inputs,
        str(part),
        input_names=["depth", "focal"],
        output_names=["score", "u", "v", "z", "shift"],
        opset_version=17,
        dynamo=False,
    )
    graph = onnx.load(str(part))
    entry = graph.metadata_props.add()
    entry.key, entry.value = "lumbrical", json.dumps({"kind": "detector", "version": DETECTOR_VERSION, **facts})
    onnx.save(graph, str(part))
    os.replace(part, path)
