"""The system libraries and programs Lumbrical needs beside its Python packages, and which are missing here.

Standard library only: the set-up script runs this file before anything is installed, `doctor` imports it.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class SystemPackage:
    """One thing to find on the machine.

    provides: a shared library's soname, or a program's name.
    package: the Debian/Ubuntu package it comes in.
    used_by: what stops working without it.
    dev_only: needed by the tests, not by the app.
    """

    provides: str
    package: str
    used_by: str
    dev_only: bool = False

    def is_present(self) -> bool:
        """Whether the library loads, or the program is on the PATH."""
        if ".so" not in self.provides:
            return shutil.which(self.provides) is not None
        try:
            ctypes.CDLL(self.provides)
        except OSError:
            return False
        return True


_WINDOW = "the window"
_VIEWER = "the 3D view"

SYSTEM_PACKAGES = (
    SystemPackage("libGL.so.1", "libgl1", _VIEWER),
    SystemPackage("libEGL.so.1", "libegl1", _WINDOW),
    SystemPackage("libgomp.so.1", "libgomp1", _VIEWER),
    SystemPackage("libX11.so.6", "libx11-6", _VIEWER),
    SystemPackage("libglib-2.0.so.0", "libglib2.0-0", _WINDOW),
    SystemPackage("libdbus-1.so.3", "libdbus-1-3", _WINDOW),
    SystemPackage("libfontconfig.so.1", "libfontconfig1", _WINDOW),
    SystemPackage("libfreetype.so.6", "libfreetype6", _WINDOW),
    SystemPackage("libxkbcommon.so.0", "libxkbcommon0", _WINDOW),
    SystemPackage("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", _WINDOW),
    SystemPackage("libX11-xcb.so.1", "libx11-xcb1", _WINDOW),
    SystemPackage("libxcb-cursor.so.0", "libxcb-cursor0", _WINDOW),
    SystemPackage("libxcb-icccm.so.4", "libxcb-icccm4", _WINDOW),
    SystemPackage("libxcb-image.so.0", "libxcb-image0", _WINDOW),
    SystemPackage("libxcb-keysyms.so.1", "libxcb-keysyms1", _WINDOW),
    SystemPackage("libxcb-randr.so.0", "libxcb-randr0", _WINDOW),
    SystemPackage("libxcb-render-util.so.0", "libxcb-render-util0", _WINDOW),
    SystemPackage("libxcb-shape.so.0", "libxcb-shape0", _WINDOW),
    SystemPackage("libxcb-shm.so.0", "libxcb-shm0", _WINDOW),
    SystemPackage("libxcb-sync.so.1", "libxcb-sync1", _WINDOW),
    SystemPackage("libxcb-xfixes.so.0", "libxcb-xfixes0", _WINDOW),
    SystemPackage("libxcb-xkb.so.1", "libxcb-xkb1", _WINDOW),
    SystemPackage("libusb-1.0.so.0", "libusb-1.0-0", "RealSense cameras"),
    SystemPackage("libudev.so.1", "libudev1", "RealSense cameras"),
    SystemPackage("xvfb-run", "xvfb", "the tests", dev_only=True),
    SystemPackage("xauth", "xauth", "the tests", dev_only=True),
)


def missing_packages(*, dev: bool) -> list[SystemPackage]:
    """What is not on this machine, of what the app (with dev: and its tests) needs; nothing outside Linux."""
    if not sys.platform.startswith("linux"):
        return []
    wanted = (entry for entry in SYSTEM_PACKAGES if dev or not entry.dev_only)
    return [entry for entry in wanted if not entry.is_present()]


if __name__ == "__main__":
    print(*(entry.package for entry in missing_packages(dev="dev" in sys.argv[1:])))
