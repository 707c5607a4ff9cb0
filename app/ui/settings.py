"""What the window remembers from one start to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

from app.viewer.scene import Layers
from engine.types import DEFAULT_SMOOTHING, Side

_LONGEST_TEXT = 1000
_LAYER_NAMES = ("skeleton", "gaussians", "mesh", "cloud", "uncertainty")


@dataclass(frozen=True)
class Choices:
    """The user's choices in the window; side None means that the tracker decides; profile: the one that was
    used, as ProfileKey.text, empty for none."""

    layers: Layers = field(default_factory=Layers)
    smoothing: float = DEFAULT_SMOOTHING
    side: Side | None = None
    profile: str = ""


@dataclass(frozen=True)
class RecordChoices:
    """How the user records: folder is empty until one was chosen."""

    folder: str = ""
    user: str = ""
    countdown: bool = False
    preroll: bool = True
    hand_only: bool = False


class _Volatile:
    """The part of QSettings that Memory uses, in memory only."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}

    def value(self, key: str, default: object = None) -> object:
        return self._values.get(key, default)

    def setValue(self, key: str, value: object) -> None:
        self._values[key] = value


class Memory:
    """Reads and writes choices and the window's place; what is damaged reads as the default."""

    def __init__(self, file: Path | None = None) -> None:
        self._store: QSettings | _Volatile
        if file is None:
            self._store = QSettings("Lumbrical", "Lumbrical")
        else:
            self._store = QSettings(str(file), QSettings.Format.IniFormat)

    @classmethod
    def forgetful(cls) -> Memory:
        """One that starts empty and leaves nothing behind, for benches and tests."""
        memory = cls.__new__(cls)
        # Not a QSettings on the null device: Qt replaces its file, and to root it would replace the device.
        memory._store = _Volatile()
        return memory

    def load(self, defaults: Choices) -> Choices:
        """The choices of last time."""
        layers = replace(
            defaults.layers,
            **{name: self._flag(f"layers/{name}", getattr(defaults.layers, name)) for name in _LAYER_NAMES},
        )
        side_name = str(self._store.value("side", ""))
        side = next((side for side in Side if side.value == side_name), None)
        profile = str(self._store.value("profile", ""))[:_LONGEST_TEXT]
        return Choices(layers, self._number("smoothing", defaults.smoothing), side, profile)

    def save(self, choices: Choices) -> None:
        """Remember choices."""
        for name in _LAYER_NAMES:
            self._store.setValue(f"layers/{name}", str(getattr(choices.layers, name)).lower())
        self._store.setValue("smoothing", f"{choices.smoothing:.3f}")
        self._store.setValue("profile", choices.profile)
        self._store.setValue("side", choices.side.value if choices.side else "auto")

    def load_recording(self) -> RecordChoices:
        """How the user recorded last."""
        folder, user = (str(self._store.value(f"recording/{name}", ""))[:_LONGEST_TEXT] for name in ("folder", "user"))
        defaults = RecordChoices()
        countdown, preroll, hand_only = (
            self._flag(f"recording/{name}", getattr(defaults, name)) for name in ("countdown", "preroll", "hand_only")
        )
        return RecordChoices(folder, user, countdown, preroll, hand_only)

    def save_recording(self, choices: RecordChoices) -> None:
        """Remember how the user records."""
        for name, value in vars(choices).items():
            self._store.setValue(f"recording/{name}", str(value).lower() if isinstance(value, bool) else value)

    @property
    def geometry(self) -> QByteArray | None:
        """The window's place and size, as Qt saved it."""
        value = self._store.value("geometry")
        return value if isinstance(value, QByteArray) else None

    @geometry.setter
    def geometry(self, value: QByteArray) -> None:
        self._store.setValue("geometry", value)

    @property
    def folder(self) -> str:
        """Where a recording was last opened from."""
        return str(self._store.value("folder", ""))

    @folder.setter
    def folder(self, value: str) -> None:
        self._store.setValue("folder", value)

    def _flag(self, key: str, default: bool) -> bool:
        text = str(self._store.value(key, ""))
        return {"true": True, "false": False}.get(text, default)

    def _number(self, key: str, default: float) -> float:
        try:
            value = float(str(self._store.value(key, default)))
        except ValueError:
            return default
        return value if 0 <= value <= 1 else default
