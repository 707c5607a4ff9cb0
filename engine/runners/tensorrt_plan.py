"""TensorRT plans: built from ONNX, with or without a GPU present, and cached for the GPU and driver they will run on.

`tensorrt` is taken where it is installed, else TensorRT for RTX, whose API is the same. Networks are strongly typed:
the types are those of the ONNX file, so fp16 means a file in fp16 (engine.runners.half).
"""

from __future__ import annotations

import hashlib
import importlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from engine.methods.gaussian.encoder import CROP_SIZE
from engine.runners.export import INPUTS
from engine.runners.protocol import Progress, go_on
from engine.types import LumbricalError
from engine.whole_file import write_whole

#: The tracker looks at no more windows at once: three places, each for two hands.
MAX_BATCH = 8
#: Part of kept plans' names; another one when they are built otherwise than before.
_BUILD = "exact"
#: Where Linux tells the version of NVIDIA's driver.
_DRIVER_VERSION = Path("/sys/module/nvidia/version")
_MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


class TensorRtUnavailable(LumbricalError):
    """TensorRT is not installed, or refuses what it was given."""


@dataclass(frozen=True)
class PlanTarget:
    """What a plan is made for; a plan made for another is not used. gpu "any": to be finished on the GPU it meets, and
    then for good: only what is built on a GPU takes other weights later."""

    gpu: str
    driver: str

    @staticmethod
    def of_this_machine() -> PlanTarget:
        """The first GPU and its driver, of which CUDA's version has to do where the system does not tell; ANY_GPU
        where there is none."""
        import torch

        if not torch.cuda.is_available():
            return ANY_GPU
        major, minor = torch.cuda.get_device_capability(0)
        driver = str(torch.version.cuda)
        with suppress(OSError):
            driver += "-" + _DRIVER_VERSION.read_text().strip()
        return PlanTarget(f"{torch.cuda.get_device_name(0)}-sm{major}{minor}", driver)


ANY_GPU = PlanTarget("any", "any")


def load_tensorrt() -> Any:
    """The module of TensorRT, or of TensorRT for RTX. Raises TensorRtUnavailable where neither is installed whole."""
    for name in _MODULES:
        with suppress(ImportError, OSError):  # of one whose shared libraries are missing
            return importlib.import_module(name)
    raise TensorRtUnavailable("TensorRT is not installed; with an NVIDIA GPU: pip install '.[tensorrt]'")


def tensorrt_version() -> str:
    """Which of the two it is, and its version. Raises TensorRtUnavailable as load_tensorrt does."""
    trt = load_tensorrt()
    return f"{trt.__name__}-{trt.__version__}"


def build_plan(model: bytes, progress: Progress = go_on, refittable: bool = False) -> bytes:
    """A plan of an encoder's ONNX model, for batches of up to MAX_BATCH. refittable: takes other weights later
    (engine.runners.tensorrt_refit); TensorRT compiles such a plan at once, which needs the GPU.

    Takes seconds, in which the interpreter's lock is not held. Raises TensorRtUnavailable where TensorRT is missing,
    cannot read the model or cannot build it, and when progress said no.
    """
    trt = load_tensorrt()
    log = error_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise TensorRtUnavailable(f"TensorRT cannot read the network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # what is fp32 is to be as exact as torch
    if refittable:
        config.set_flag(trt.BuilderFlag.REFIT)
    profile = builder.create_optimization_profile()
    for name, size in zip(INPUTS, ((CROP_SIZE, CROP_SIZE), ()), strict=True):
        profile.set_shape(name, (1, *size), (1, *size), (MAX_BATCH, *size))
    config.add_optimization_profile(profile)
    config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise TensorRtUnavailable(f"TensorRT cannot build a plan of the network: {log.last or 'it was stopped'}")
    return bytes(plan)


def cached_plan(model: bytes, target: PlanTarget | None = None, progress: Progress = go_on) -> tuple[bytes, bool]:
    """The plan of a model for a target (this machine's when None), and whether it was in the user's cache.

    Built and kept where it was not there; where the cache cannot be written it is built each time.
    """
    target = target or PlanTarget.of_this_machine()
    kept = kept_plan(model, target)
    if kept is not None:
        return kept, True
    plan = _built(model, target, progress)
    path = _path(model, target)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, plan)
    return plan, False


def kept_plan(model: bytes, target: PlanTarget | None = None) -> bytes | None:
    """The plan of a model for a target (this machine's when None) from the user's cache; None where there is none."""
    with suppress(OSError):
        return _path(model, target or PlanTarget.of_this_machine()).read_bytes()
    return None


def forget_plan(model: bytes, target: PlanTarget | None = None) -> None:
    """Take a plan out of the user's cache."""
    with suppress(OSError):
        _path(model, target or PlanTarget.of_this_machine()).unlink()


def _path(model: bytes, target: PlanTarget) -> Path:
    return Path(user_cache_path("lumbrical")) / f"{plan_key(model, target)}.plan"


def _built(model: bytes, target: PlanTarget, progress: Progress) -> bytes:
    """Refittable where it is built on the GPU; as it always was where TensorRT cannot do that."""
    if target != ANY_GPU:
        with suppress(TensorRtUnavailable):
            return build_plan(model, progress, refittable=True)
    return build_plan(model, progress)


def plan_key(model: bytes, target: PlanTarget) -> str:
    """A file's name that differs wherever the network, the GPU, its driver, TensorRT or the way of building does."""
    machine = f"{_BUILD}-{tensorrt_version()}-{target.gpu}-{target.driver}"
    return f"{hashlib.sha256(model).hexdigest()[:16]}-{re.sub(r'[^A-Za-z0-9.-]+', '_', machine)}"


def error_log(trt: Any) -> Any:
    """A logger that keeps the last error instead of printing it."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.last = message.splitlines()[0] if message else ""

    return Log()


def _monitor(trt: Any, progress: Progress) -> Any:
    """Adds up the outermost phase's steps."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, tuple[float, float, int]] = {}
            self._done = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                span = (self._done, 1.0 - self._done)
            else:
                begin, width, steps = self._phases.get(parent_phase, (self._done, 0.0, 1))
                span = (self._done, width / max(1, steps)) if width else (begin, 0.0)
            self._phases[phase_name] = (*span, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            begin, width, steps = self._phases.get(phase_name, (self._done, 0.0, 1))
            self._done = max(self._done, min(1.0, begin + width * (step + 1) / max(1, steps)))
            return progress(self._done)

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

    return Monitor()
