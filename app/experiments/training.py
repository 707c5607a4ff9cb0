"""What the experiments share: short trainings from one common beginning, and the hands that come out."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoder
from engine.training.augment import CropSource
from engine.training.config import CONFIGS, TrainConfig
from engine.training.crops import Crops, save_crops
from engine.training.renders import RenderedBatch
from engine.training.trainer import Trainer, encode_batch
from engine.types import FloatArray

EXPERIMENTS = CONFIGS / "experiments"


def shipped() -> Encoder:
    """The shipped encoder, which rendered hands have taught."""
    from engine.methods.gaussian.weights import load_weights

    return load_weights().encoder


def fresh_heads(taught: Encoder) -> Encoder:
    """The backbone of an encoder, whose features know edges and surfaces, with heads that know no hand. The paper
    begins with a backbone that photographs have taught."""
    torch.manual_seed(0)
    fresh = Encoder(taught.config)
    fresh.backbone.load_state_dict(taught.backbone.state_dict())
    return fresh


def trained(config: TrainConfig, out: Path, start: Encoder) -> Encoder:
    """The encoder that a configuration makes of another; what is in `out` already is not done again."""
    trainer = Trainer(dataclasses.replace(config, encoder=start.config), out)
    if not trainer.resume():
        trainer.start_from(start.state_dict())
    if trainer.images < config.images:
        print(f"training {config.name}, files in {out}", file=sys.stderr, flush=True)
        trainer.run(None, lambda line: _say(config, line))
    return trainer.average.eval()


def _say(config: TrainConfig, line: dict[str, float]) -> None:
    losses = " ".join(f"{name} {line[name]:.3f}" for name in ("loss", "points", "dissim", "agree") if name in line)
    print(f"{line['images']:>9} of {config.images} images  {losses}", file=sys.stderr, flush=True)


def with_crops(config: TrainConfig, files: dict[Path, float], images: int | None) -> TrainConfig:
    """The configuration on shares of each batch from files of crops. images: instead of its own number."""
    sources = tuple(CropSource(str(file), share) for file, share in files.items())
    return dataclasses.replace(config, sources=sources, images=images or config.images)


def labelled(batch: RenderedBatch, joints: torch.Tensor, kept: tuple[int, ...], path: Path) -> None:
    """Write a batch's pictures as a file of crops with labels (B, 21, 3) of some joints."""
    known = torch.full_like(joints, torch.nan)
    known[:, kept] = joints[:, kept]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_crops(path, Crops(batch.depth, batch.distance, known))


@torch.no_grad()
def posed_hands(encoder: Encoder, batch: RenderedBatch) -> tuple[FloatArray, FloatArray]:
    """What the encoder alone says, without any fitting: joints (B, 21, 3) mm of the posed hand from the cube's centre,
    and its bone lengths (B, 20) mm."""
    said = encode_batch(encoder, batch)
    skeleton = Skeleton()
    lengths = skeleton.bone_lengths(said.beta)
    joints = skeleton.pose(said.translation, said.rotation, said.articulation, lengths).joints
    return joints.numpy(), lengths.numpy()
