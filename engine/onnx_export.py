"""Torch module -> ONNX file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

_OPSET = 17


def write_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    path: Path,
    free_batch: bool = False,
    facts: tuple[str, str] | None = None,
) -> None:
    """Write a module as ONNX, whole or not at all; its folder is made when missing.

    inputs: of the sizes to trace with. free_batch: the first axis of every input and output may have any length.
    facts: a key and a text that go into the file's metadata.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    axes = {name: {0: "batch"} for name in (*input_names, *output_names)} if free_batch else None
    with warnings.catch_warnings():
        # The tracing exporter is announced as the older of two; it writes smaller graphs in a tenth of the time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            str(part),
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )
    if facts is not None:
        graph = onnx.load(str(part))
        entry = graph.metadata_props.add()
        entry.key, entry.value = facts
        onnx.save(graph, str(part))
    os.replace(part, path)
