"""TensorRT and a GPU as far as TensorRtRunner uses them, without either: plans are ONNX models, run by ONNX Runtime.

It cannot tell what TensorRT itself does; it tells what is asked of TensorRT, in which order, and of which engine.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from engine.localise.crop_torch import TorchCutter
from engine.runners import export, tensorrt_plan, tensorrt_runner
from engine.runners.export import INPUTS, OUTPUTS
from engine.runners.protocol import Progress, go_on
from engine.runners.tensorrt_plan import PlanTarget, TensorRtUnavailable

#: What a refittable plan begins with.
_MARK = b"refittable "


class StandIn:
    """The module, and what was asked of it. built: whether each plan was to be refittable; engines: all there are;
    refitted: those that were given other weights. Settings: refittable: whether such plans can be built; spoils: by
    how much weights are multiplied on their way into an engine; go_on: builds wait for it half-way."""

    __name__, __version__ = "stand_in", "1"

    def __init__(self) -> None:
        self.built: list[bool] = []
        self.engines: list[Engine] = []
        self.refitted: list[Engine] = []
        self.refittable, self.spoils = True, 1.0
        self.go_on = threading.Event()
        self.go_on.set()

    def build_plan(self, model: bytes, progress: Progress = go_on, refittable: bool = False) -> bytes:
        """In the place of tensorrt_plan.build_plan."""
        self.built.append(refittable)
        if refittable and not self.refittable:
            raise TensorRtUnavailable("no such plan")
        if not progress(0.5):
            raise TensorRtUnavailable("it was stopped")
        assert self.go_on.wait(60)
        return (_MARK if refittable else b"") + model

    def Logger(self, severity: int) -> object:
        return object()

    Logger.ERROR = 0  # type: ignore[attr-defined]

    class ILogger:
        """What error_log is made of."""

    def Runtime(self, log: object) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=self._deserialise)

    def _deserialise(self, plan: bytes) -> Engine | None:
        if plan == b"cut short":
            return None
        self.engines.append(Engine(plan))
        return self.engines[-1]

    def Refitter(self, engine: Engine, log: object) -> NewWeights:
        return NewWeights(self, engine)

    def OnnxParserRefitter(self, refitter: NewWeights, log: object) -> WeightsFile:
        return WeightsFile(refitter)


class Engine:
    """An ONNX model that may take other weights until it is run first."""

    def __init__(self, plan: bytes) -> None:
        self.refittable = plan.startswith(_MARK)
        self.model = onnx.load_from_string(plan.removeprefix(_MARK))
        self.runs = 0

    @property
    def weights(self) -> dict[str, Any]:
        """The model's initialisers by name, as they stand in it."""
        return {one.name: one for one in self.model.graph.initializer}

    def create_execution_context(self) -> Context:
        return Context(self)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        sizes = {"points": (21, 3), "sigma": (21,), "translation": (3,), "rotation": (3, 3), "articulation": (20,)}
        return (-1, *(sizes | {"beta": (20,), "thickness": (6,)}).get(name, ()))


class Context:
    """Runs an engine's model as it was when the context was made, on memory at addresses."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._addresses, self._shapes = engine, dict[str, int](), dict[str, tuple[int, ...]]()
        model = engine.model.SerializeToString()
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self._shapes[name] = shape

    def execute_async_v3(self, stream: int) -> bool:
        self._engine.runs += 1
        inputs = {}
        for name in INPUTS:
            size = int(np.prod(self._shapes[name]))
            held = ctypes.string_at(self._addresses[name], 4 * size)
            inputs[name] = np.frombuffer(held, np.float32).reshape(self._shapes[name])
        for name, value in zip(OUTPUTS, self._session.run(None, inputs), strict=True):
            whole = np.ascontiguousarray(value, np.float32)
            ctypes.memmove(self._addresses[name], whole.ctypes.data, whole.nbytes)
        return True


class NewWeights:
    """Collects an engine's new weights, and exchanges them when asked to."""

    def __init__(self, trt: StandIn, engine: Engine) -> None:
        self._trt, self.engine = trt, engine
        self.new: dict[str, Any] = {}

    def get_missing_weights(self) -> list[str]:
        return sorted(self.engine.weights.keys() - self.new.keys())

    def refit_cuda_engine_async(self, stream: int) -> bool:
        assert self.engine.runs == 0, "other weights for an engine that runs"
        for name, held in self.engine.weights.items():
            values = numpy_helper.to_array(self.new[name])
            if values.ndim > 1:
                values = (values * self._trt.spoils).astype(values.dtype)
            held.CopyFrom(numpy_helper.from_array(values, name))
        self._trt.refitted.append(self.engine)
        return True


class WeightsFile:
    """Takes weights out of an ONNX file; those that the engine does not know, it refuses."""

    num_errors = 1

    def __init__(self, refitter: NewWeights) -> None:
        self._refitter = refitter

    def refit_from_bytes(self, model: bytes) -> bool:
        held = self._refitter.engine.weights
        for one in onnx.load_from_string(model).graph.initializer:
            known = held.get(one.name)
            if known is None or (known.data_type, known.dims) != (one.data_type, one.dims):
                return False
            self._refitter.new[one.name] = one
        return True

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "weights of another network")


class _OnCpu:
    """torch, whose GPU is the CPU."""

    cuda = SimpleNamespace(
        is_available=lambda: True,
        Stream=lambda: SimpleNamespace(cuda_stream=0, synchronize=lambda: None),
        stream=lambda stream: nullcontext(),
    )

    def empty(self, *sizes: int, **where: object) -> torch.Tensor:
        return torch.empty(*sizes)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def put_in_place(monkeypatch: pytest.MonkeyPatch, cache: Path) -> StandIn:
    """TensorRT is the stand-in, the GPU the CPU, and what is kept lies in `cache`."""
    trt = StandIn()
    monkeypatch.setattr(export, "user_cache_path", lambda _: cache)
    monkeypatch.setattr(tensorrt_plan, "user_cache_path", lambda _: cache)
    monkeypatch.setattr(tensorrt_plan, "load_tensorrt", lambda: trt)
    monkeypatch.setattr(tensorrt_plan, "build_plan", trt.build_plan)
    monkeypatch.setattr(PlanTarget, "of_this_machine", staticmethod(lambda: PlanTarget("a GPU", "1")))
    monkeypatch.setattr(tensorrt_runner, "load_tensorrt", lambda: trt)
    monkeypatch.setattr(tensorrt_runner, "torch", _OnCpu())
    monkeypatch.setattr(tensorrt_runner, "TorchCutter", lambda device: TorchCutter("cpu"))
    # Trackers cut on the CPU: there is no GPU to send a frame to.
    monkeypatch.delattr(tensorrt_runner.TensorRtRunner, "cut")
    return trt
