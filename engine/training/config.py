"""Training configurations: small TOML files in configs/, checked when they are read."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.methods.gaussian.encoder import EncoderConfig
from engine.training.loop import Schedule, check_range
from engine.training.losses import LossWeights
from engine.training.renders import RenderConfig
from engine.training.sampling import SamplingConfig
from engine.types import LumbricalError


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Schedule):
    """One experiment with the encoder. widen_views_images: until then the views widen from easy ones to all."""

    images: int = 1_000_000
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    warm_up_images: int = 20_000
    ema_half_life_images: int = 40_000
    widen_views_images: int = 300_000
    test_images: int = 2048
    test_seed: int = 20_261_120
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("test_images", self.test_images, 1, 1e7)
        check_range("test_seed", self.test_seed, 0, 2**62)


#: The configuration of the shipped weights.
ENCODER_CONFIG = Path(__file__).parents[2] / "configs" / "encoder.toml"
_SECTIONS: dict[str, type] = {"encoder": EncoderConfig, "render": RenderConfig, "loss": LossWeights}


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; LumbricalError names the key that is unknown or of the wrong type."""
    table = read_toml(path)
    sections = {name: build(kind, table.pop(name, {}), f"{path}: [{name}]") for name, kind in _SECTIONS.items()}
    return build(TrainConfig, table | sections, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as it is; LumbricalError when it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LumbricalError(f"cannot read the training configuration {path}: {error}") from error


def build(kind: type, table: dict[str, Any], where: str) -> Any:
    """A dataclass from a table; LumbricalError, beginning with `where`, names what does not fit."""
    if not isinstance(table, dict):
        raise LumbricalError(f"{where} must be a table of entries, not {table!r:.40}")
    table = dict(table)
    if kind is RenderConfig and "sampling" in table:
        table["sampling"] = build(SamplingConfig, table["sampling"], f"{where} sampling")
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in table.items():
        if key not in known:
            raise LumbricalError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
        default = known[key].default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            table[key] = float(value)
        elif isinstance(default, (bool, int, float, str)) and type(value) is not type(default):
            raise LumbricalError(f"{where}: {key} must be {type(default).__name__}, not {value!r}")
        elif isinstance(default, tuple):
            table[key] = tuple(value)
    for key, entry in known.items():
        if key not in table and entry.default is entry.default_factory is dataclasses.MISSING:
            raise LumbricalError(f"{where}: the entry {key} is missing")
    try:
        return kind(**table)
    except (LumbricalError, TypeError) as error:
        raise LumbricalError(f"{where}: {error}") from error
