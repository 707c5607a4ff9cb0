"""Questions to native libraries, each asked in a child process: a driver that hangs or crashes takes only that with it.

Standard library only at import, because `doctor` must run where nothing is installed. `python -m app.probes NAME ARG`
is the child: it prints one JSON object, whatever else the libraries print.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 30.0
_ROOT = Path(__file__).resolve().parents[1]
_K4A_LIBRARIES = ("libk4a.so.1.4", "libk4a.so.1", "libk4a.so", "k4a.dll")


@dataclass(frozen=True)
class Answer:
    """What a probe found: its facts, or in one line why it could not answer. slow: it only ran out of time."""

    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    slow: bool = False


def ask(probe: str, argument: str = "", timeout_s: float = TIMEOUT_S) -> Answer:
    """Run one of PROBES in a child process. Never raises, and never takes longer than timeout_s."""
    command = [sys.executable, "-m", "app.probes", probe, argument]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Answer(error=f"no answer within {timeout_s:.0f} s", slow=True)
    if done.returncode < 0:
        return Answer(error=f"crashed with signal {-done.returncode}")
    try:
        facts = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return Answer(error=lines[-1] if lines else f"ended with status {done.returncode}")
    return Answer(facts, facts.pop("error", ""))


def probe_import(module: str) -> dict[str, Any]:
    """Import a module, which also loads the shared libraries it needs."""
    importlib.import_module(module)
    return {}


def probe_torch(_: str) -> dict[str, Any]:
    """The GPUs that torch can use."""
    torch: Any = importlib.import_module("torch")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"gpus": gpus, "cuda": torch.version.cuda}


def probe_onnxruntime(_: str) -> dict[str, Any]:
    """ONNX Runtime's execution providers."""
    importlib.import_module("engine")  # which keeps the library from reporting to its maker
    onnxruntime: Any = importlib.import_module("onnxruntime")
    return {"providers": onnxruntime.get_available_providers()}


def probe_tensorrt(_: str) -> dict[str, Any]:
    """TensorRT, else TensorRT for RTX under either of its names."""
    names = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
    for name in names:
        try:
            module: Any = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        return {"module": name, "version": module.__version__}
    raise ModuleNotFoundError(f"none of {', '.join(names)} is installed")


def probe_realsense(_: str) -> dict[str, Any]:
    """The RealSense cameras that the SDK lists."""
    rs: Any = importlib.import_module("pyrealsense2")
    wanted = {
        "name": rs.camera_info.name,
        "serial": rs.camera_info.serial_number,
        "firmware": rs.camera_info.firmware_version,
        "usb": rs.camera_info.usb_type_descriptor,
    }
    return {
        "cameras": [
            {key: device.get_info(info) for key, info in wanted.items() if device.supports(info)}
            for device in rs.context().query_devices()
        ]
    }


def probe_kinect(_: str) -> dict[str, Any]:
    """How many Azure Kinects libk4a sees."""
    for name in _K4A_LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.k4a_device_get_installed_count.restype = ctypes.c_uint32
        return {"count": int(library.k4a_device_get_installed_count())}
    raise ModuleNotFoundError("the library libk4a is not installed")


def probe_encoder(path: str) -> dict[str, Any]:
    """Load the encoder's weights as the app does."""
    from engine.methods.gaussian.weights import load_weights

    loaded = _or_runtime_error(load_weights, Path(path))
    return {"version": loaded.version, "images": loaded.images}


def probe_detector(path: str) -> dict[str, Any]:
    """Load the detector's weights as the app does."""
    from engine.localise.detector import HandDetector

    metadata = _or_runtime_error(HandDetector.load, Path(path)).metadata
    return {"version": metadata["version"], "images": metadata.get("images", 0)}


def probe_int8(weights: str) -> dict[str, Any]:
    """Of the int8 encoder made of these weights: is this processor faster in it."""
    from engine.methods.gaussian.weights import load_weights
    from engine.runners.int8 import int8_is_fast, int8_of

    _or_runtime_error(lambda file: int8_of(load_weights(file)), Path(weights))
    return {"fast": int8_is_fast()}


def _or_runtime_error(load: Callable[[Path], Any], path: Path) -> Any:
    """The project's own errors import numpy, so they cannot be named where probes answer for what is missing."""
    from engine.types import LumbricalError

    try:
        return load(path)
    except LumbricalError as error:
        raise RuntimeError(str(error)) from error


PROBES: dict[str, Callable[[str], dict[str, Any]]] = {
    "import": probe_import,
    "torch": probe_torch,
    "onnxruntime": probe_onnxruntime,
    "tensorrt": probe_tensorrt,
    "realsense": probe_realsense,
    "kinect": probe_kinect,
    "encoder": probe_encoder,
    "detector": probe_detector,
    "int8": probe_int8,
}


def main(probe: str, argument: str) -> None:
    """Answer one probe on the real standard output, while the libraries' own chatter goes to standard error."""
    answer_to = os.dup(1)
    os.dup2(2, 1)
    try:
        facts = PROBES[probe](argument)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        facts = {"error": " ".join(str(error).split()) or type(error).__name__}
    with open(answer_to, "w", encoding="utf-8") as stream:
        json.dump(facts, stream)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
