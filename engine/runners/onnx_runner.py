"""ONNX Runtime: on the CPU, in full precision or int8, and on a GPU where its provider is installed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import onnxruntime
from platformdirs import user_cache_path

from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.export import INPUTS, cached_onnx, forget_onnx, onnx_model
from engine.runners.protocol import Estimate, RunnerFailed
from engine.types import FloatArray, LumbricalError, first_line


class OnnxRunner:
    """Runs an exported encoder. threads: ONNX Runtime's own; more than one pays off only where cores are idle.

    path: of a file made of the weights, None for their own. half: in fp16, which GPUs compute faster. provider: one of
    ONNX Runtime's execution providers. Raises LumbricalError where it is not installed or fails.
    """

    name = "ONNX Runtime"

    def __init__(
        self,
        loaded: LoadedEncoder,
        threads: int = 1,
        path: Path | None = None,
        provider: str = "CPUExecutionProvider",
        half: bool = False,
    ) -> None:
        if provider not in onnxruntime.get_available_providers():
            raise LumbricalError(
                f"this ONNX Runtime has no {provider}; with an NVIDIA GPU: "
                "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
            )
        self.version = loaded.version
        model = _in_half(loaded) if half else path or cached_onnx(loaded)
        try:
            self._session = _open(model, provider, threads)
        except LumbricalError:
            # A file of the cache that was cut short, or is not what it was, is made anew.
            if half or path is not None or not forget_onnx(loaded):
                raise
            self._session = _open(cached_onnx(loaded), provider, threads)
        if provider not in self._session.get_providers():
            raise LumbricalError(f"ONNX Runtime cannot use its {provider} here; use another runner")

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run. Raises RunnerFailed where a GPU fails, else LumbricalError."""
        try:
            return Estimate(*self._session.run(None, dict(zip(INPUTS, (crops, distances), strict=True))))
        except Exception as error:  # ONNX Runtime's own exception types are not public
            kind = LumbricalError if self._session.get_providers()[0] == "CPUExecutionProvider" else RunnerFailed
            raise kind(f"ONNX Runtime failed: {first_line(error)}") from error


def _open(model: Path | bytes, provider: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the cores that capture and drawing need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    try:
        # On its own it would go on without the provider that was asked for.
        return onnxruntime.InferenceSession(source, options, [provider], [_options_of(provider)], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own exception types are not public
        if isinstance(model, bytes):
            raise LumbricalError(f"the weights cannot be run: {first_line(error)}") from error
        raise LumbricalError(f"{model} cannot be run ({first_line(error)}); delete it and start again") from error


def _in_half(loaded: LoadedEncoder) -> bytes:
    from engine.runners.half import half_onnx  # which loads what only GPUs need

    return half_onnx(onnx_model(loaded))


def _options_of(provider: str) -> dict[str, Any]:
    if provider == "CUDAExecutionProvider":
        return {"use_tf32": False}  # what is fp32 is to be as exact as torch
    if provider != "TensorrtExecutionProvider":
        return {}
    # Its engines take seconds to build; without a folder they are built each time.
    folder = user_cache_path("lumbrical") / "onnx-tensorrt"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return {"trt_fp16_enable": True, "trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder)}
