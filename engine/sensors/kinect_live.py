"""A live Azure Kinect, or Orbbec's Femto Bolt, through the C library both speak: libk4a.

Orbbec ships a libk4a of its own for the Femto Bolt (and for the Femto Mega), with the same functions, so one path
serves all. The calibration is fetched as the JSON that recordings hold too.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.sensors.kinect_calibration import parse_calibration
from engine.sensors.protocol import SensorBase, SensorDisconnected, SensorError, SensorUnavailable
from engine.sensors.realsense_sdk import usb_products
from engine.sensors.undistort import Undistorter
from engine.types import DepthFrame

INSTALL_HINT = (
    "install libk4a 1.4 (Azure Kinect Sensor SDK), or for a Femto Bolt Orbbec's K4A wrapper, where the system finds it"
)
_MICROSOFT, _KINECT_DEPTH_PRODUCT = "045e", "097c"
_MODE, _MODE_NUMBER = "NFOV_UNBINNED", 2
_FPS_NUMBER, _FPS = 2, 30.0
_SUCCEEDED, _TIMED_OUT = 0, 2
_BUFFER_TOO_SMALL = 2
_MAX_CALIBRATION_BYTES = 1 << 20
_POLL_MS = 200


class _Configuration(ctypes.Structure):
    """k4a_device_configuration_t."""

    _fields_ = (
        ("color_format", ctypes.c_int),
        ("color_resolution", ctypes.c_int),
        ("depth_mode", ctypes.c_int),
        ("camera_fps", ctypes.c_int),
        ("synchronized_images_only", ctypes.c_bool),
        ("depth_delay_off_color_usec", ctypes.c_int32),
        ("wired_sync_mode", ctypes.c_int),
        ("subordinate_delay_off_master_usec", ctypes.c_uint32),
        ("disable_streaming_indicator", ctypes.c_bool),
    )


_HANDLE = ctypes.c_void_p
_HANDLE_OUT = ctypes.POINTER(ctypes.c_void_p)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "k4a_device_get_installed_count": (ctypes.c_uint32, ()),
    "k4a_device_open": (ctypes.c_int, (ctypes.c_uint32, _HANDLE_OUT)),
    "k4a_device_close": (None, (_HANDLE,)),
    "k4a_device_start_cameras": (ctypes.c_int, (_HANDLE, ctypes.POINTER(_Configuration))),
    "k4a_device_stop_cameras": (None, (_HANDLE,)),
    "k4a_device_get_raw_calibration": (ctypes.c_int, (_HANDLE, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t))),
    "k4a_device_get_capture": (ctypes.c_int, (_HANDLE, _HANDLE_OUT, ctypes.c_int32)),
    "k4a_capture_get_depth_image": (_HANDLE, (_HANDLE,)),
    "k4a_capture_release": (None, (_HANDLE,)),
    "k4a_image_get_buffer": (_HANDLE, (_HANDLE,)),
    "k4a_image_get_size": (ctypes.c_size_t, (_HANDLE,)),
    "k4a_image_get_device_timestamp_usec": (ctypes.c_uint64, (_HANDLE,)),
    "k4a_image_release": (None, (_HANDLE,)),
}


def load_libk4a(path: str | None = None) -> Any:
    """The C library with its functions' types declared. Raises SensorUnavailable with what to install."""
    names = [path] if path else [ctypes.util.find_library("k4a"), "libk4a.so.1.4", "libk4a.so", "k4a.dll"]
    for name in filter(None, names):
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in _SIGNATURES.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
            return library
        except (OSError, AttributeError):
            # Not there, or not a libk4a: the next name may be.
            continue
    attached = _KINECT_DEPTH_PRODUCT in usb_products(_MICROSOFT)
    what = "an Azure Kinect is attached, but its library is missing" if attached else "Azure Kinect needs its library"
    raise SensorUnavailable(f"{what}: {INSTALL_HINT}")


class KinectCamera(SensorBase):
    """Narrow-view depth, 640 x 576 at 30 a second, straightened to a pinhole camera. Depth only.

    open raises SensorUnavailable: library missing, none attached, busy. Unplugged, read raises SensorDisconnected.
    """

    def __init__(self, index: int = 0, *, library: Callable[[], Any] = load_libk4a) -> None:
        super().__init__("Azure Kinect")
        self._index = index
        self._load = library
        self._library: Any = None
        self._device = ctypes.c_void_p()
        self._streaming = False
        self._undistorter: Undistorter | None = None
        self._number = -1
        self._first_s: float | None = None

    @property
    def is_live(self) -> bool:
        return True

    def _open(self) -> None:
        self._library = self._load()
        count = self._library.k4a_device_get_installed_count()
        if count <= self._index:
            raise SensorUnavailable(
                f"{count} Azure Kinects are attached: plug one into a USB 3 port and into its power"
            )
        if self._library.k4a_device_open(self._index, ctypes.byref(self._device)) != _SUCCEEDED:
            raise SensorUnavailable("the Azure Kinect is busy: close the other program that uses it")
        calibration = parse_calibration(self._raw_calibration(), _MODE)
        self._intrinsics = calibration.depth
        self._undistorter = Undistorter(calibration.depth, calibration.distort)
        self._fps = _FPS
        self._number, self._first_s = -1, None
        # Field by field in the order of the struct; colour off, unsynchronised, standalone, light on.
        configuration = _Configuration(0, 0, _MODE_NUMBER, _FPS_NUMBER, False, 0, 0, 0, False)
        if self._library.k4a_device_start_cameras(self._device, ctypes.byref(configuration)) != _SUCCEEDED:
            raise SensorUnavailable("the Azure Kinect does not start: plug it into a USB 3 port and into its power")
        self._streaming = True

    def _raw_calibration(self) -> bytes:
        size = ctypes.c_size_t(0)
        answer = self._library.k4a_device_get_raw_calibration(self._device, None, ctypes.byref(size))
        if answer != _BUFFER_TOO_SMALL or not 0 < size.value <= _MAX_CALIBRATION_BYTES:
            raise SensorUnavailable("the Azure Kinect does not give its calibration: plug it in again")
        buffer = ctypes.create_string_buffer(size.value)
        if self._library.k4a_device_get_raw_calibration(self._device, buffer, ctypes.byref(size)) != _SUCCEEDED:
            raise SensorUnavailable("the Azure Kinect does not give its calibration: plug it in again")
        return buffer.raw

    def _read(self, timeout_s: float) -> DepthFrame | None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_ms = round((deadline_s - time.monotonic()) * 1000)
            capture = ctypes.c_void_p()
            answer = self._library.k4a_device_get_capture(
                self._device, ctypes.byref(capture), max(0, min(_POLL_MS, left_ms))
            )
            if answer == _SUCCEEDED:
                try:
                    frame = self._frame(capture)
                finally:
                    self._library.k4a_capture_release(capture)
                if frame is not None:
                    return frame
            elif answer != _TIMED_OUT:
                raise SensorDisconnected("the Azure Kinect was unplugged: plug it in again")
            if time.monotonic() >= deadline_s:
                return None

    def _frame(self, capture: ctypes.c_void_p) -> DepthFrame | None:
        """The capture's depth image, copied out of the library's memory; None when it holds none."""
        image = self._library.k4a_capture_get_depth_image(capture)
        if not image:
            return None
        try:
            intrinsics = self.intrinsics
            if self._library.k4a_image_get_size(image) != intrinsics.width * intrinsics.height * 2:
                raise SensorError("the Azure Kinect sent an image of another size: open it again")
            buffer = self._library.k4a_image_get_buffer(image)
            pixels = (ctypes.c_uint16 * (intrinsics.width * intrinsics.height)).from_address(buffer)
            view: NDArray[np.uint16] = np.ctypeslib.as_array(pixels).reshape(intrinsics.height, intrinsics.width)
            depth = self._undistorter(view) if self._undistorter else view.copy()
            time_s = self._library.k4a_image_get_device_timestamp_usec(image) / 1e6
        finally:
            self._library.k4a_image_release(image)
        return DepthFrame(depth, 1.0, intrinsics, self._next_number(time_s), time_s, time.monotonic())

    def _next_number(self, time_s: float) -> int:
        """The library does not number its captures: a frame's number is its time in frame periods, so that those which
        the camera or the library dropped are missing."""
        if self._first_s is None:
            self._first_s = time_s
        self._number = max(self._number + 1, round((time_s - self._first_s) * _FPS))
        return self._number

    def _close(self) -> None:
        if self._library is not None and self._device:
            if self._streaming:
                self._library.k4a_device_stop_cameras(self._device)
            self._library.k4a_device_close(self._device)
        self._device = ctypes.c_void_p()
        self._streaming = False
