"""Training configurations: small TOML files in configs/, checked when they are read."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.methods.gaussian.encoder import EncoderConfig
from engine.methods.gaussian.energies import EnergyConfig
from engine.training.augment import CropSource
from engine.training.loop import Schedule
from engine.training.losses import LossWeights
from engine.training.renders import RenderConfig
from engine.training.sampling import SamplingConfig
from engine.types import LumbricalError


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Schedule):
    """One experiment with the encoder. widen_views_images: until then the views widen from easy ones to all.
    test_seed: of the rendered test set; it differs from the training's own seed, or the two would share their hands.
    sources: files of crops that shares of each batch come from; the rest is rendered. energies: of those crops.
    """

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
    energies: EnergyConfig = field(default_factory=EnergyConfig)
    sources: tuple[CropSource, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_test(self.test_seed, test_images=self.test_images)
        for source in self.sources:
            images = source.share * self.batch_size
            if round(images) < 1 or abs(images - round(images)) > 1e-6:
                raise ValueError(f"share {source.share} of batch_size {self.batch_size} is no whole number of images")
        if self.rendered_images < 0:
            raise ValueError("the shares of [[sources]] add up to more than 1")

    @property
    def source_images(self) -> tuple[int, ...]:
        """How many images of a batch each source gives."""
        return tuple(round(source.share * self.batch_size) for source in self.sources)

    @property
    def rendered_images(self) -> int:
        """How many images of a batch are rendered."""
        return self.batch_size - sum(self.source_images)


#: Where configurations lie.
CONFIGS = Path(__file__).parents[2] / "configs"
#: The configurations of the shipped weights, and of what `main.py finetune` does to them.
ENCODER_CONFIG, FINETUNE_CONFIG = CONFIGS / "encoder.toml", CONFIGS / "finetune.toml"
_SECTIONS: dict[str, type] = {
    "encoder": EncoderConfig,
    "render": RenderConfig,
    "loss": LossWeights,
    "energies": EnergyConfig,
}


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; LumbricalError names the key that is unknown or of the wrong type."""
    table = read_toml(path)
    sections = {name: build(kind, table.pop(name, {}), f"{path}: [{name}]") for name, kind in _SECTIONS.items()}
    sources = _sources(table.pop("sources", []), path)
    return build(TrainConfig, table | sections | {"sources": sources}, str(path))


def _sources(tables: object, path: Path) -> tuple[CropSource, ...]:
    """The [[sources]] of a configuration; their files lie beside it, where no whole path is given."""
    if not isinstance(tables, list):
        raise LumbricalError(f"{path}: sources must be written as [[sources]], one for each file of crops")
    sources = [build(CropSource, table, f"{path}: [[sources]]") for table in tables]
    return tuple(dataclasses.replace(source, file=str(path.parent / source.file)) for source in sources)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as it is; LumbricalError when it cannot be read."""
    if not Path(path).is_file():
        raise LumbricalError(f"there is no training configuration {path}; for example configs/encoder.toml")
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LumbricalError(f"cannot read the training configuration {path}: {error}") from error


def build(kind: type, table: dict[str, Any], where: str) -> Any:
    """A dataclass from a table; LumbricalError, beginning with `where`, names what does not fit."""
    if not isinstance(table, dict):
        raise LumbricalError(f"{where} must be a table, not {table!r}")
    table = dict(table)
    known = {f.name: f for f in dataclasses.fields(kind)}
    if "sampling" in table and "sampling" in known:
        table["sampling"] = build(SamplingConfig, table["sampling"], f"{where} sampling")
    for key, value in table.items():
        if key not in known:
            raise LumbricalError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
        default = known[key].default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            table[key] = float(value)
        elif isinstance(default, (bool, int, float, str)) and type(value) is not type(default):
            raise LumbricalError(f"{where}: {key} must be {type(default).__name__}, not {value!r}")
        elif isinstance(default, tuple):
            table[key] = _range(value, f"{where}: {key}")
    for key, entry in known.items():
        if key not in table and entry.default is entry.default_factory is dataclasses.MISSING:
            raise LumbricalError(f"{where}: the entry {key} is missing")
    try:
        return kind(**table)
    except (TypeError, ValueError) as error:
        raise LumbricalError(f"{where}: {error}") from error


def _range(value: object, where: str) -> tuple[float, float]:
    """All settings of several numbers are ranges."""
    numbers = value if isinstance(value, list) and all(type(one) in (int, float) for one in value) else []
    if len(numbers) != 2 or not 0 < numbers[0] <= numbers[1] < float("inf"):
        raise LumbricalError(f"{where} must be two rising numbers above 0, such as [200.0, 900.0], not {value!r}")
    return float(numbers[0]), float(numbers[1])
