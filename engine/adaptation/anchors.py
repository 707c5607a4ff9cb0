"""Fine-tuning in small steps: hands rendered in the user's own build, any hands, and the user's own frames without
labels."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from engine.adaptation.samples import Sample
from engine.hand.skeleton import Skeleton
from engine.hand.template import HandTemplate
from engine.methods.gaussian.encoder import HALF_CUBE_MM, Encoder, Encoding
from engine.methods.gaussian.energies import EnergyConfig
from engine.training.augment import Change, CropSource, move, recorded_batch
from engine.training.crops import Crops
from engine.training.generative import GenerativeLoss
from engine.training.losses import LossWeights, supervised_loss
from engine.training.renders import HandRenderer, HandShape, RenderConfig, RenderedBatch
from engine.training.sampling import SamplingConfig
from engine.types import JOINT_COUNT

_WARM_UP = 10
_LONGEST_GRADIENT = 1.0
_LAST_RATE = 0.1


def _sampling() -> SamplingConfig:
    return SamplingConfig(uniform_pose_fraction=0.04, uniform_view_fraction=0.12, roll_spread=0.8, tilt_spread=0.5)


@dataclass(frozen=True)
class AnchorConfig:
    """steps of Adam on batches of `batch` crops, `own` of them the user's frames, `general` any rendered hands and the
    rest rendered in the user's build. rate: of learning. average: how much of each step the averaged encoder takes.
    dissim: how much E_dissim of the user's frames counts."""

    steps: int = 60
    batch: int = 24
    own: int = 0
    general: int = 6
    rate: float = 1e-4
    average: float = 0.06
    dissim: float = 1.0
    seed: int = 71
    render: RenderConfig = field(
        default_factory=lambda: RenderConfig(sampling=_sampling(), empty_fraction=0.06, left_fraction=0.06)
    )


class AnchorTraining:
    """From an encoder on, step by step; `average` is what comes of it. template, shape: of the user's hand. own: the
    user's frames, without labels."""

    def __init__(
        self,
        encoder: Encoder,
        template: HandTemplate,
        shape: HandShape,
        own: Sequence[Sample],
        config: AnchorConfig = AnchorConfig(),
    ) -> None:
        self.config, self._done = config, 0
        self._encoder = copy.deepcopy(encoder).train()
        freeze_batch_norms(self._encoder)
        self.average = copy.deepcopy(encoder).eval()
        self._optimiser = torch.optim.Adam(self._encoder.parameters(), lr=config.rate)
        self._skeleton = Skeleton()
        self._energies = GenerativeLoss(EnergyConfig(dissim=config.dissim), self._skeleton)
        self._personal = HandRenderer(config.render, config.seed, template=template, shape=shape)
        self._general = HandRenderer(config.render, config.seed + 1)
        self._own = own_crops(own) if own and config.own else None
        self._generator = torch.Generator().manual_seed(config.seed)

    @property
    def finished(self) -> bool:
        return self._done >= self.config.steps

    def step(self) -> float:
        """One step; its loss."""
        batch, weights = self._batch(), LossWeights()
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        said: Encoding = self._encoder(batch.crop, batch.distance)
        loss, _ = supervised_loss(said, batch, self._skeleton, weights)
        if self._own is not None:
            loss = loss + self._energies(said, batch, weights)[0]
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._encoder.parameters(), _LONGEST_GRADIENT)
        self._optimiser.step()
        self._done += 1
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self._encoder.parameters(), strict=True):
                kept.lerp_(new, self.config.average)
        return float(loss.detach())

    def _rate(self) -> float:
        config = self.config
        left = 1 - (1 - _LAST_RATE) * self._done / config.steps
        return config.rate * min(1.0, (self._done + 1) / _WARM_UP) * left

    def _batch(self) -> RenderedBatch:
        config = self.config
        own = config.own if self._own is not None else 0
        parts = [self._personal.batch(config.batch - own - config.general, self._done)]
        if config.general:
            parts.append(self._general.batch(config.general, self._done))
        if self._own is not None:
            parts.append(recorded_batch(self._drawn(self._own, own)))
        return RenderedBatch(
            *(torch.cat([getattr(part, one.name) for part in parts]) for one in dataclasses.fields(RenderedBatch))
        )

    def _drawn(self, crops: Crops, count: int) -> Crops:
        index = torch.randint(len(crops.distance), (count,), generator=self._generator)
        chosen = Crops(crops.depth[index], crops.distance[index], crops.joints[index])
        return move(chosen, Change.draw(count, CropSource("own", 1.0), self._generator))


def freeze_batch_norms(net: nn.Module) -> None:
    """Statistics stay as they are: small batches of one hand are no sample of all."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def own_crops(samples: Sequence[Sample]) -> Crops:
    """Samples as crops without labels."""
    scaled = torch.stack([torch.from_numpy(sample.depth()) for sample in samples])
    distance = torch.tensor([sample.distance for sample in samples], dtype=torch.float32)
    depth: Tensor = torch.where(scaled < 1, distance[:, None, None] + HALF_CUBE_MM * scaled, torch.inf)
    return Crops(depth, distance, torch.full((len(samples), JOINT_COUNT, 3), torch.nan))
