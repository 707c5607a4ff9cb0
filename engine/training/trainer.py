"""Training of the encoder on rendered and recorded crops. Torch, numpy and the standard library only, CPU or CUDA,
resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import CROP_SIZE, Encoder, Encoding
from engine.training.augment import CropBatches, CropSource
from engine.training.config import TrainConfig
from engine.training.generative import GenerativeLoss, slacken
from engine.training.loop import TrainingLoop
from engine.training.losses import supervised_loss
from engine.training.processes import ALONE, Processes
from engine.training.renders import HandRenderer, RenderedBatch
from engine.training.shares import check_shares, join, own_share, part_size
from engine.types import LumbricalError


class Trainer(TrainingLoop[Encoder, RenderedBatch]):
    """Trains one encoder. render_workers: processes that render while this one trains; with 0 it does both.
    processes: those that train together, see TrainingLoop."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        device: str = "cpu",
        render_workers: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        for source, images in zip(config.sources, config.source_images, strict=True):
            check_shares(images, processes, f"what batches take from {source.file}")
            _check_learnable(source, config)
        torch.manual_seed(config.seed)
        super().__init__(Encoder(config.encoder), config, out, device, processes)
        self.config, self._render_workers = config, render_workers
        self.skeleton = Skeleton().to(device)
        self.generative = GenerativeLoss(config.energies, self.skeleton).to(device)

    def batches(self) -> Iterable[RenderedBatch]:
        """Rendered crops, the views widening as their numbers rise, and recorded ones."""
        size = self.config.batch_size
        numbers = range(self.images // size, -(-self.config.images // size))
        stream = RenderStream(self.config, self.device, numbers, self.processes)
        return DataLoader(stream, batch_size=None, num_workers=self._render_workers)

    def loss(self, batch: RenderedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """What is known of the batch (supervised_loss), and how well recorded crops are explained (GenerativeLoss)."""
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, self.config.bfloat16):
            encoding = self.net(batch.crop.contiguous(memory_format=self.memory_format), batch.distance)
        encoding = type(encoding)(*(part.float() for part in encoding))
        slackened = slacken(batch, encoding.points.detach(), self.config.energies.slack_mm)
        loss, parts = supervised_loss(encoding, slackened, self.skeleton, self.config.loss, self.processes.total)
        if self.config.sources:
            more, explained = self.generative(encoding, batch, self.config.loss, self.processes.total)
            loss, parts = loss + more, parts | explained
        return loss, parts


def _check_learnable(source: CropSource, config: TrainConfig) -> None:
    """Raise LumbricalError for a file that cannot be read, or of crops that none of the losses learns from."""
    bare = CropBatches(source, config.seed).unlabelled
    if bare and not (config.loss.energy > 0 and config.energies.dissim > 0):
        raise LumbricalError(
            f"{source.file}: {bare} of its crops have no label, and without [loss] energy and [energies] dissim no "
            "loss learns from those"
        )


class RenderStream(Dataset[RenderedBatch]):
    """One process's share of a configuration's training batches, by number; the views widen as the numbers rise."""

    def __init__(self, config: TrainConfig, device: str, numbers: range, processes: Processes = ALONE) -> None:
        self._config, self._device, self._numbers, self._processes = config, device, numbers, processes
        self._renderer: HandRenderer | None = None
        self._recorded: list[CropBatches] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> RenderedBatch:
        if self._renderer is None:
            self._renderer = HandRenderer(self._config.render, self._config.seed, self._device)
            self._recorded = [
                CropBatches(source, self._config.seed + 1 + place, self._device)
                for place, source in enumerate(self._config.sources)
            ]
        number, config = self._numbers[place], self._config
        width = number * config.batch_size / max(1, config.widen_views_images)
        makers: list[Callable[[int, int], RenderedBatch]] = [partial(self._renderer.batch, view_width=width)]
        makers += [recorded.batch for recorded in self._recorded]
        counts = (config.rendered_images, *config.source_images)
        return join(
            [
                own_share(make, count, part_size(count, config.part_images), number, self._processes)
                for make, count in zip(makers, counts, strict=True)
                if count
            ]
        )


def test_set(config: TrainConfig, device: str = "cpu", size: int = CROP_SIZE) -> list[RenderedBatch]:
    """The rendered test set of a configuration: right hands only, always the same on one kind of device. size: of the
    images, pixels (see HandRenderer).

    Its seed is not training's, so no hand of it was trained on; shapes, poses, views and noise are drawn the way
    training draws them, poses from the same bank. The CPU's and a GPU's generators give different sets.
    """
    render = dataclasses.replace(config.render, empty_fraction=0.0, left_fraction=0.0)
    renderer = HandRenderer(render, config.test_seed, device, size=size)
    count = min(128, config.test_images)
    return [renderer.batch(count, index) for index in range(config.test_images // count)]


@torch.no_grad()
def encode_batch(encoder: Encoder, batch: RenderedBatch, part: int = 64) -> Encoding:
    """What the encoder says of a batch of any length, `part` crops at a time."""
    pieces = zip(batch.crop.split(part), batch.distance.split(part), strict=True)
    said = [encoder(crop, distance) for crop, distance in pieces]
    return Encoding(*(torch.cat(field) for field in zip(*said, strict=True)))


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
