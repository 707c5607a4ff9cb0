"""The last adapted versions of one user's hand on disk: encoder weights, hand, or both; one of them is in use.

Each version is a folder that appears whole or not at all; `current.json` names the one in use and is replaced in one
step. What is read is checked: nothing of a file is trusted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.hand.relief import MOST_RELIEF_MM, RELIEF_SIZE
from engine.methods.gaussian.encoder import Encoder
from engine.methods.gaussian.weights import load_weights, save_weights
from engine.runners.export import export_onnx
from engine.types import BETA_SIZE, THICKNESS_SIZE, FloatArray, LumbricalError
from engine.whole_file import write_whole

KEPT = 5
_WEIGHTS, _ONNX, _HAND, _CURRENT = "encoder.safetensors", "encoder.onnx", "hand.safetensors", "current.json"
_NUMBER = re.compile(r"\d{6}")
_MOST_BYTES = 1 << 20
#: Further from the mean hand no hand is: units of beta, mm.
_MOST_BETA, _MOST_MM = 10.0, 60.0
_MOST_SKIN = 10_000


@dataclass(frozen=True)
class AdaptedHand:
    """beta (20,), thickness (6,) mm, skin (S,), whatever numbers the surface's owner makes of it, mm, and relief
    (RELIEF_SIZE,) mm (engine.hand.relief)."""

    beta: NDArray[np.float64]
    thickness: NDArray[np.float64]
    skin: NDArray[np.float64]
    relief: NDArray[np.float64] = field(default_factory=lambda: np.zeros(RELIEF_SIZE))


@dataclass(frozen=True)
class AdaptedVersion:
    """number: from 1, never used twice. hand: that the tracker holds, or None. weights, onnx: of its encoder, None
    where that is the one it started from."""

    number: int
    hand: AdaptedHand | None
    weights: Path | None
    onnx: Path | None


class VersionStore:
    """The versions in a folder, which need not exist until one is added. keep: so many are held, the newest."""

    def __init__(self, folder: Path, keep: int = KEPT) -> None:
        self.folder, self._keep = folder, keep

    def numbers(self) -> list[int]:
        """Of all versions held, rising."""
        if not self.folder.is_dir():
            return []
        return sorted(int(one.name) for one in self.folder.iterdir() if one.is_dir() and _NUMBER.fullmatch(one.name))

    @property
    def current(self) -> int:
        """The number of the one in use; 0: none, what the tracker starts from."""
        path = self.folder / _CURRENT
        try:
            if path.stat().st_size > _MOST_BYTES:
                return 0
            number = json.loads(path.read_text(encoding="utf-8"))["current"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return 0
        return number if isinstance(number, int) and number in self.numbers() else 0

    def load(self, number: int) -> AdaptedVersion:
        """LumbricalError where it is missing or damaged."""
        folder = self._path(number)
        if not folder.is_dir():
            raise LumbricalError(f"there is no adapted version {number} in {self.folder}: adapt again")
        hand = _read_hand(folder / _HAND) if (folder / _HAND).exists() else None
        weights, onnx = folder / _WEIGHTS, folder / _ONNX
        if weights.exists():
            load_weights(weights)
            return AdaptedVersion(number, hand, weights, onnx if onnx.is_file() else None)
        return AdaptedVersion(number, hand, None, None)

    def add(self, hand: AdaptedHand | None, encoder: Encoder | None, images: int = 0) -> AdaptedVersion:
        """Write a version, not in use yet, and let the oldest go. LumbricalError where it cannot be written."""
        from safetensors.numpy import save_file

        number = max([0, self.current, *self.numbers()]) + 1
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
            try:
                if hand is not None:
                    arrays = {name: np.ascontiguousarray(value) for name, value in vars(hand).items()}
                    save_file(arrays, part / _HAND)
                if encoder is not None:
                    save_weights(part / _WEIGHTS, encoder, f"adapted-{number}", images)
                    export_onnx(load_weights(part / _WEIGHTS), part / _ONNX)
                os.replace(part, self._path(number))
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            raise LumbricalError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        self._let_go()
        return self.load(number)

    def use(self, number: int) -> None:
        """Put a version in use (0: none). LumbricalError where it is not there, or cannot be noted."""
        if number and number not in self.numbers():
            raise LumbricalError(f"there is no adapted version {number} in {self.folder}: adapt again")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / _CURRENT, json.dumps({"current": number}).encode())
        except OSError as error:
            raise LumbricalError(f"{self.folder} cannot be written: {error.strerror or error}") from error

    def before(self, number: int) -> int:
        """The version to go back to from one: the newest older one, or 0."""
        return max((one for one in self.numbers() if one < number), default=0)

    def discard(self, number: int) -> None:
        """Remove a version that has proved worse."""
        shutil.rmtree(self._path(number), ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"

    def _let_go(self) -> None:
        current = self.current
        for number in self.numbers()[: -self._keep]:
            if number != current:
                self.discard(number)


def _read_hand(path: Path) -> AdaptedHand:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise LumbricalError(f"{path} is far too large to be a hand: delete its folder")
        arrays = load_file(path)
        # Versions from before surfaces were learnt have none.
        relief = arrays.get("relief", np.zeros(RELIEF_SIZE))
        return AdaptedHand(
            _checked(arrays["beta"], BETA_SIZE, _MOST_BETA),
            _checked(arrays["thickness"], THICKNESS_SIZE, _MOST_MM),
            _checked(arrays["skin"], None, _MOST_MM),
            _checked(relief, RELIEF_SIZE, MOST_RELIEF_MM),
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise LumbricalError(f"{path} is damaged ({str(error)[:80]}): delete its folder") from error


def _checked(values: FloatArray, size: int | None, most: float) -> NDArray[np.float64]:
    if values.ndim != 1 or len(values) > _MOST_SKIN or size not in (None, len(values)):
        raise ValueError(f"{values.shape} are no such numbers")
    if not (np.abs(values) <= most).all():
        raise ValueError("numbers beyond any hand")
    return values.astype(np.float64)
