"""A live RealSense camera, read through the SDK's sensors, so that every failure is seen where it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import CAMERA_FPS, SensorBase, SensorDisconnected, SensorError, SensorUnavailable
from engine.sensors.realsense_sdk import (
    camera_model,
    color_camera,
    load_sdk,
    none_attached_reason,
    to_frame,
)
from engine.sensors.registration import Registration
from engine.sensors.undistort import Undistorter
from engine.types import DepthFrame, first_line

_SIZE = (640, 480)
#: A poll of the driver never lasts longer than this, so that unplugging is seen soon.
_POLL_MS = 200
#: Frames the queue keeps for a late reader; older ones are dropped.
QUEUE_FRAMES = 3
_BUSY_WORDS = ("busy", "already opened", "is streaming", "already streaming", "in use", "failed to set power state")
_GONE_WORDS = ("disconnected", "no such device", "no longer connected", "device is gone")

#: Returns an object with query_devices(), as pyrealsense2.context has it.
ContextFactory = Callable[[], Any]


def device_info(sdk: Any, device: Any, field: str) -> str:
    """One camera_info field of a device ("" where it has none)."""
    key = getattr(sdk.camera_info, field)
    try:
        return str(device.get_info(key)) if device.supports(key) else ""
    except RuntimeError:
        # A busy or vanishing camera may refuse to say its name.
        return ""


def usb_warning(sdk: Any, device: Any) -> str | None:
    """One line when the link is USB 2, which halves frame rates and sizes."""
    link = device_info(sdk, device, "usb_type_descriptor")
    if not link.startswith("2"):
        return None
    return f"the RealSense is on a USB {link} link, which is slow: use a USB 3 port and its own cable"


def pick_depth_profile(profiles: Sequence[Any], sdk: Any, fps: int) -> Any:
    """The 16-bit depth profile nearest 640 x 480, then the fastest that is not above fps, else the slowest.

    Raises SensorUnavailable when there is no depth stream.
    """
    depth = [p for p in profiles if p.stream_type() == sdk.stream.depth and p.format() == sdk.format.z16]
    if not depth:
        raise SensorUnavailable("this RealSense has no depth stream: attach a D400 camera")

    def cost(profile: Any) -> tuple[int, bool, int]:
        video = profile.as_video_stream_profile()
        away = abs(video.width() - _SIZE[0]) + abs(video.height() - _SIZE[1])
        too_fast = profile.fps() > fps
        return away, too_fast, profile.fps() if too_fast else -profile.fps()

    return min(depth, key=cost)


def pick_color_profile(profiles: Sequence[Any], sdk: Any, fps: int) -> Any | None:
    """The RGB profile nearest 640 x 480 whose rate is nearest fps, or None."""
    color = [p for p in profiles if p.stream_type() == sdk.stream.color and p.format() == sdk.format.rgb8]

    def cost(profile: Any) -> tuple[int, int]:
        video = profile.as_video_stream_profile()
        return abs(video.width() - _SIZE[0]) + abs(video.height() - _SIZE[1]), abs(profile.fps() - fps)

    return min(color, key=cost, default=None)


class RealSenseCamera(SensorBase):
    """A D400-series camera (and whatever else the installed SDK supports).

    serial picks one of several; fps is the rate that is not to be exceeded (30, 60 or 90); color asks for the colour
    image registered to depth, at the price of some milliseconds. context_factory replaces the SDK's own context.
    open raises SensorUnavailable: SDK missing, none attached, busy. Unplugged, read raises SensorDisconnected; close,
    and open again once it is back.
    """

    def __init__(
        self,
        serial: str | None = None,
        *,
        fps: int = CAMERA_FPS,
        color: bool = False,
        context_factory: ContextFactory | None = None,
    ) -> None:
        super().__init__(f"RealSense {serial}" if serial else "RealSense")
        self._serial = serial
        self._wanted_fps = fps
        self._want_color = color
        self._context_factory = context_factory
        self._context: Any = None
        self._device: Any = None
        self._started: list[Any] = []
        self._queue: Any = None
        self._color_queue: Any = None
        self._color: NDArray[np.uint8] | None = None
        self._registration: Registration | None = None
        self._undistorter: Undistorter | None = None

    @property
    def is_live(self) -> bool:
        return True

    def _open(self) -> None:
        sdk = load_sdk()
        # The context is kept: the SDK marks devices as gone through the context they came from.
        self._context = self._context_factory() if self._context_factory else sdk.context()
        self._device = self._find_device(sdk)
        self._name = device_info(sdk, self._device, "name") or self._name
        warning = usb_warning(sdk, self._device)
        if warning:
            self._warnings.append(warning)
        try:
            self._start(sdk)
        except RuntimeError as error:
            raise self._explain(error) from error

    def _find_device(self, sdk: Any) -> Any:
        try:
            devices = list(self._context.query_devices())
        except RuntimeError as error:
            raise self._explain(error) from error
        if not devices:
            raise SensorUnavailable(none_attached_reason())
        if self._serial is None:
            return devices[0]
        serials = [device_info(sdk, device, "serial_number") for device in devices]
        if self._serial not in serials:
            raise SensorUnavailable(f"no RealSense {self._serial} is attached: there is {', '.join(serials)}")
        return devices[serials.index(self._serial)]

    def _start(self, sdk: Any) -> None:
        sensors = list(self._device.query_sensors())
        found = [(sensor, list(sensor.get_stream_profiles())) for sensor in sensors]
        depth_profile = pick_depth_profile([p for _, profiles in found for p in profiles], sdk, self._wanted_fps)
        video = depth_profile.as_video_stream_profile()
        self._intrinsics, self._undistorter = camera_model(sdk, video.get_intrinsics())
        self._fps = float(depth_profile.fps())
        wanted = {"depth": depth_profile}
        if self._want_color:
            color_profile = pick_color_profile([p for _, profiles in found for p in profiles], sdk, depth_profile.fps())
            if color_profile is None:
                self._warnings.append("this RealSense has no colour stream: showing depth alone")
            else:
                self._registration = Registration(color_camera(sdk, depth_profile, color_profile), self._intrinsics)
                wanted["color"] = color_profile
        self._queue = sdk.frame_queue(QUEUE_FRAMES)
        self._color_queue = sdk.frame_queue(1)
        for sensor, profiles in found:
            chosen = [p for p in profiles if any(p == w for w in wanted.values())]
            if chosen:
                sensor.open(chosen if len(chosen) > 1 else chosen[0])
                self._started.append(sensor)
                # A sensor that sends both, as a D405's does, has one queue: _poll tells them apart.
                sensor.start(self._queue if len(chosen) > 1 or chosen[0] == depth_profile else self._color_queue)

    def _explain(self, error: RuntimeError) -> SensorError:
        reason = first_line(error)
        if any(word in reason.lower() for word in _BUSY_WORDS):
            return SensorUnavailable(f"{self.name} is busy: close the other program that uses it ({reason})")
        if any(word in reason.lower() for word in _GONE_WORDS):
            return SensorDisconnected(f"{self.name} was unplugged: plug it in again")
        return SensorUnavailable(f"{self.name} cannot be started: plug it in again ({reason})")

    def _read(self, timeout_s: float) -> DepthFrame | None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_ms = (deadline_s - time.monotonic()) * 1000
            found, frame = self._poll(max(0, min(_POLL_MS, round(left_ms))))
            if found:
                return frame
            self._require_connected()
            if time.monotonic() >= deadline_s:
                return None

    def _poll(self, timeout_ms: int) -> tuple[bool, DepthFrame | None]:
        """One wait for the driver; (False, None) when nothing came."""
        try:
            ok, sent = self._queue.try_wait_for_frame(timeout_ms)
            if ok and not sent.is_depth_frame():
                self._keep_color(sent)
                return False, None
            if not ok:
                return False, None
            depth = sent.as_depth_frame()
            frame = to_frame(depth, self.intrinsics, self._undistorter, depth.get_frame_number())
            color = self._color_queue.poll_for_frame()
            if color:
                self._keep_color(color)
        except RuntimeError as error:
            raise self._explain(error) from error
        if self._registration is not None and self._color is not None:
            frame = replace(frame, color=self._registration(self._color, frame.depth_mm()))
        return True, frame

    def _keep_color(self, frame: Any) -> None:
        """The newest colour picture is laid over every depth image: waiting for the matching one would cost latency."""
        self._color = np.array(np.asanyarray(frame.as_video_frame().get_data()), np.uint8)

    def _require_connected(self) -> None:
        try:
            connected = self._device.is_connected()
        except RuntimeError:
            connected = False
        if not connected:
            raise SensorDisconnected(f"{self.name} was unplugged: plug it in again")

    def _close(self) -> None:
        for sensor in self._started:
            for release in (sensor.stop, sensor.close):
                try:
                    release()
                except RuntimeError:
                    # An unplugged camera cannot be stopped any more, and need not be.
                    continue
        self._started = []
        self._queue = self._color_queue = self._device = self._context = None
        self._color = self._registration = None
