"""Users' profiles: what calibrations learnt, one readable file per user and hand.

A file is JSON: who, which hand, when, by which version and camera; each bone in words and mm; then the numbers that
the tracker takes. Files are checked before anything in them is believed, and are written whole or not at all.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.estimate import BONE_NAMES, SHAPE_SIZE, ShapeEstimate, bone_lengths, bone_sd
from calibration.frames import Build
from calibration.skin import SKIN_SIZE
from engine.fitting.kinematics import Kinematics
from engine.hand.relief import MOST_RELIEF_MM, RELIEF_SIZE
from engine.types import BETA_SIZE, THICKNESS_SIZE, FloatArray, LumbricalError, Side
from engine.version import VERSION
from engine.whole_file import write_whole

FORMAT = "lumbrical-profile"
FORMAT_VERSION = 2
#: Files of these versions are read; the first one had no relief.
_KNOWN_VERSIONS = (1, FORMAT_VERSION)
SUFFIX = ".json"
#: Of a profile that another one has replaced.
PREVIOUS = ".previous"
_NOBODY = "no profile"
_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[^\W_](?:[\w .-]{0,38}[\w-])?")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
#: Further from the mean hand no hand is: units of beta, mm of thickness and of skin.
_MOST_BETA, _MOST_MM = 10.0, 60.0


class BadProfile(LumbricalError):
    """A profile cannot be read, found or written; the message says why and what to do."""


@dataclass(frozen=True)
class Profile:
    """One user's one hand. build: of it; covariance (26, 26): of beta and thickness. frames: that it was learnt from.
    sensor: what recorded them. created: ISO 8601, UTC. version: of the software. residual_before_mm, residual_after_mm:
    of what it was compared with, and its own, on frames that neither had seen; NaN where unknown."""

    user: str
    side: Side
    build: Build
    covariance: NDArray[np.float64]
    frames: int
    sensor: str
    created: str
    residual_before_mm: float
    residual_after_mm: float
    version: str = VERSION

    @property
    def file_name(self) -> str:
        return f"{self.user}.{self.side.value}{SUFFIX}"

    def estimate(self, kinematics: Kinematics) -> ShapeEstimate:
        """Its bones with their uncertainty."""
        lengths, sd = bone_lengths(self.build, kinematics), bone_sd(self.covariance, kinematics)
        return ShapeEstimate(self.build, lengths, sd, self.covariance, self.frames)

    def summary(self) -> dict[str, Any]:
        """Where it comes from, as plain values in its file's words."""
        return {
            "user": self.user,
            "side": self.side.value,
            "created": self.created,
            "software_version": self.version,
            "sensor": self.sensor,
            "frames": self.frames,
            "residual_before_mm": _number_or_none(self.residual_before_mm),
            "residual_after_mm": _number_or_none(self.residual_after_mm),
        }


class ProfileStore:
    """The profiles in a folder, which need not exist until one is saved."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def files(self) -> list[tuple[Path, Profile | BadProfile]]:
        """Every file, by name, with what it holds or why it cannot be read."""
        found: list[tuple[Path, Profile | BadProfile]] = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []:
            try:
                found.append((path, read_profile(path)))
            except BadProfile as error:
                found.append((path, error))
        return found

    def all(self) -> tuple[list[Profile], list[str]]:
        """All that can be read, by name, and a line on each file that cannot."""
        held = [one for _, one in self.files()]
        return [p for p in held if isinstance(p, Profile)], [str(e) for e in held if isinstance(e, BadProfile)]

    def path(self, user: str, side: Side) -> Path:
        """Where that profile is, or would be. BadProfile for a name that is none."""
        return self.folder / f"{checked_name(user)}.{side.value}{SUFFIX}"

    def load(self, user: str, side: Side) -> Profile:
        """BadProfile when there is none or it cannot be read."""
        path = self.path(user, side)
        if not path.is_file():
            usable = [file.name.removesuffix(SUFFIX) for file, held in self.files() if isinstance(held, Profile)]
            known = ", ".join(usable) or "none"
            raise BadProfile(f"there is no profile of {user}'s {side.value} hand; there are: {known}")
        return read_profile(path)

    def find(self, user: str, side: Side) -> Profile | None:
        """None when there is none. BadProfile when it cannot be read."""
        return self.load(user, side) if self.path(user, side).is_file() else None

    def sides(self, user: str) -> list[Side]:
        """The hands that a user has profiles of."""
        return [side for side in Side if self.path(user, side).is_file()]

    def save(self, profile: Profile) -> Path:
        """Write a profile in the place of an older one, if any."""
        path = self.path(profile.user, profile.side)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadProfile(f"{self.folder} cannot be made: {error.strerror}; choose another --profiles") from error
        write_profile(path, profile)
        return path

    def keep_previous(self, user: str, side: Side) -> Path:
        """Put a profile aside, where no list shows it but `profiles import` takes it back. BadProfile where there is
        none or it cannot be kept."""
        path = self.path(user, side)
        try:
            return path.replace(self._previous(user, side))
        except OSError as error:
            raise BadProfile(f"{path} cannot be put aside: {error.strerror}") from error

    def _previous(self, user: str, side: Side) -> Path:
        """Where keep_previous puts that profile."""
        return self.path(user, side).with_suffix(PREVIOUS)

    def rename(self, user: str, side: Side, new: str) -> Path:
        """Give a profile's user another name, with what was put aside and what adaptation learnt. BadProfile where that
        user has one of that hand."""
        profile, path = self.load(user, side), self.path(new, side)
        if new == user:
            raise BadProfile(f"{user} is that profile's name already")
        if path.exists():
            raise BadProfile(f"{new} has a profile of the {side.value} hand already: choose another name")
        self._move_adapted(user, side, new)
        with suppress(BadProfile):  # what was put aside and is damaged is of no use under the new name either
            before = read_profile(self._previous(user, side))
            write_profile(self._previous(new, side), replace(before, user=new))
        write_profile(path, replace(profile, user=new))
        self.delete(user, side)
        return path

    def _move_adapted(self, user: str, side: Side, new: str) -> None:
        old, place = (adapted_folder(name, side, self.folder) for name in (user, new))
        # What lies there without a profile is of somebody who had that name before.
        shutil.rmtree(place, ignore_errors=True)
        if old.is_dir():
            try:
                old.replace(place)
            except OSError as error:
                raise BadProfile(f"{old} cannot be renamed: {error.strerror}") from error

    def delete(self, user: str, side: Side) -> None:
        """Remove a profile, readable or not, with what was put aside and what adaptation learnt: the next of that name
        may be somebody else. BadProfile when there is none."""
        path = self.path(user, side)
        try:
            path.unlink()
            self._previous(user, side).unlink(missing_ok=True)
            shutil.rmtree(adapted_folder(user, side, self.folder), ignore_errors=True)
        except FileNotFoundError as error:
            raise BadProfile(f"there is no profile of {user}'s {side.value} hand to delete") from error
        except OSError as error:
            raise BadProfile(f"{path} cannot be deleted: {error.strerror}") from error


def default_folder() -> Path:
    """The user's own data folder, as the system has it."""
    from platformdirs import user_data_path

    return user_data_path("lumbrical", appauthor=False) / "profiles"


def adapted_folder(user: str | None, side: Side | None, profiles: Path | None = None) -> Path:
    """Where adaptation keeps the versions of a user's one hand, beside its profile; without a profile, those of whoever
    uses the app. profiles: their folder, the default one for None. BadProfile for a name that is none."""
    name = _NOBODY if user is None else checked_name(user)
    return (profiles or default_folder()) / "adapted" / f"{name}.{(side or Side.RIGHT).value}"


def checked_name(user: str) -> str:
    """The name, where it can be a file's on every system; else BadProfile."""
    if not _NAME.fullmatch(user) or _RESERVED.fullmatch(user):
        raise BadProfile(
            f"{user[:60]!r} cannot be a profile's name: up to 40 letters, digits, spaces, dots, - and _, a letter or "
            "digit first"
        )
    return user


def write_profile(path: Path, profile: Profile) -> None:
    """Write the file whole or not at all. BadProfile when it cannot be."""
    text = json.dumps(profile_as_json(profile), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise BadProfile(f"{path} cannot be written: {error.strerror or error}") from error


def read_profile(path: Path) -> Profile:
    """Read and check a file. BadProfile, in one line, for one that is damaged, newer, or no profile."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadProfile(f"{path} is over 1 MB: it is no hand profile")
        source = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadProfile(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadProfile(f"{path} is damaged or no profile: `calibrate` writes them") from error
    return profile_from_json(source, path)


def profile_from_json(source: object, path: object) -> Profile:
    """Check what a file holds, or what a take carries. path: where it is from, for the message of BadProfile."""
    if not isinstance(source, dict) or source.get("format") != FORMAT:
        raise BadProfile(f"{path} is no hand profile: `calibrate` writes them")
    version = source.get("format_version")
    if version not in _KNOWN_VERSIONS:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        advice = "it is of a newer Lumbrical: update this one" if newer else "calibrate again"
        raise BadProfile(f"{path} has format version {str(version)[:20]}, {FORMAT_VERSION} is known here: {advice}")
    try:
        return _from_json(source)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadProfile(f"{path} is damaged ({str(error)[:80]}): calibrate again, or get the file anew") from error


def profile_as_json(profile: Profile) -> dict[str, Any]:
    """What its file holds, as JSON can hold it; takes carry it, too."""
    estimate = profile.estimate(Kinematics())
    bones = {
        name: {"length": round(float(length), 1), "sd": round(float(sd), 2)}
        for name, length, sd in zip(BONE_NAMES, estimate.lengths_mm, estimate.sd_mm, strict=True)
    }
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **profile.summary(),
        "bones_mm": bones,
        "beta": _rounded(profile.build.beta),
        "thickness_mm": _rounded(profile.build.thickness),
        "skin_mm": _rounded(profile.build.skin),
        "relief_mm": _rounded(profile.build.relief),
        "covariance": [_rounded(row, 8) for row in profile.covariance],
    }


def _from_json(source: Mapping[str, Any]) -> Profile:
    user, side = checked_name(_text(source, "user")), _side(source)
    first = source["format_version"] == 1
    build = Build(
        _array(source, "beta", (BETA_SIZE,), _MOST_BETA),
        _array(source, "thickness_mm", (THICKNESS_SIZE,), _MOST_MM),
        _array(source, "skin_mm", (SKIN_SIZE,), _MOST_MM),
        np.zeros(RELIEF_SIZE) if first else _array(source, "relief_mm", (RELIEF_SIZE,), MOST_RELIEF_MM),
    )
    covariance = _array(source, "covariance", (SHAPE_SIZE, SHAPE_SIZE), 1e4)
    covariance = 0.5 * (covariance + covariance.T)
    if np.linalg.eigvalsh(covariance).min() < -1e-6:
        raise ValueError("covariance is none")
    frames = source["frames"]
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 0:
        raise ValueError("frames is not a number of frames")
    before, after = (_residual(source, f"residual_{when}_mm") for when in ("before", "after"))
    sensor, created, version = (_text(source, key) for key in ("sensor", "created", "software_version"))
    return Profile(user, side, build, covariance, frames, sensor, created, before, after, version)


def _side(source: Mapping[str, Any]) -> Side:
    side = _text(source, "side")
    if side not in {one.value for one in Side}:
        raise ValueError("side is neither right nor left")
    return Side(side)


def _text(source: Mapping[str, Any], key: str) -> str:
    value = source[key]
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError(f"{key} is not a line of text")
    return value


def _array(source: Mapping[str, Any], key: str, shape: tuple[int, ...], most: float) -> NDArray[np.float64]:
    rows = source[key]
    flat = [number for row in rows for number in row] if len(shape) == 2 else rows
    if len(flat) != math.prod(shape) or not all(type(number) in (int, float) for number in flat):
        raise ValueError(f"{key} is not {' x '.join(map(str, shape))} numbers")
    array = np.array(flat, np.float64).reshape(shape)
    if not (np.abs(array) <= most).all():
        raise ValueError(f"{key} is beyond any hand")
    return array


def _residual(source: Mapping[str, Any], key: str) -> float:
    value = source[key]
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not 0 <= value < 1e4:
        raise ValueError(f"{key} is not a distance")
    return float(value)


def _number_or_none(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _rounded(values: FloatArray, digits: int = 5) -> list[float]:
    return [round(float(value), digits) for value in values]
