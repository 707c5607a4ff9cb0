"""The encoder in half precision says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from engine.methods.gaussian.weights import load_weights
from engine.runners.export import INPUTS, onnx_model
from engine.runners.half import half_onnx


def test_the_shipped_encoder_in_half_precision_moves_points_by_little(tmp_path: Path) -> None:
    full = onnx_model(load_weights())
    half = half_onnx(full)
    assert len(half) < 0.55 * len(full)
    crops = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128)).astype(np.float32)
    inputs = dict(zip(INPUTS, (crops, np.array([300, 700], np.float32)), strict=True))
    points, small = (
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        for model in (full, half)
    )
    apart = np.linalg.norm(points - small, axis=2)
    assert 0 < apart.max() < 1.0


def test_weights_are_in_half_precision_and_inputs_as_they_were(tmp_path: Path) -> None:
    graph = onnx.load_from_string(half_onnx(onnx_model(load_weights()))).graph
    kinds = {tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) > 1000}
    assert kinds == {onnx.TensorProto.FLOAT16}
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
