"""Training of the encoder on rendered crops. Torch, numpy and the standard library only, CPU or CUDA, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import CROP_SIZE, Encoder
from engine.training.config import TrainConfig
from engine.training.loop import TrainingLoop
from engine.training.losses import supervised_loss
from engine.training.renders import HandRenderer, RenderedBatch


class Trainer(TrainingLoop[Encoder, RenderedBatch]):
    """Trains one encoder. render_workers: processes that render while this one trains; with 0 it does both."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu", render_workers: int = 0) -> None:
        torch.manual_seed(config.seed)
        super().__init__(Encoder(config.encoder), config, out, device)
        self.config, self._render_workers = config, render_workers
        self.skeleton = Skeleton().to(device)

    def batches(self) -> Iterable[RenderedBatch]:
        """Rendered crops, the views widening as their numbers rise."""
        size = self.config.batch_size
        stream = RenderStream(self.config, self.device, range(self.images // size, -(-self.config.images // size)))
        return DataLoader(stream, batch_size=None, num_workers=self._render_workers)

    def loss(self, batch: RenderedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """See engine.training.losses.supervised_loss."""
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            encoding = self.net(batch.crop.contiguous(memory_format=torch.channels_last), batch.distance)
        encoding = type(encoding)(*(part.float() for part in encoding))
        return supervised_loss(encoding, batch, self.skeleton, self.config.loss)


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
