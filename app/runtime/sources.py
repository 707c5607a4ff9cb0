"""What can be tracked: cameras that are attached, recordings, the demo take."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.config import DEMO_SOURCE, Isolated
from app.runtime.interfaces import FrameSource
from engine.sensors import discover
from engine.sensors.faults import FaultControl
from engine.sensors.faulty import KIND, adopt_control, control_of, is_faulty
from engine.sensors.isolated import CAN_ISOLATE, IsolatedSensor
from engine.sensors.playback import Playback
from engine.sensors.protocol import CAMERA_FPS, Sensor
from engine.sensors.realsense_sdk import usb_products
from engine.types import LumbricalError

_SYNTHETIC = "synthetic"
#: Kinds of cameras that a driver reads.
_DRIVEN = ("realsense", "kinect", KIND)
_USB_DEVICES = Path("/sys/bus/usb/devices")
#: Of the cameras that can be read: Intel, Microsoft, Orbbec.
_VENDORS = ("8086", "045e", "2bc5")


@dataclass(frozen=True)
class SourceChoice:
    """A source as the picker shows it; spec is what open_source takes."""

    spec: str
    label: str
    is_camera: bool = False


def _open_take(path: Path, color: bool) -> Sensor:
    # Only now: what reads takes is not needed to list cameras.
    from engine.takes.source import TakeSource

    return TakeSource(path, color=color)


def _is_take(path: Path) -> bool:
    from engine.takes.names import is_take

    return is_take(path)


discover.register_suffix(".mcap", _open_take, _is_take)


def open_any(spec: str, color: bool = False, isolated: str = Isolated.CAMERAS, fps: int = CAMERA_FPS) -> Sensor:
    """The sensor that spec names, camera, recording or take, not opened yet and without a player.

    isolated: which sensors live in a process of their own, where a driver that hangs can be ended. fps: that a camera
    is asked for, at most.
    Errors: LumbricalError when there is no such recording or kind of camera.
    """
    sensor = discover.open_source(spec, color=color, fps=fps)
    if isolated == Isolated.ALL or (isolated == Isolated.CAMERAS and _is_foreign(spec) and CAN_ISOLATE):
        return IsolatedSensor(partial(_sensor, spec, color, fps, control_of(spec) if is_faulty(spec) else None))
    return sensor


def demo_choice() -> SourceChoice:
    """The demo take."""
    return SourceChoice(str(DEMO_SOURCE), "Demo take")


def is_demo(spec: str) -> bool:
    """Whether the spec names the demo take."""
    return spec == str(DEMO_SOURCE)


def recording_choice(path: Path) -> SourceChoice:
    """A recording, by the last part of its path."""
    return SourceChoice(str(path), path.name or str(path))


def open_source(spec: str, isolated: str = Isolated.CAMERAS, fps: int = CAMERA_FPS) -> FrameSource:
    """The source that spec names, as open_any has it; recordings play in real time and start over at their end."""
    sensor = open_any(spec, isolated=isolated, fps=fps)
    return sensor if sensor.is_live else Playback(sensor, loop=True)


def _is_foreign(spec: str) -> bool:
    """Whether code that is not ours reads it, or what plays such code's part."""
    return spec.partition(":")[0] in _DRIVEN and not Path(spec).exists()


def _sensor(spec: str, color: bool, fps: int, control: FaultControl | None) -> Sensor:
    """The sensor as the child process makes it, from this module so that all suffixes are known there too."""
    if control is not None:
        adopt_control(spec, control)
    return discover.open_source(spec, color=color, fps=fps)


def open_recording(spec: str) -> FrameSource:
    """A recording to be read as fast as possible, once, not opened yet. LumbricalError when spec names a camera."""
    source = open_source(spec)
    if source.is_live or not isinstance(source, Playback):
        raise LumbricalError(f"{spec} is a camera; name a recording")
    source.real_time, source.loop = False, False
    return source


def check_source(spec: str) -> None:
    """Raise LumbricalError now, in words, if spec names a recording that cannot be played or no source at all."""
    source = open_source(spec)
    if not source.is_live:
        source.open()
        source.close()


def choose_source(wanted: str | None, sources: list[SourceChoice]) -> str:
    """What is asked for, else the first camera, else the demo take."""
    if wanted is not None:
        return str(DEMO_SOURCE) if wanted == discover.DEMO else wanted
    return next((source.spec for source in sources if source.is_camera), str(DEMO_SOURCE))


def list_sources() -> list[SourceChoice]:
    """The cameras that can be used now, then the synthetic one. Asks every driver: about half a second."""
    return [
        SourceChoice(info.spec, info.label, is_camera=info.kind != _SYNTHETIC)
        for info in discover.list_sources()
        if info.available
    ]


def camera_is_likely(devices: Path = _USB_DEVICES) -> bool:
    """Whether something of a maker of depth cameras is plugged in: told in no time, where asking drivers takes half a
    second. True where the system does not say."""
    if not sys.platform.startswith("linux"):
        return True
    return any(usb_products(vendor, devices) for vendor in _VENDORS)


def recording_suffixes() -> tuple[str, ...]:
    """The endings of files that can be played."""
    return discover.known_suffixes()


class CameraSearch:
    """Looks for cameras on a thread of its own, because drivers take their time; one search at a time."""

    def __init__(self, search: Callable[[], list[SourceChoice]] = list_sources) -> None:
        self._search = search
        self._found: queue.SimpleQueue[list[SourceChoice]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._plugged = _plugged_devices()

    def start(self) -> None:
        """Begin a search unless one is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=lambda: self._found.put(self._search()), name="lumbrical-cameras", daemon=True
            )
            self._thread.start()

    def wait(self) -> list[SourceChoice]:
        """What the search that is under way finds, once it is over; only after start()."""
        return self._found.get()

    def start_if_plugged(self) -> None:
        """Begin a search if something was plugged in or out since the last call; cheap enough for every second."""
        plugged = _plugged_devices()
        if plugged != self._plugged:
            self._plugged = plugged
            self.start()

    def result(self) -> list[SourceChoice] | None:
        """What the last search found, once; None when there is nothing new."""
        return None if self._found.empty() else self._found.get()


def _plugged_devices() -> frozenset[str]:
    """The names of what hangs on USB; empty where the system does not list it."""
    try:
        return frozenset(entry.name for entry in _USB_DEVICES.iterdir())
    except OSError:
        return frozenset()
