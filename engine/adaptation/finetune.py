"""Fine-tuning the encoder on a user's own frames without labels, beside rendered hands that keep it from drifting."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.adaptation.observed import ObservedCrops
from engine.hand.model import skin_of
from engine.hand.skeleton import Skeleton
from engine.hand.template import load_template
from engine.methods.gaussian.encoder import Encoding
from engine.methods.gaussian.energies import EnergyConfig
from engine.tracker import surface_residual
from engine.training.augment import CropSource, recorded_batch
from engine.training.config import TrainConfig
from engine.training.crops import joined, save_crops
from engine.training.generative import GenerativeLoss
from engine.training.losses import LossWeights
from engine.training.renders import RenderedBatch
from engine.training.trainer import Trainer, encode_batch, rendered_errors, test_set
from engine.types import LumbricalError

#: Of every source's frames, the last part is not trained on; short ones are trained on whole.
_HELD_OUT = 0.2
_FEWEST = 10
#: Of each batch, this much comes from the user's frames; the rest is rendered.
_SHARE = 0.5


@dataclass(frozen=True)
class Figures:
    """How well an encoder does, without any fitting. dissim: mean E_dissim (Eq. 6) on frames held out, less is better.
    residual_mm: median over them of surface_residual. rendered_mm: mean joint error of its posed hands on rendered test
    hands."""

    dissim: float
    residual_mm: float
    rendered_mm: float


class Finetuning:
    """Trains on `sources`, each one recording's crops in the order of time, from `weights` on. Files go to `out`.

    Raises LumbricalError where none of them shows enough hands.
    """

    def __init__(
        self, config: TrainConfig, weights: dict[str, Any], sources: list[ObservedCrops], out: Path, device: str = "cpu"
    ) -> None:
        most = max(len(source) for source in sources)
        if most < _FEWEST:
            raise LumbricalError(f"only {most} frames of a recording show a hand; {_FEWEST} are needed to learn")
        cuts = [len(source) - _held_out(len(source)) for source in sources]
        ways = list(zip(sources, cuts, strict=True))
        out.mkdir(parents=True, exist_ok=True)
        own = joined([source.crops(slice(None, cut)) for source, cut in ways])
        save_crops(out / "crops.npz", own)
        config = dataclasses.replace(config, sources=(CropSource(str(out / "crops.npz"), _SHARE),))
        self.trained, self._held_out = (
            len(own.distance),
            joined([source.crops(slice(cut, None)) for source, cut in ways]),
        )
        self.trainer = Trainer(config, out, device)
        self.trainer.start_from(weights)
        self._rendered = test_set(config)
        self._skeleton = Skeleton()
        self._skin = skin_of(load_template(), self._skeleton)

    @property
    def held_out(self) -> int:
        """How many frames are not trained on."""
        return len(self._held_out.distance)

    @torch.no_grad()
    def figures(self) -> Figures:
        """Of the encoder as it is now (its average over training)."""
        encoder = self.trainer.average.to("cpu").eval()
        batch = recorded_batch(self._held_out)
        said = encode_batch(encoder, batch)
        energies = GenerativeLoss(EnergyConfig(), self._skeleton)
        dissim = energies(said, batch, LossWeights())[1]["dissim"]
        rendered = rendered_errors(encoder, self._rendered, self._skeleton)
        self.trainer.average.to(self.trainer.device)
        return Figures(float(dissim), self._residual(said, batch), rendered["joints_mean_mm"])

    def _residual(self, said: Encoding, batch: RenderedBatch) -> float:
        """Median over crops; those whose surface cannot be held against the depth are left out."""
        lengths = self._skeleton.bone_lengths(said.beta)
        pose = self._skeleton.pose(
            said.translation + torch.nn.functional.pad(batch.distance[:, None], (2, 0)),
            said.rotation,
            said.articulation,
            lengths,
        )
        vertices, _ = self._skin(pose, said.thickness)
        crops = batch.crop[:, 0].numpy()
        each = [
            surface_residual(surface.numpy(), float(distance), crop)
            for surface, distance, crop in zip(vertices, batch.distance, crops, strict=True)
        ]
        return float(np.nanmedian(each)) if np.isfinite(each).any() else float("nan")


def _held_out(frames: int) -> int:
    return max(2, round(_HELD_OUT * frames)) if frames >= _FEWEST else 0
