"""The training loop: rendered crops in, weights out. Torch and the standard library only, CPU or CUDA, resumable."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoder
from engine.training.checkpoints import load_checkpoint, save_checkpoint
from engine.training.config import TrainConfig
from engine.training.losses import supervised_loss
from engine.training.renders import HandRenderer, RenderedBatch
from engine.types import LumbricalError

Report = Callable[[dict[str, float]], None]


class Trainer:
    """Trains one encoder. Files in `out`: checkpoint.pt (everything, to resume) and log.jsonl (a line a report)."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu", render_workers: int = 0) -> None:
        self.config, self.out, self.device, self._render_workers = config, out, device, render_workers
        torch.manual_seed(config.seed)
        self.encoder = Encoder(config.encoder).to(device)
        # Channels last is what both oneDNN and cuDNN run fastest.
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.encoder).requires_grad_(False).eval()
        self.skeleton = Skeleton().to(device)
        self.optimizer = torch.optim.AdamW(
            self.encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.images = 0
        self.seconds = 0.0
        out.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint_path(self) -> Path:
        return self.out / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the checkpoint in `out`, when there is one."""
        if not self.checkpoint_path.exists():
            return False
        state = load_checkpoint(self.checkpoint_path, self.device)
        try:
            self.encoder.load_state_dict(state["encoder"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise LumbricalError(
                f"{self.checkpoint_path} does not fit this configuration; choose another --out"
            ) from error
        self.images, self.seconds = state["images"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            self.checkpoint_path,
            {
                "encoder": self.encoder.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "images": self.images,
                "seconds": self.seconds,
                "config": dataclasses.asdict(self.config),
            },
        )

    def run(self, minutes: float | None = None, report: Report | None = None, every: int = 50) -> bool:
        """Train until config.images were seen, or for `minutes`; True when done. Reports every `every` steps."""
        start, last_save, done_before = time.monotonic(), time.monotonic(), self.seconds
        sums: dict[str, Tensor] = {}
        for step, batch in enumerate(self._batches(), start=1):
            parts = self._step(batch)
            for name, value in parts.items():
                sums[name] = sums[name] + value if name in sums else value
            self.seconds = done_before + time.monotonic() - start
            if step % every == 0:
                self._report({name: float(value) / every for name, value in sums.items()}, report)
                sums = {}
            if time.monotonic() - last_save > 60 * self.config.checkpoint_minutes:
                self.save()
                last_save = time.monotonic()
            if minutes is not None and time.monotonic() - start > 60 * minutes:
                break
        self.save()
        return self.images >= self.config.images

    def _batches(self) -> Iterator[RenderedBatch]:
        """The batches still to come. Where rendering is the CPU's work, processes of their own may do it."""
        first = self.images // self.config.batch_size
        stream = RenderStream(self.config, self.device, range(first, -(-self.config.images // self.config.batch_size)))
        return iter(DataLoader(stream, batch_size=None, num_workers=self._render_workers))

    def _step(self, batch: RenderedBatch) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.encoder.train()
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            encoding = self.encoder(batch.crop.contiguous(memory_format=torch.channels_last), batch.distance)
        encoding = type(encoding)(*(part.float() for part in encoding))
        loss, parts = supervised_loss(encoding, batch, self.skeleton, self.config.loss)
        if not torch.isfinite(loss):
            raise LumbricalError(f"the loss is not a number after {self.images} images; lower learning_rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 2.0)
        self.optimizer.step()
        self._update_average()
        self.images += len(batch.crop)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    def _learning_rate(self) -> float:
        config = self.config
        if self.images < config.warm_up_images:
            return config.learning_rate * (self.images + 1) / config.warm_up_images
        way = (self.images - config.warm_up_images) / max(1, config.images - config.warm_up_images)
        return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, way))))

    def _update_average(self) -> None:
        # Early on the average follows quickly, or it would remember the random start.
        half_life = min(self.config.ema_half_life_images, 0.1 * self.images + 200)
        keep = 0.5 ** (self.config.batch_size / half_life)
        with torch.no_grad():
            for slow, fast in zip(self.average.state_dict().values(), self.encoder.state_dict().values(), strict=True):
                if slow.is_floating_point():
                    slow.lerp_(fast, 1 - keep)
                else:
                    slow.copy_(fast)

    def _report(self, means: dict[str, float], report: Report | None) -> None:
        line = {"images": self.images, "seconds": round(self.seconds, 1), "lr": self._learning_rate(), **means}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")
        if report is not None:
            report(line)


class RenderStream(Dataset[RenderedBatch]):
    """A configuration's training batches by number; the views widen as the numbers rise."""

    def __init__(self, config: TrainConfig, device: str, numbers: range) -> None:
        self._config, self._device, self._numbers = config, device, numbers
        self._renderer: HandRenderer | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> RenderedBatch:
        if self._renderer is None:
            self._renderer = HandRenderer(self._config.render, self._config.seed, self._device)
        number, size = self._numbers[place], self._config.batch_size
        width = number * size / max(1, self._config.widen_views_images)
        return self._renderer.batch(size, number, width)


def test_set(config: TrainConfig, device: str = "cpu") -> list[RenderedBatch]:
    """The rendered test set of a configuration: right hands only, other shapes than training, always the same."""
    render = dataclasses.replace(config.render, empty_fraction=0.0, left_fraction=0.0)
    renderer = HandRenderer(render, config.test_seed, device)
    size = min(128, config.test_images)
    return [renderer.batch(size, index) for index in range(config.test_images // size)]


@torch.no_grad()
def rendered_errors(encoder: Encoder, batches: list[RenderedBatch], skeleton: Skeleton) -> dict[str, float]:
    """Mean joint errors in mm over rendered batches: of the dense head's points and of the posed skeleton."""
    points, joints = [], []
    encoder.eval()
    for batch in batches:
        encoding = encoder(batch.crop, batch.distance)
        posed = skeleton.pose(
            encoding.translation, encoding.rotation, encoding.articulation, skeleton.bone_lengths(encoding.beta)
        )
        points.append((encoding.points - batch.joints).norm(dim=-1))
        joints.append((posed.joints - batch.joints).norm(dim=-1))
    every, posed_every = torch.cat(points), torch.cat(joints)
    return {
        "points_mean_mm": every.mean().item(),
        "points_median_mm": every.median().item(),
        "joints_mean_mm": posed_every.mean().item(),
        "joints_median_mm": posed_every.median().item(),
    }
