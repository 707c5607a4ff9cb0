"""The runners by name, and which of them work here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runners.protocol import Progress, Runner, go_on
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.methods.gaussian.weights import LoadedEncoder


@dataclass(frozen=True)
class RunnerKind:
    """title: for people; precision: a key of verify.BOUNDS_MM; make: tells its progress, raises LumbricalError where it
    cannot run here; refit: makes the runner of the second weights from what is kept of the first, without building,
    where that can be done; fixed: why it runs no weights but those that it was prepared for, empty where it runs any.
    """

    title: str
    precision: str
    make: Callable[[LoadedEncoder, Progress], Runner]
    refit: Callable[[LoadedEncoder, LoadedEncoder], Runner] | None = None
    fixed: str = ""


def _torch(loaded: LoadedEncoder, progress: Progress) -> Runner:
    from engine.runners.torch_runner import TorchRunner

    return TorchRunner(loaded)


def _onnx(provider: str, half: bool = False) -> Callable[[LoadedEncoder, Progress], Runner]:
    def make(loaded: LoadedEncoder, progress: Progress) -> Runner:
        from engine.runners.onnx_runner import OnnxRunner

        return OnnxRunner(loaded, provider=provider, half=half)

    return make


def _int8(loaded: LoadedEncoder, progress: Progress) -> Runner:
    from engine.runners.int8 import int8_of
    from engine.runners.onnx_runner import OnnxRunner

    return OnnxRunner(loaded, path=int8_of(loaded))


def _tensorrt(loaded: LoadedEncoder, progress: Progress) -> Runner:
    from engine.runners.tensorrt_runner import TensorRtRunner

    return TensorRtRunner(loaded, progress)


def _refitted(base: LoadedEncoder, loaded: LoadedEncoder) -> Runner:
    from engine.runners.tensorrt_runner import TensorRtRunner

    return TensorRtRunner(loaded, base=base)


#: By the name that --runner takes.
RUNNERS = {
    "onnx": RunnerKind("ONNX Runtime", "fp32", _onnx("CPUExecutionProvider")),
    "int8": RunnerKind("ONNX Runtime, int8", "int8", _int8, fixed="int8 weights are made beforehand"),
    "torch": RunnerKind("torch", "fp32", _torch),
    "onnx-cuda": RunnerKind("ONNX Runtime, CUDA", "fp16", _onnx("CUDAExecutionProvider", half=True)),
    "onnx-tensorrt": RunnerKind("ONNX Runtime, TensorRT", "fp16", _onnx("TensorrtExecutionProvider", half=True)),
    "tensorrt": RunnerKind("TensorRT", "fp16", _tensorrt, refit=_refitted),
}
#: Runs everywhere and any weights, in full precision: tracks first, and recordings where no window plays them.
FIRST_RUNNER = "onnx"
#: What the others are compared with.
REFERENCE = "torch"


def best_runner(weights: Path | None = None) -> str:
    """The name of what suits this machine and a file of weights (None for the shipped ones) best: what runs on its GPU,
    where there is one and the library for it is installed, TensorRT before ONNX Runtime; else cpu_runner. Imports torch
    and asks the driver, so it may take seconds. That it works, and is exact, has still to be seen."""
    import torch

    installed = {"tensorrt": _tensorrt_is_installed, "onnx-cuda": _onnx_has_cuda}
    on_gpu = next((name for name, is_so in installed.items() if torch.cuda.is_available() and is_so()), None)
    return on_gpu or cpu_runner(weights)


def cpu_runner(weights: Path | None = None) -> str:
    """The name of what tracks a camera on the CPU by default: int8, where the processor is faster in it and the weights
    have their int8 file, which is only made where it is as accurate; else FIRST_RUNNER. weights: as for best_runner."""
    return "int8" if _int8_pays_off(weights) else FIRST_RUNNER


def _int8_pays_off(weights: Path | None) -> bool:
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS
    from engine.runners.int8 import int8_is_fast, int8_path

    return int8_is_fast() and int8_path(weights or DEFAULT_WEIGHTS).is_file()


def _tensorrt_is_installed() -> bool:
    from engine.runners.tensorrt_plan import TensorRtUnavailable, load_tensorrt

    try:
        load_tensorrt()
    except TensorRtUnavailable:
        return False
    return True


def _onnx_has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def make_runner(loaded: LoadedEncoder, name: str = FIRST_RUNNER, progress: Progress = go_on) -> Runner:
    """The runner of that name; progress: told while a plan is built. Raises LumbricalError for a name that is none of
    RUNNERS, or what cannot run here."""
    if name not in RUNNERS:
        raise LumbricalError(f"there is no runner {name!r}; choose one of {', '.join(RUNNERS)}")
    return RUNNERS[name].make(loaded, progress)
