"""ONNX in half precision: what is large in fp16; in fp32 what sums over many cells, could overflow, or makes outputs of
what the last weights gave, such as rotations that are to be rotations."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx

#: Weighted sums over 1,024 cells lose millimetres in fp16; the others are small and could overflow.
_KEPT_IN_FULL = ("Softmax", "ReduceSum", "Exp", "Sigmoid", "ReduceL2", "Pow", "Sqrt", "LayerNormalization")
#: The operations that multiply by weights.
_WEIGHTED = ("Conv", "Gemm", "MatMul")


def half_onnx(model: Path | bytes) -> bytes:
    """The model of an ONNX file (or its bytes), its inputs and outputs as they were."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    full = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    with warnings.catch_warnings():
        # Of weights too small for fp16, which become the smallest it has: they are as good as nothing.
        warnings.simplefilter("ignore")
        half = convert_float_to_float16(
            full,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_KEPT_IN_FULL],
            node_block_list=_after_the_weights(full.graph),
        )
    _straighten(half.graph)
    return bytes(half.SerializeToString())


def _after_the_weights(graph: onnx.GraphProto) -> list[str]:
    """The names of nodes from which none that multiplies by weights is reached."""
    leads_to_weights: set[str] = set()
    after = []
    for node in reversed(graph.node):  # they are in the order in which they can be computed
        if node.op_type in _WEIGHTED or leads_to_weights.intersection(node.output):
            leads_to_weights.update(node.input)
        else:
            after.append(node.name)
    return after


def _straighten(graph: onnx.GraphProto) -> None:
    """Mend what the converter leaves: what is in full is cast to fp16 and back on its way to the next node in full, or
    to an output, which rounds it; and what such a node takes twice is cast twice, under one name."""
    nodes = list({node.output[0]: node for node in graph.node}.values())
    source = {node.output[0]: node.input[0] for node in nodes if _narrows(node)}
    for node in nodes:
        if _widens(node) and node.input[0] in source:
            node.op_type, node.input[0] = "Identity", source[node.input[0]]
            del node.attribute[:]
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [node for node in nodes if used.intersection(node.output)]
    del graph.node[:]
    graph.node.extend(kept)


def _narrows(node: onnx.NodeProto) -> bool:
    """Whether it is one of the converter's casts from fp32 to fp16."""
    return node.name.startswith("graph_input_cast") or node.name.endswith("_cast_to_fp16_node")


def _widens(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and any(
        one.name == "to" and one.i == onnx.TensorProto.FLOAT for one in node.attribute
    )
