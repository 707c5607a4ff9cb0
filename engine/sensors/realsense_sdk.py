"""What the RealSense camera and its recordings share: the SDK, its frames, its lens models, its words for failure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.sensors.protocol import MAX_IMAGE_SIDE, SensorError, SensorUnavailable
from engine.sensors.registration import ColorCamera
from engine.sensors.undistort import Distort, Undistorter, modified_brown_conrady, rational
from engine.types import DepthFrame, Intrinsics

_USB_DEVICES = Path("/sys/bus/usb/devices")
#: Cameras whose support the SDK dropped after 2.54: F200-line SR300 and SR305.
_SR300_PRODUCTS = frozenset({"0aa5", "0b48"})
_INTEL = "8086"


def load_sdk() -> Any:
    """The pyrealsense2 module. Raises SensorUnavailable with one line that says what to install."""
    try:
        import pyrealsense2
    except ImportError as error:
        if "libusb" in str(error):
            raise SensorUnavailable("RealSense needs libusb: sudo apt install libusb-1.0-0") from error
        raise SensorUnavailable("RealSense needs its SDK: pip install 'pyrealsense2>=2.58.1'") from error
    if not hasattr(pyrealsense2, "context"):
        raise SensorUnavailable("the RealSense SDK is broken: pip install --force-reinstall 'pyrealsense2>=2.58.1'")
    return pyrealsense2


def usb_products(vendor: str, root: Path = _USB_DEVICES) -> set[str]:
    """Product ids (four hex digits) of the USB devices of a vendor, where the system lists them (Linux)."""
    products = set()
    for path in root.glob("*/idVendor"):
        try:
            if path.read_text().strip().lower() == vendor:
                products.add((path.parent / "idProduct").read_text().strip().lower())
        except OSError:
            # It was unplugged between the listing and the reading.
            continue
    return products


def none_attached_reason(root: Path = _USB_DEVICES) -> str:
    """Why the SDK sees no camera, told apart by what is plugged in."""
    products = usb_products(_INTEL, root)
    if products & _SR300_PRODUCTS:
        return (
            "an SR300 or SR305 is attached, which the RealSense SDK stopped supporting after 2.54: use a D400 camera,"
            " or a recording made with SDK 2.50"
        )
    # The D400 cameras' product ids are spread over these ranges.
    if any(product.startswith(("0ad", "0af", "0b")) for product in products):
        return "a RealSense is attached but may not be opened: install the RealSense udev rules and plug it in again"
    return "no RealSense is attached: plug one into a USB 3 port"


def lens_model(sdk: Any, source: Any) -> tuple[Intrinsics, Distort | None]:
    """Pinhole intrinsics of an SDK intrinsics object, and how its lens bends straight rays (None: not at all).

    Raises SensorError for a size that cannot be or a lens model that is not known.
    """
    if not (0 < source.width <= MAX_IMAGE_SIDE and 0 < source.height <= MAX_IMAGE_SIDE):
        raise SensorError(f"the camera reports {source.width} x {source.height} images, which cannot be")
    intrinsics = Intrinsics(source.width, source.height, source.fx, source.fy, source.ppx, source.ppy)
    k1, k2, p1, p2, k3 = (float(value) for value in source.coeffs)
    if source.model == sdk.distortion.none or not any((k1, k2, p1, p2, k3)):
        return intrinsics, None
    if source.model == sdk.distortion.brown_conrady:
        return intrinsics, rational((k1, k2, k3, 0, 0, 0), p1, p2, cross=2)
    if source.model in (sdk.distortion.inverse_brown_conrady, sdk.distortion.modified_brown_conrady):
        return intrinsics, modified_brown_conrady(k1, k2, k3, p1, p2)
    raise SensorError(f"the camera's lens model {source.model} is not known: record with a D400 camera")


def camera_model(sdk: Any, source: Any) -> tuple[Intrinsics, Undistorter | None]:
    """As lens_model, but with what straightens the camera's depth images (None when no pixel moves)."""
    intrinsics, distort = lens_model(sdk, source)
    undistorter = Undistorter(intrinsics, distort) if distort else None
    return intrinsics, None if undistorter is None or undistorter.is_identity else undistorter


def to_unit_mm(unit_m: float) -> float:
    """The SDK's unit in mm. It is a float32: 0.001 arrives as 0.00100000004749745."""
    return float(f"{unit_m * 1000:.6g}")


def color_camera(sdk: Any, depth_profile: Any, color_profile: Any) -> ColorCamera:
    """Where the colour camera is and how it sees. Raises RuntimeError where the SDK does not know its place."""
    intrinsics, distort = lens_model(sdk, color_profile.as_video_stream_profile().get_intrinsics())
    place = depth_profile.get_extrinsics_to(color_profile)
    # The SDK keeps rotations by columns, and lengths in metres.
    rotation = np.array(place.rotation, np.float64).reshape(3, 3).T
    return ColorCamera(intrinsics, rotation, np.array(place.translation) * 1000.0, distort)


def to_frame(depth: Any, intrinsics: Intrinsics, undistorter: Undistorter | None, number: int) -> DepthFrame:
    """A DepthFrame that owns its pixels: the SDK recycles a small pool of buffers, so nothing may point into it."""
    view = np.asanyarray(depth.get_data())
    if view.dtype != np.uint16 or view.shape != (intrinsics.height, intrinsics.width):
        raise SensorError(
            f"the camera sent {view.shape} {view.dtype}, not {(intrinsics.height, intrinsics.width)} uint16:"
            " open it again"
        )
    pixels = undistorter(view) if undistorter else np.array(view, np.uint16)
    unit_mm = to_unit_mm(depth.get_units())
    return DepthFrame(pixels, unit_mm, intrinsics, number, depth.get_timestamp() / 1000, time.monotonic())
