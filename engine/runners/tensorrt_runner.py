"""TensorRT on an NVIDIA GPU. Crops are cut there too: a frame goes over once, its crops come back once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.localise.crop import CropWindow
from engine.localise.crop_torch import TorchCutter
from engine.methods.gaussian.encoder import CROP_SIZE
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.export import INPUTS, OUTPUTS, onnx_model
from engine.runners.half import half_onnx
from engine.runners.protocol import Estimate, Progress, RunnerFailed, go_on
from engine.runners.tensorrt_plan import (
    MAX_BATCH,
    TensorRtUnavailable,
    cached_plan,
    forget_plan,
    kept_plan,
    load_tensorrt,
)
from engine.runners.tensorrt_refit import refit
from engine.types import DepthFrame, FloatArray, first_line

#: What TensorRT wants the address of a tensor to be a multiple of.
_ALIGNMENT = 256
_NOT_LOADED = "TensorRT cannot load its plan on this GPU; update the driver"


class TensorRtFailed(TensorRtUnavailable, RunnerFailed):
    """It worked until now."""


class TensorRtRunner:
    """Runs a plan of the encoder on the first GPU, on one stream that torch works on as well.

    base: weights whose plan is kept; it is given those of `loaded`, instead of building one, in an engine of its own:
    a runner of `base` goes on as it is. half: in fp16, else in fp32. Raises TensorRtUnavailable where there is no such
    GPU, no TensorRT, a plan that does not run, or none that takes the weights. `cut` and `run` raise TensorRtFailed
    where the GPU fails.
    """

    name = "TensorRT"

    def __init__(
        self,
        loaded: LoadedEncoder,
        progress: Progress = go_on,
        base: LoadedEncoder | None = None,
        half: bool = True,
    ) -> None:
        if not torch.cuda.is_available():
            raise TensorRtUnavailable("TensorRT needs an NVIDIA GPU and a torch with CUDA; use another runner")
        self._trt = load_tensorrt()
        self._log = self._trt.Logger(self._trt.Logger.ERROR)
        self._half = half
        model = self._model(loaded)
        with _in_one_line():
            self._stream: Any = torch.cuda.Stream()
            self._cutter = TorchCutter("cuda")
            self._cut: tuple[FloatArray, Tensor] | None = None
            self._engine = self._planned(model, progress) if base is None else self._refitted(model, base)
            self._allocate()
        self.version = loaded.version

    def _model(self, loaded: LoadedEncoder) -> bytes:
        return half_onnx(onnx_model(loaded)) if self._half else onnx_model(loaded)

    def _planned(self, model: bytes, progress: Progress) -> Any:
        plan, kept = cached_plan(model, progress=progress)
        engine = self._load(plan)
        if engine is None and kept:
            # It was cut short, or is not what it was built for any more.
            forget_plan(model)
            engine = self._load(cached_plan(model, progress=progress)[0])
        if engine is None:
            raise TensorRtUnavailable(_NOT_LOADED)
        return engine

    def _load(self, plan: bytes) -> Any:
        return self._trt.Runtime(self._log).deserialize_cuda_engine(plan)

    def _refitted(self, model: bytes, base: LoadedEncoder) -> Any:
        plan = kept_plan(self._model(base))
        engine = self._load(plan) if plan is not None else None
        if engine is None:
            raise TensorRtUnavailable(f"no plan of {base.version} is kept")
        # On the stream that it will run on: nothing that tracks meanwhile waits for it.
        refit(self._trt, engine, model, self._stream.cuda_stream)
        self._stream.synchronize()
        return engine

    def _allocate(self) -> None:
        """What the plan reads and writes is allocated here, nothing while it runs."""
        context = self._engine.create_execution_context()
        if context is None:
            raise TensorRtUnavailable(_NOT_LOADED)
        self._context = context
        self._crops = torch.empty(MAX_BATCH, CROP_SIZE, CROP_SIZE, device="cuda")
        self._distances = torch.empty(MAX_BATCH, device="cuda")
        for name, tensor in zip(INPUTS, (self._crops, self._distances), strict=True):
            context.set_tensor_address(name, tensor.data_ptr())
        self._slices: dict[str, tuple[int, tuple[int, ...]]] = {}
        end = 0
        for name in OUTPUTS:
            shape = tuple(self._engine.get_tensor_shape(name))[1:]
            self._slices[name] = (end, shape)
            size = 4 * MAX_BATCH * int(np.prod(shape, dtype=int))
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self._outputs = torch.empty(end // 4, device="cuda")
        self._host = torch.empty(end // 4, pin_memory=True)
        for name, (start, _) in self._slices.items():
            context.set_tensor_address(name, self._outputs.data_ptr() + start)

    def cut(self, frame: DepthFrame, windows: Sequence[CropWindow]) -> FloatArray:
        """The crops (B, 128, 128) of a frame's windows, cut on the GPU, where they stay for the `run` that follows."""
        with _in_one_line(TensorRtFailed), torch.cuda.stream(self._stream):
            depth = torch.from_numpy(frame.depth.astype(np.int32)).to("cuda", non_blocking=True)
            crops = self._cutter.cut(depth, frame.depth_unit_mm, frame.intrinsics, windows)
            on_host = crops.cpu().numpy()
        self._cut = (on_host, crops)
        return on_host

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run. Crops that `cut` has just given are not sent to the GPU again."""
        parts = [self._run(crops[i : i + MAX_BATCH], distances[i : i + MAX_BATCH], whole=len(crops) <= MAX_BATCH)
                 for i in range(0, len(crops), MAX_BATCH)]  # fmt: skip
        return Estimate(*(np.concatenate([getattr(part, name) for part in parts]) for name in OUTPUTS))

    def _run(self, crops: FloatArray, distances: FloatArray, whole: bool) -> Estimate:
        count = len(crops)
        with _in_one_line(TensorRtFailed), torch.cuda.stream(self._stream):
            known = whole and self._cut is not None and np.may_share_memory(self._cut[0], crops)
            source = self._cut[1] if known and self._cut is not None else torch.from_numpy(crops)
            self._crops[:count].copy_(source, non_blocking=True)
            self._distances[:count].copy_(torch.from_numpy(distances), non_blocking=True)
            for name, tensor in zip(INPUTS, (self._crops, self._distances), strict=True):
                self._context.set_input_shape(name, (count, *tensor.shape[1:]))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise TensorRtFailed("TensorRT failed on the GPU; use another runner")
            self._host.copy_(self._outputs, non_blocking=True)
            self._stream.synchronize()
        return Estimate(*(self._output(name, count) for name in OUTPUTS))

    def _output(self, name: str, count: int) -> FloatArray:
        """The caller's own copy of an output of `count` crops."""
        start, shape = self._slices[name]
        values = self._host[start // 4 :][: count * int(np.prod(shape, dtype=int))]
        return values.numpy().reshape(count, *shape).copy()


@contextmanager
def _in_one_line(kind: type[TensorRtUnavailable] = TensorRtUnavailable) -> Iterator[None]:
    """What torch says of a GPU that has no memory left, is unknown to it, or failed."""
    try:
        yield
    except RuntimeError as error:
        raise kind(f"the GPU failed: {first_line(error)}") from error
