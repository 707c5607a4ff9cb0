"""The loop that all training shares: steps, learning rate, average of weights, log, checkpoint, resuming.

A configuration that holds a schedule says how long and how fast; a subclass says what a batch is and what it costs.
"""

from __future__ import annotations

import copy
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from engine.training.checkpoints import load_checkpoint, save_checkpoint
from engine.types import LumbricalError

Report = Callable[[dict[str, float]], None]
Batch = TypeVar("Batch")
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """name: of the experiment. images: seen in all; the learning rate warms up, then falls along a cosine over them.
    ema_half_life_images: over which the average of the weights forgets. Raises ValueError on what cannot be trained.
    """

    name: str
    images: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warm_up_images: int
    ema_half_life_images: int
    seed: int = 1
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be the name of a folder, not {self.name!r:.40}")
        for name in ("images", "batch_size", "ema_half_life_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("weight_decay", "warm_up_images", "seed", "checkpoint_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")

    def check_test(self, test_seed: int, **counts: int) -> None:
        """Raise ValueError for test data that training has seen, or where a count leaves nothing to test on."""
        if test_seed < 0 or test_seed == self.seed:
            raise ValueError(f"test_seed must be 0 or more and differ from seed ({self.seed}), not {test_seed}")
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} is too small")

    def learning_rate_after(self, images: int) -> float:
        """The rate of the step that follows so many images."""
        if images < self.warm_up_images:
            return self.learning_rate * (images + 1) / self.warm_up_images
        way = (images - self.warm_up_images) / max(1, self.images - self.warm_up_images)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, way))))


class TrainingLoop(ABC, Generic[Net, Batch]):
    """Trains `net`; `average` is what gets used. Files in `out`: checkpoint.pt to resume, log.jsonl (a line a report).

    Raises LumbricalError when the loss stops being a number: training never goes on silently from there.
    """

    max_gradient_norm = 2.0

    def __init__(self, net: Net, schedule: Schedule, out: Path, device: str) -> None:
        self.schedule, self.out, self.device = schedule, out, device
        self.net = net.to(device)
        # Channels last is what both oneDNN and cuDNN run fastest.
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.images = 0
        self.seconds = 0.0
        #: Settings that differ from those of the checkpoint that was resumed, "name: old -> new".
        self.changed_settings: list[str] = []
        out.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """The batches still to come, from image number self.images on."""

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss (scalar) of self.net on a batch, and its parts by name."""

    @property
    def checkpoint_path(self) -> Path:
        return self.out / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the checkpoint in `out`, when there is one."""
        if not self.checkpoint_path.exists():
            return False
        state = load_checkpoint(self.checkpoint_path, self.device)
        try:
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.images, self.seconds = int(state["images"]), float(state["seconds"])
            before, now = _settings(state["config"]), _settings(asdict(self.schedule))
        except (KeyError, RuntimeError, ValueError) as error:
            raise LumbricalError(
                f"{self.checkpoint_path} does not fit this configuration; choose another --out"
            ) from error
        self.changed_settings = [
            f"{name}: {before.get(name)} -> {now.get(name)}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]
        return True

    def start_from(self, weights: dict[str, Any]) -> None:
        """Begin with a network's state instead of at random."""
        self.net.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {part: getattr(self, part).state_dict() for part in ("net", "average", "optimizer")}
        progress = {"images": self.images, "seconds": self.seconds, "config": asdict(self.schedule)}
        save_checkpoint(self.checkpoint_path, state | progress)

    def run(self, minutes: float | None = None, report: Report | None = None, every: int = 50) -> bool:
        """Train until schedule.images were seen, or for `minutes`; True when done. Reports every `every` steps.

        An interruption (Ctrl-C) leaves a checkpoint too.
        """
        start, last_save, before = time.monotonic(), time.monotonic(), self.seconds
        sums: dict[str, Tensor] = {}
        try:
            for step, batch in enumerate(self.batches(), start=1):
                for name, value in self._step(batch).items():
                    sums[name] = sums[name] + value if name in sums else value
                self.seconds = before + time.monotonic() - start
                if step % every == 0:
                    self._report({name: float(value) / every for name, value in sums.items()}, report)
                    sums = {}
                if time.monotonic() - last_save > 60 * self.schedule.checkpoint_minutes:
                    self.save()
                    last_save = time.monotonic()
                if minutes is not None and time.monotonic() - start > 60 * minutes:
                    break
        except KeyboardInterrupt:
            self.save()
            raise
        self.save()
        return self.images >= self.schedule.images

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate_after(self.images)
        self.net.train()
        loss, parts = self.loss(batch)
        if not torch.isfinite(loss):
            raise LumbricalError(f"the loss is not a number after {self.images} images; lower learning_rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.max_gradient_norm)
        self.optimizer.step()
        self._update_average()
        self.images += self.schedule.batch_size
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows quickly, or it would remember the random start.
        half_life = min(self.schedule.ema_half_life_images, 0.1 * self.images + 200)
        keep = 0.5 ** (self.schedule.batch_size / half_life)
        for slow, fast in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)

    def _report(self, means: dict[str, float], report: Report | None) -> None:
        rate = self.schedule.learning_rate_after(self.images)
        line = {"images": self.images, "seconds": round(self.seconds, 1), "lr": rate, **means}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")
        if report is not None:
            report(line)


def _settings(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table as one of dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= _settings(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
