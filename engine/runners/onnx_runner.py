"""ONNX Runtime: on the CPU the default runner, on a GPU where its provider is installed."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.export import INPUTS, cached_onnx
from engine.runners.protocol import Estimate
from engine.types import FloatArray, LumbricalError


class OnnxRunner:
    """Runs an exported encoder. threads: ONNX Runtime's own; more than one pays off only where cores are idle.

    provider: one of ONNX Runtime's execution providers. Raises LumbricalError where it is not installed or fails.
    """

    name = "ONNX Runtime"

    def __init__(
        self,
        loaded: LoadedEncoder,
        threads: int = 1,
        path: Path | None = None,
        provider: str = "CPUExecutionProvider",
    ) -> None:
        if provider not in onnxruntime.get_available_providers():
            raise LumbricalError(
                f"this ONNX Runtime has no {provider}; with an NVIDIA GPU: pip install onnxruntime-gpu"
            )
        self.version = loaded.version
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores that capture and drawing need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = path or cached_onnx(loaded)
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's own exception types are not public
            reason = str(error).splitlines()[0]
            if isinstance(model, bytes):
                raise LumbricalError(f"the weights {loaded.version} cannot be run: {reason}") from error
            raise LumbricalError(f"{model} cannot be run ({reason}); delete it and start again") from error

    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        return Estimate(*self._session.run(None, dict(zip(INPUTS, (crops, distances), strict=True))))
