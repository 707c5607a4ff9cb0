"""Other weights for a TensorRT plan, without building it again.

TensorRT names a network's weights as the ONNX file's initialisers are named, so a file of the same network, in the same
precision (engine.runners.half), says which goes where.
"""

from __future__ import annotations

from typing import Any

from engine.runners.tensorrt_plan import TensorRtUnavailable, error_log


def refit(trt: Any, engine: Any, model: bytes, stream: int) -> None:
    """Give an engine that nobody runs yet all weights of a model, on a CUDA stream, which is not waited for.

    Raises TensorRtUnavailable where its plan was not built for that or the weights are not those of its network; some
    of them may have been exchanged then: the engine is good for nothing.
    """
    if not engine.refittable:
        raise TensorRtUnavailable("the plan cannot take other weights: it was built without a GPU")
    log = error_log(trt)
    refitter = trt.Refitter(engine, log)
    parser = trt.OnnxParserRefitter(refitter, log)
    if not parser.refit_from_bytes(model):
        said = parser.get_error(0).desc() if parser.num_errors else log.last
        raise TensorRtUnavailable(f"TensorRT cannot exchange the plan's weights: {said}")
    missing = refitter.get_missing_weights()
    if missing:
        raise TensorRtUnavailable(f"the plan needs weights that the network does not have, such as {missing[0]}")
    if not refitter.refit_cuda_engine_async(stream):
        raise TensorRtUnavailable(f"TensorRT cannot exchange the plan's weights: {log.last}")
