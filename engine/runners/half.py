"""ONNX in half precision: what is large in fp16, what sums over many cells or could overflow in fp32."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx

#: Weighted sums over 1,024 cells lose millimetres in fp16; the others are small and could overflow.
_KEPT_IN_FULL = ("Softmax", "ReduceSum", "Exp", "Sigmoid", "ReduceL2", "Pow", "Sqrt", "LayerNormalization")


def half_onnx(model: Path | bytes) -> bytes:
    """The model of an ONNX file (or its bytes), its inputs and outputs as they were."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    full = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    with warnings.catch_warnings():
        # Of weights too small for fp16, which become the smallest it has: they are as good as nothing.
        warnings.simplefilter("ignore")
        half = convert_float_to_float16(
            full, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_KEPT_IN_FULL]
        )
    return bytes(half.SerializeToString())
