"""The app's settings: small frozen dataclasses, checked, from a TOML file; the command line's flags override.

docs/settings.md lists them all.
"""

from __future__ import annotations

import enum
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from app.takes_folder import checked_takes_folder
from engine.runners.choose import RUNNERS
from engine.sensors.protocol import CAMERA_FPS, CAMERA_FPS_RANGE
from engine.types import DEFAULT_SMOOTHING, LumbricalError

ASSETS = Path(__file__).resolve().parents[1] / "assets"
#: The sequence folder that plays, looped, where no camera is found.
DEMO_SOURCE = ASSETS / "demo"
_MAX_CONFIG_BYTES = 1 << 20


def _check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LumbricalError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    _check(name, value, low, high)
    if not isinstance(value, int):
        raise LumbricalError(f"{name} must be a whole number, not {value!r}")


@dataclass(frozen=True)
class ViewerConfig:
    """How the window draws.

    max_fps: pictures a second at most; max_fps_software: the same where OpenGL runs on the processor, which it shares
    with tracking; max_pixels_software: pictures larger than this are drawn smaller there and enlarged.
    cloud_points: points of the sensor's cloud at most.
    """

    max_fps: float = 60.0
    max_fps_software: float = 32.0
    max_pixels_software: int = 600_000
    cloud_points: int = 80_000
    cloud_points_software: int = 16_000

    def __post_init__(self) -> None:
        _check("viewer.max_fps", self.max_fps, 1, 240)
        _check("viewer.max_fps_software", self.max_fps_software, 1, 240)
        _check_whole("viewer.max_pixels_software", self.max_pixels_software, 10_000, 50_000_000)
        _check_whole("viewer.cloud_points", self.cloud_points, 100, 2_000_000)
        _check_whole("viewer.cloud_points_software", self.cloud_points_software, 100, 2_000_000)


@dataclass(frozen=True)
class TrackingConfig:
    """How the app starts tracking: smoothing 0 (none) to 1; threads for the networks, 0 to let the app choose; runner:
    a name of engine.runners.choose.RUNNERS, "" to let the app choose."""

    smoothing: float = DEFAULT_SMOOTHING
    threads: int = 0
    runner: str = ""

    def __post_init__(self) -> None:
        _check("tracking.smoothing", self.smoothing, 0, 1)
        _check_whole("tracking.threads", self.threads, 0, 256)
        if self.runner not in ("", *RUNNERS):
            raise LumbricalError(f"tracking.runner must be one of {', '.join(RUNNERS)}, not {self.runner!r}")


class Isolated(enum.StrEnum):
    """Which sources are read in a process of their own: cameras with a driver that is not ours, all, or none."""

    CAMERAS = "cameras"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class SensorsConfig:
    """How sources are read; isolated: one of Isolated's values; fps: frames a second that a camera is asked for."""

    isolated: str = Isolated.CAMERAS
    fps: int = CAMERA_FPS

    def __post_init__(self) -> None:
        _check_whole("sensors.fps", self.fps, *CAMERA_FPS_RANGE)
        if self.isolated not in tuple(Isolated):
            raise LumbricalError(f"sensors.isolated must be one of {', '.join(Isolated)}, not {self.isolated!r}")


@dataclass(frozen=True)
class RecordingConfig:
    """How the window records: countdown_s before a take begins and preroll_s taken along from before it, both where
    they are switched on; preroll_mb: what the pre-roll may hold in memory."""

    countdown_s: float = 3.0
    preroll_s: float = 5.0
    preroll_mb: int = 512

    def __post_init__(self) -> None:
        _check("recording.countdown_s", self.countdown_s, 1, 60)
        _check("recording.preroll_s", self.preroll_s, 1, 60)
        _check_whole("recording.preroll_mb", self.preroll_mb, 16, 16_384)


@dataclass(frozen=True)
class AppConfig:
    """Everything the app can be told. source: a camera or recording, or None: the first camera, else the demo take.
    takes_folder: where takes go, or None: where the window remembers, else the user's data folder."""

    source: str | None = None
    takes_folder: str | None = None
    viewer: ViewerConfig = field(default_factory=ViewerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    sensors: SensorsConfig = field(default_factory=SensorsConfig)

    def __post_init__(self) -> None:
        if self.takes_folder is not None:
            if not (isinstance(self.takes_folder, str) and self.takes_folder):
                raise LumbricalError(f"takes_folder must name a folder, not {self.takes_folder!r}")
            checked_takes_folder(self.takes_folder)
        if self.source is not None and not (isinstance(self.source, str) and self.source):
            raise LumbricalError(f"source must name a camera or a recording, not {self.source!r}")


def load_config(path: Path | None) -> AppConfig:
    """Read a TOML file, e.g. `source = "..."` and the tables [viewer], [tracking], [recording], [sensors]; without a
    path, the defaults.

    Errors: LumbricalError naming the file and the entry when it is missing, unreadable, unknown or out of range.
    """
    if path is None:
        return AppConfig()
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CONFIG_BYTES + 1)
        if len(data) > _MAX_CONFIG_BYTES:
            raise LumbricalError("is far too long for a settings file")
        entries = tomllib.loads(data.decode())
        known = {
            "viewer": ViewerConfig(),
            "tracking": TrackingConfig(),
            "recording": RecordingConfig(),
            "sensors": SensorsConfig(),
        }
        parts = {name: _filled(name, known[name], table) for name, table in entries.items() if name in known}
        return _filled("", AppConfig(), {**entries, **parts})
    except OSError as error:
        raise LumbricalError(f"cannot read the settings file {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LumbricalError(f"{path} is not a TOML file: {error}") from error
    except LumbricalError as error:
        raise LumbricalError(f"{path}: {error}") from error


def _filled(name: str, defaults: Any, table: object) -> Any:
    if not isinstance(table, dict):
        raise LumbricalError(f"{name} must be a table: write [{name}] above its entries")
    unknown = sorted(table.keys() - {one.name for one in fields(defaults)})
    if unknown:
        known = ", ".join(one.name for one in fields(defaults))
        raise LumbricalError(f"there is no setting {'.'.join(filter(None, (name, unknown[0])))}; known are {known}")
    return replace(defaults, **table)
