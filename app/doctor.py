"""What this machine has of what Lumbrical needs: packages, system libraries, cameras, GPU, display, weights.

Standard library only here: it must give its answer where nothing is installed, and no driver may hang it.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app import probes
from app.display import HEADLESS, display_problem
from app.probes import Answer
from app.system_packages import SYSTEM_PACKAGES, missing_packages
from engine.version import VERSION

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "assets" / "weights"
#: The shipped networks' files and the probes that load them.
WEIGHTS = {"encoder.safetensors": "encoder", "detector.onnx": "detector"}
_INTEL_CAMERA_RULES = "install librealsense's udev rules (99-realsense-libusb.rules), then plug it in again"


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked for, whether it is there, and what to do when it is not."""

    group: str
    name: str
    ok: bool
    detail: str
    required: bool = False
    fix: str = ""


@dataclass(frozen=True)
class Package:
    """A Python package: the distributions it may come in, the module to import, and what needs it."""

    distributions: tuple[str, ...]
    module: str
    needed_for: str
    required: bool = True


PACKAGES = (
    Package(("numpy",), "numpy", "everything"),
    Package(("numba",), "numba", "the fit, compiled"),
    Package(("torch",), "torch", "the networks"),
    Package(("opencv-python-headless",), "cv2", "images"),
    Package(("onnxruntime",), "onnxruntime", "fast inference on the CPU"),
    Package(("onnx",), "onnx", "exporting networks"),
    Package(("onnxscript",), "onnxscript", "exporting networks"),
    Package(("PySide6-Essentials",), "PySide6.QtWidgets", "the window"),
    Package(("open3d-cpu", "open3d"), "open3d", "the 3D view"),
    Package(("safetensors",), "safetensors", "weights"),
    Package(("platformdirs",), "platformdirs", "settings"),
    Package(("tqdm",), "tqdm", "progress bars"),
    Package(("mcap",), "mcap", "takes", required=False),
    Package(("foxglove-schemas-protobuf",), "foxglove_schemas_protobuf", "takes", required=False),
    Package(("protobuf",), "google.protobuf", "takes", required=False),
    Package(("zstandard",), "zstandard", "takes", required=False),
    Package(("lz4",), "lz4", "takes", required=False),
    Package(("trimesh",), "trimesh", "users' own hand meshes", required=False),
    Package(("matplotlib",), "matplotlib", "plots", required=False),
    Package(("pyrealsense2",), "pyrealsense2", "RealSense cameras and recordings", required=False),
    Package(("av",), "av", "Azure Kinect recordings", required=False),
)


def diagnose(on_progress: Callable[[int, int], None] = lambda done, total: None) -> list[Check]:
    """Every check, in the order of the report; on_progress(done, total) is called as they come in."""
    jobs: list[Callable[[], list[Check]]] = [
        check_python,
        *(partial(check_package, package) for package in PACKAGES),
        check_system_libraries,
        check_realsense,
        check_kinect,
        check_nvidia_driver,
        check_torch_gpu,
        check_onnxruntime,
        check_tensorrt,
        check_display,
        partial(check_weights, WEIGHTS_FOLDER),
        partial(check_int8, WEIGHTS_FOLDER),
    ]
    checks: list[Check] = []
    with ThreadPoolExecutor() as pool:
        for done, found in enumerate(pool.map(lambda job: job(), jobs), start=1):
            checks += found
            on_progress(done, len(jobs))
    return checks


def can_run(checks: list[Check]) -> bool:
    """Whether nothing is missing that the app cannot do without."""
    return all(check.ok for check in checks if check.required)


def check_python() -> list[Check]:
    """The interpreter's version."""
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    detail = f"{platform.python_version()} ({sys.executable})"
    return [Check("Python", "Python", ok, detail, required=True, fix="install Python 3.11, then `make run`")]


def check_package(package: Package) -> list[Check]:
    """Whether a package is installed and really imports; a missing system library shows only then."""
    name = package.distributions[0]

    def check(ok: bool, detail: str, fix: str = "") -> list[Check]:
        return [Check("Python packages", name, ok, detail, package.required, fix)]

    for distribution in package.distributions:
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        answer = probes.ask("import", package.module)
        if answer.slow:
            return check(True, f"{version}, {answer.error} to its import: the machine is busy")
        if answer.error:
            return check(False, f"{version}, does not load: {answer.error}", "see the system libraries below")
        return check(True, version)
    return check(False, f"not installed (for {package.needed_for})", f"pip install {name}")


def check_system_libraries() -> list[Check]:
    """The shared libraries the packages lean on; one line each for the missing ones."""
    group = "System libraries"
    missing = missing_packages(dev=False)
    if not missing:
        count = sum(not entry.dev_only for entry in SYSTEM_PACKAGES)
        return [Check(group, "shared libraries", True, f"all {count} present", required=True)]
    return [
        Check(
            group,
            entry.provides,
            False,
            f"not found (for {entry.used_by})",
            required="RealSense" not in entry.used_by,
            fix=f"apt-get install {entry.package}",
        )
        for entry in missing
    ]


def check_realsense() -> list[Check]:
    """RealSense cameras, told apart from one that is plugged in but that this user may not open."""
    answer = probes.ask("realsense")
    group, name = "Cameras", "RealSense"
    if answer.error:
        return [Check(group, name, False, answer.error, fix="pip install pyrealsense2")]
    cameras = [_describe_camera(camera) for camera in answer.facts["cameras"]]
    if cameras:
        return [Check(group, name, True, camera) for camera in cameras]
    if _usb_products("RealSense"):
        return [Check(group, name, False, "plugged in, but the SDK cannot open it", fix=_INTEL_CAMERA_RULES)]
    return [Check(group, name, False, "none found", fix="plug one into a USB 3 port")]


def _describe_camera(camera: dict[str, str]) -> str:
    usb = camera.get("usb", "?")
    slow = "; a USB 3 port and cable make it faster" if usb.startswith("2") else ""
    name, serial, firmware = (camera.get(key, "?") for key in ("name", "serial", "firmware"))
    return f"{name}, serial {serial}, firmware {firmware}, USB {usb}{slow}"


def _usb_products(word: str) -> list[str]:
    """Names of the USB devices that the kernel sees and that contain a word; empty outside Linux."""
    files = Path("/sys/bus/usb/devices").glob("*/product")
    return [name for name in (_read_line(file) for file in files) if word in name]


def _read_line(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def check_kinect() -> list[Check]:
    """Azure Kinects, through libk4a; recordings need none of this."""
    answer = probes.ask("kinect")
    group, name = "Cameras", "Azure Kinect"
    if answer.error:
        fix = "install Microsoft's libk4a1.4, or Orbbec's K4A wrapper; recordings (.mkv) play without it"
        return [Check(group, name, False, answer.error, fix=fix)]
    count = answer.facts["count"]
    if not count:
        return [Check(group, name, False, "none found", fix="plug one into a USB 3 port and its power supply")]
    return [Check(group, name, True, f"{count} found")]


def check_nvidia_driver() -> list[Check]:
    """The NVIDIA driver and its GPUs, as nvidia-smi lists them."""
    group, name = "GPU (optional)", "NVIDIA driver"
    program = shutil.which("nvidia-smi")
    if program is None:
        return [Check(group, name, False, "no nvidia-smi: everything runs on the CPU")]
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, errors="replace", timeout=probes.TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Check(group, name, False, f"nvidia-smi failed: {type(error).__name__}")]
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0 or not lines:
        reason = (lines or done.stderr.split("\n"))[0] or f"status {done.returncode}"
        return [Check(group, name, False, f"nvidia-smi: {reason}")]
    return [Check(group, name, True, line) for line in lines]


def check_torch_gpu() -> list[Check]:
    """The GPUs that torch can use."""

    def describe(facts: dict[str, Any]) -> tuple[bool, str]:
        if facts["gpus"]:
            return True, f"CUDA {facts['cuda']}: {', '.join(facts['gpus'])}"
        return False, "no GPU" if facts["cuda"] else "this build of torch is for the CPU"

    return [_gpu_check("torch", probes.ask("torch"), describe)]


def check_onnxruntime() -> list[Check]:
    """ONNX Runtime's execution providers; the CPU's is always among them."""
    answer = probes.ask("onnxruntime")
    return [_gpu_check("ONNX Runtime", answer, lambda facts: (True, ", ".join(facts["providers"])))]


def check_tensorrt() -> list[Check]:
    """TensorRT, else TensorRT for RTX, and whether there is a GPU for it."""

    def describe(facts: dict[str, Any]) -> tuple[bool, str]:
        gpu = all(check.ok for check in check_nvidia_driver())
        return gpu, f"{facts['version']} ({facts['module']})" + ("" if gpu else ", without an NVIDIA GPU to run on")

    answer = probes.ask("tensorrt")
    fix = "with an NVIDIA GPU: pip install '.[tensorrt]'" if answer.error else ""
    return [_gpu_check("TensorRT", answer, describe, fix)]


def _gpu_check(
    name: str, answer: Answer, describe: Callable[[dict[str, Any]], tuple[bool, str]], fix: str = ""
) -> Check:
    ok, detail = (False, answer.error) if answer.error else describe(answer.facts)
    return Check("GPU (optional)", name, ok, detail, fix=fix)


def check_display() -> list[Check]:
    """Whether a window can be opened. Not required: tracking works without one."""
    problem = display_problem()
    return [Check("Display", "display", problem is None, problem or "a window can be opened", fix=HEADLESS)]


def check_weights(folder: Path) -> list[Check]:
    """The shipped networks, each loaded as the app loads it."""
    return [_check_weights_file(folder / name, probe) for name, probe in WEIGHTS.items()]


def _check_weights_file(file: Path, probe: str) -> Check:
    answer = probes.ask(probe, str(file))
    if answer.error and not answer.slow:
        fix = f"get it with the repository (git checkout -- assets), or `python main.py train configs/{probe}.toml`"
        return Check("Weights", file.name, False, answer.error, required=True, fix=fix)
    if answer.slow:
        return Check("Weights", file.name, file.is_file(), f"{answer.error}; the machine is busy", required=True)
    detail = f"version {answer.facts['version']}, trained on {answer.facts['images']:,} rendered images"
    return Check("Weights", file.name, True, detail, required=True)


def check_int8(folder: Path) -> list[Check]:
    """The shipped encoder in int8, which tracks where the processor is made for it."""
    answer = probes.ask("int8", str(folder / "encoder.safetensors"))
    fast = bool(answer.facts.get("fast"))
    if fast:
        detail = "tracks cameras where no GPU does: this processor is made for it (VNNI)"
    elif answer.error:
        detail = answer.error + ("; the machine is busy" if answer.slow else "")
    else:
        detail = "of no use here: torch tells of no instructions for int8 (VNNI) in this processor"
    return [Check("Weights", "encoder-int8.onnx", fast, detail)]


def as_json(checks: list[Check]) -> str:
    """The report as one JSON object: version, python, platform, can_run, checks."""
    report = {
        "version": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "can_run": can_run(checks),
        "checks": [asdict(check) for check in checks],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def as_table(checks: list[Check], encoding: str = "utf-8") -> str:
    """The report for people: a tick, a cross where something required is missing, a dot for what is optional."""
    return "\n".join(_table_lines(checks, *_marks(encoding)))


def _marks(encoding: str) -> tuple[str, str, str]:
    try:
        "✓✗·".encode(encoding)
    except UnicodeEncodeError:
        return "+", "x", "."
    return "✓", "✗", "·"


def _table_lines(checks: list[Check], tick: str, cross: str, dot: str) -> Iterator[str]:
    yield f"Lumbrical {VERSION} on {platform.platform()}"
    width = max(len(check.name) for check in checks)
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            yield f"\n{group}"
        mark = tick if check.ok else cross if check.required else dot
        fix = f"; {check.fix}" if check.fix and not check.ok else ""
        yield f"  {mark} {check.name:<{width}}  {check.detail}{fix}"
    missing = [check.name for check in checks if check.required and not check.ok]
    if missing:
        yield f"\nThe app cannot run: {', '.join(missing)} missing. `make run` installs packages and libraries."
    else:
        yield "\nThe app can run."
