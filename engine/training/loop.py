"""The loop that all training shares: steps, learning rate, average of weights, log, checkpoint, resuming, processes.

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

from engine.training.batch_norm import share_batch_norms
from engine.training.checkpoints import load_checkpoint, save_checkpoint
from engine.training.processes import ALONE, Processes, interrupt_remembered
from engine.training.shares import check_shares, part_size
from engine.types import LumbricalError

Report = Callable[[dict[str, float]], None]
Batch = TypeVar("Batch")
Net = TypeVar("Net", bound=nn.Module)
#: Where steps take long, losses are reported this often all the same.
_LONGEST_SILENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """name: of the experiment. images: seen in all; the learning rate warms up, then falls along a cosine over them.
    ema_half_life_images: over which the average of the weights forgets. part_images: so many images at most are
    rendered at once, from a seed of their own, and can be had by one process without rendering others.
    bfloat16: whether the network computes in it. Raises ValueError on what cannot be trained.
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
    part_images: int = 32
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be the name of a folder, not {self.name!r:.40}")
        for name in ("images", "batch_size", "ema_half_life_images", "part_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("weight_decay", "warm_up_images", "seed", "checkpoint_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")

    @property
    def part_size(self) -> int:
        """How many images are rendered at once."""
        return part_size(self.batch_size, self.part_images)

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

    Several processes share each batch and keep the same weights: see batches and loss. Rank 0 alone writes.
    Raises LumbricalError when loss or gradient stop being numbers: training never goes on silently from there.
    """

    max_gradient_norm = 2.0

    def __init__(self, net: Net, schedule: Schedule, out: Path, device: str, processes: Processes = ALONE) -> None:
        check_shares(schedule.batch_size, processes)
        self.schedule, self.out, self.device, self.processes = schedule, out, device, processes
        self.net = net.to(device)
        # Channels last is what both oneDNN and cuDNN run fastest; but oneDNN's backward pass writes past its buffers
        # there where a network is narrow (torch 2.13), which ends the process now and then.
        plain = device == "cpu" and (not schedule.bfloat16 or _is_narrow(net))
        self.memory_format = torch.contiguous_format if plain else torch.channels_last
        self.net.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net).requires_grad_(False).eval()
        share_batch_norms(self.net, processes, device)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.images = 0
        self.seconds = 0.0
        #: Settings that differ from those of the checkpoint that was resumed, "name: old -> new".
        self.changed_settings: list[str] = []

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """This process's share of the batches still to come, from image number self.images on."""

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """This process's share of the loss (scalar) of self.net on a batch, and of its parts by name.

        Shares add up to the loss of the whole batch: what is counted to divide by is counted by self.processes.total.
        """

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
        """Write the checkpoint; what other processes than the first would write is the same."""
        if self.processes.rank:
            return
        state = {part: getattr(self, part).state_dict() for part in ("net", "average", "optimizer")}
        progress = {"images": self.images, "seconds": self.seconds, "config": asdict(self.schedule)}
        save_checkpoint(self.checkpoint_path, state | progress)

    def run(self, minutes: float | None = None, report: Report | None = None, every: int = 50) -> bool:
        """Train until schedule.images were seen, or for `minutes`; True when done.

        Reports after the first step, every `every` steps, when nothing was reported for _LONGEST_SILENCE_S, and at the
        end. An interruption (Ctrl-C) leaves a checkpoint too. All processes stop after the same step.
        """
        self._check_alike()
        # Not before: what cannot be trained leaves no empty folder behind.
        self.out.mkdir(parents=True, exist_ok=True)
        start = last_save = last_report = time.monotonic()
        before, tally = self.seconds, _Tally()
        try:
            with interrupt_remembered(self.processes) as interrupted:
                for step, batch in enumerate(self.batches(), start=1):
                    tally.add(self._step(batch))
                    self.seconds = before + time.monotonic() - start
                    late = minutes is not None and time.monotonic() - start > 60 * minutes
                    silent = time.monotonic() - last_report > _LONGEST_SILENCE_S
                    late, silent, stop = self.processes.any((late, silent, interrupted()), self.device)
                    if step == 1 or step % every == 0 or silent:
                        self._report(tally, report)
                        last_report = time.monotonic()
                    if time.monotonic() - last_save > 60 * self.schedule.checkpoint_minutes:
                        self.save()
                        last_save = time.monotonic()
                    if stop:
                        raise KeyboardInterrupt
                    if late:
                        break
        except KeyboardInterrupt:
            self.save()
            raise
        self.save()
        self._report(tally, report)
        return self.images >= self.schedule.images

    def _check_alike(self) -> None:
        """Raise LumbricalError unless all processes begin with the same weights."""
        if self.processes.alone:
            return
        weights = sum(part.detach().double().sum().item() for part in self.net.parameters())
        own = torch.tensor([self.images, weights], dtype=torch.float64, device=self.device)
        gap = (self.processes.total(own) / self.processes.count - own).abs()
        different = bool((gap > 1e-6 * own.abs().clamp(min=1.0)).any())
        if self.processes.any((different,), self.device)[0]:
            raise LumbricalError(f"the processes begin with different weights; {self.out} must be one folder for all")

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate_after(self.images)
        self.net.train()
        loss, parts = self.loss(batch)
        self._check_number("loss", loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._add_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.max_gradient_norm)
        self._check_number("loss's gradient", norm)
        self.optimizer.step()
        self._update_average()
        self.images += self.schedule.batch_size
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    def _check_number(self, what: str, value: Tensor) -> None:
        """Raise LumbricalError, in all processes, where the value is not a number in one."""
        if self.processes.any((not torch.isfinite(value),), self.device)[0]:
            raise LumbricalError(f"the {what} is not a number after {self.images} images; lower learning_rate")

    def _add_gradients(self) -> None:
        """Make every process's gradients those of the whole batch."""
        if self.processes.alone:
            return
        own = [part.grad for part in self.net.parameters() if part.grad is not None]
        whole = self.processes.total(torch.cat([gradient.flatten() for gradient in own]))
        for gradient, values in zip(own, whole.split([gradient.numel() for gradient in own]), strict=True):
            gradient.copy_(values.view_as(gradient))

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

    def _report(self, tally: _Tally, report: Report | None) -> None:
        """Tell the means since the last report, if there was a step."""
        if not tally.steps:
            return
        sums, steps = tally.take()
        means = self.processes.total(torch.stack([value.float() for value in sums.values()])) / steps
        if self.processes.rank:
            return
        rate = self.schedule.learning_rate_after(self.images)
        line = {"images": self.images, "seconds": round(self.seconds, 1), "lr": rate}
        line |= dict(zip(sums, means.tolist(), strict=True))
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")
        if report is not None:
            report(line)


class _Tally:
    """Sums of losses over steps, without waiting for the device that computes them."""

    def __init__(self) -> None:
        self.steps = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Count a step."""
        self.steps += 1
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def take(self) -> tuple[dict[str, Tensor], int]:
        """The sums and of how many steps they are; it begins anew."""
        sums, steps = self._sums, self.steps
        self._sums, self.steps = {}, 0
        return sums, steps


def _settings(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table as one of dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= _settings(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _is_narrow(net: nn.Module) -> bool:
    """Whether a 1 x 1 convolution that leaves pixels out reads fewer channels than a vector of the processor has."""
    pointwise = (part for part in net.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1))
    return any(part.stride != (1, 1) and part.in_channels < 16 for part in pointwise)
