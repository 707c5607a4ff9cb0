"""Which sources there are, and how to open one by name."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.sensors.faulty import is_faulty, open_faulty
from engine.sensors.kinect import KinectRecording
from engine.sensors.kinect_live import KinectCamera, load_libk4a
from engine.sensors.protocol import CAMERA_FPS, BadRecording, Sensor, SensorError, SensorUnavailable
from engine.sensors.realsense import RealSenseCamera, device_info, usb_warning
from engine.sensors.realsense_recording import RealSenseRecording
from engine.sensors.realsense_sdk import load_sdk, none_attached_reason
from engine.sensors.sequence_folder import SequenceFolder
from engine.sensors.synthetic import SyntheticSensor

_REPOSITORY = Path(__file__).resolve().parents[2]
#: The rendered recording that comes with the program.
DEMO = "demo"
_DEMO_FOLDER = _REPOSITORY / "assets" / "demo"
Opener = Callable[[Path, bool], Sensor]
Recogniser = Callable[[Path], bool]


@dataclass(frozen=True)
class SourceInfo:
    """A source one can pick. spec is what open_source takes; warning is None or one line.

    available is False for a kind of camera that cannot be used now: the warning says why and what to do.
    """

    kind: str
    spec: str
    label: str
    serial: str = ""
    available: bool = True
    warning: str | None = None


#: What opens a file, by its suffix in lower case. A folder goes by the suffix "".
_OPENERS: dict[str, Opener] = {
    "": lambda path, color: SequenceFolder(path, color=color),
    ".db3": lambda path, color: RealSenseRecording(path, color=color),
    ".bag": lambda path, color: RealSenseRecording(path, color=color),
    ".mkv": lambda path, color: KinectRecording(path, color=color),
}


#: What tells a file's format by its content, where its name does not, by the suffix that it should have.
_RECOGNISERS: dict[str, Recogniser] = {}


def register_suffix(suffix: str, opener: Opener, recogniser: Recogniser | None = None) -> None:
    """Teach open_source a file format: `opener(path, color)` makes an unopened Sensor for files ending in suffix, and
    for those of no known ending that recogniser(path) knows."""
    if not suffix.startswith(".") or suffix != suffix.lower():
        raise ValueError(f"a suffix is a dot and lower-case letters, not {suffix!r}")
    _OPENERS[suffix] = opener
    if recogniser is not None:
        _RECOGNISERS[suffix] = recogniser


def known_suffixes() -> tuple[str, ...]:
    """The file suffixes that open_source knows, sorted."""
    return tuple(sorted(suffix for suffix in _OPENERS if suffix))


def open_source(spec: str | Path, *, color: bool = False, fps: int = CAMERA_FPS) -> Sensor:
    """The sensor that a name or path means, not yet opened.

    spec: "realsense", "realsense:SERIAL", "kinect", "kinect:INDEX", "synthetic", "demo", a sequence folder, or a
    recording; "faulty:FAULTS:SPEC" is one of these as a live camera that misbehaves (engine.sensors.faulty).
    color: also deliver colour registered to depth, where there is any; fps: the rate a camera is asked for at most.
    Raises SensorError (unknown name) or BadRecording (missing path, unknown format) with one line.
    """
    kind, _, which = str(spec).partition(":")
    if not str(spec).strip():
        raise SensorError("the source has no name: give a sequence folder, a recording, or a camera")
    if isinstance(spec, str) and not _exists(Path(spec)):
        if kind == "realsense":
            return RealSenseCamera(which or None, fps=fps, color=color)
        if kind == "kinect":
            if which and not which.isdecimal():
                raise SensorError(f"kinect:{which}: give the camera's number, such as kinect:0")
            return KinectCamera(int(which or 0))
        if spec == "synthetic":
            return SyntheticSensor(live=True)
        if spec == DEMO:
            return SequenceFolder(_DEMO_FOLDER, color=color)
        if is_faulty(spec):
            return open_faulty(spec, lambda within: open_source(within, color=color, fps=fps))
    return _open_path(Path(spec), color)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a folder on the way that may not be looked into, a name that is too long
        raise BadRecording(f"{path!s:.200} cannot be read: {error.strerror}") from error


def _open_path(path: Path, color: bool) -> Sensor:
    formats = ", ".join(known_suffixes())
    if not _exists(path):
        raise BadRecording(
            f"{path} does not exist: give a sequence folder, a recording ({formats}), realsense, kinect, synthetic or "
            "demo"
        )
    suffix = "" if path.is_dir() else path.suffix.lower()
    if not path.is_dir() and suffix not in known_suffixes():
        suffix = next((known for known, knows in _RECOGNISERS.items() if knows(path)), suffix)
    if not path.is_dir() and suffix not in known_suffixes():
        raise BadRecording(f"{path} is of no known format: recordings are folders or end in {formats}")
    return _OPENERS[suffix](path, color)


def probe_realsense() -> list[SourceInfo]:
    """The attached RealSense cameras. May take as long as the driver pleases: list_sources bounds it."""
    try:
        sdk = load_sdk()
        devices = list(sdk.context().query_devices())
    except SensorUnavailable as error:
        return [_absent("realsense", "RealSense", str(error))]
    except RuntimeError as error:
        return [_absent("realsense", "RealSense", f"the RealSense SDK fails: plug the camera in again ({error})")]
    if not devices:
        return [_absent("realsense", "RealSense", none_attached_reason())]
    return [_realsense_info(sdk, device) for device in devices]


def _realsense_info(sdk: Any, device: Any) -> SourceInfo:
    serial = device_info(sdk, device, "serial_number")
    label = device_info(sdk, device, "name") or "RealSense"
    spec = f"realsense:{serial}" if serial else "realsense"
    return SourceInfo("realsense", spec, label, serial, warning=usb_warning(sdk, device))


def probe_kinect() -> list[SourceInfo]:
    """The attached Azure Kinects and Femto Bolts. Like probe_realsense."""
    try:
        count = load_libk4a().k4a_device_get_installed_count()
    except SensorUnavailable as error:
        return [_absent("kinect", "Azure Kinect", str(error))]
    if not count:
        return [
            _absent("kinect", "Azure Kinect", "no Azure Kinect is attached: plug one into USB 3 and into its power")
        ]
    return [SourceInfo("kinect", f"kinect:{i}", f"Azure Kinect {i + 1}") for i in range(count)]


def _absent(kind: str, label: str, reason: str) -> SourceInfo:
    return SourceInfo(kind, kind, label, available=False, warning=reason)


_PROBES = {"realsense": probe_realsense, "kinect": probe_kinect}
_LABELS = {"realsense": "RealSense", "kinect": "Azure Kinect"}


def _command(kind: str) -> Sequence[str]:
    return (sys.executable, "-m", "engine.sensors.discover", kind)


def list_sources(
    timeout_s: float = 4.0, command: Callable[[str], Sequence[str]] = _command, kinds: Sequence[str] = tuple(_PROBES)
) -> list[SourceInfo]:
    """Every camera that can be used, then one line for each kind that cannot, then the synthetic camera.

    Drivers are asked in processes of their own, at the same time: one that hangs or crashes costs its line, never the
    app. Takes about half a second, and timeout_s seconds at most. command: what to run for each kind of camera.
    """
    running = {
        kind: subprocess.Popen(
            list(command(kind)), cwd=_REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for kind in kinds
    }  # fmt: skip
    deadline_s = time.monotonic() + timeout_s
    found = [info for kind, process in running.items() for info in _collect(kind, process, deadline_s)]
    synthetic = SourceInfo("synthetic", "synthetic", "Synthetic camera (a moving sphere)")
    return [*sorted(found, key=lambda info: not info.available), synthetic]


def _collect(kind: str, process: subprocess.Popen[bytes], deadline_s: float) -> list[SourceInfo]:
    with process:
        try:
            # One that has answered is heard, though another one used up the time.
            left_s = None if process.poll() is not None else max(0.0, deadline_s - time.monotonic())
            output, _ = process.communicate(timeout=left_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return [
                _absent(kind, _LABELS[kind], f"the {_LABELS[kind]} driver does not answer: plug the camera in again")
            ]
    try:
        return [SourceInfo(**fields) for fields in json.loads(output)]
    except (ValueError, TypeError):
        return [_absent(kind, _LABELS[kind], f"the {_LABELS[kind]} driver crashed: reinstall its SDK")]


if __name__ == "__main__":
    print(json.dumps([asdict(info) for info in _PROBES[sys.argv[1]]()]))
