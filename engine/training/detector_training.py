"""Training of the hand detector: rendered scenes in."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from engine.localise.frames import INPUT_HEIGHT, INPUT_WIDTH, STRIDE
from engine.localise.network import Detections, DetectorNet
from engine.training.config import build, read_toml
from engine.training.loop import Schedule, TrainingLoop
from engine.training.processes import ALONE, Processes
from engine.training.ranges import check_range
from engine.training.scenes import SceneBatch, SceneConfig, SceneRenderer
from engine.training.shares import own_share


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(Schedule):
    """One experiment with the detector. width: channels of the network's first stage."""

    kind: str = "detector"
    width: int = 16
    images: int = 60_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warm_up_images: int = 2_000
    ema_half_life_images: int = 1_500
    threshold: float = 0.3
    test_scenes: int = 384
    test_seed: int = 20_261_120
    scene: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_test(self.test_seed, width=self.width, test_scenes=self.test_scenes // self.batch_size)
        check_range(self, 0, 1, "threshold")


def is_detector_config(path: Path) -> bool:
    """Whether a TOML file describes a detector (kind = "detector")."""
    return read_toml(path).get("kind") == "detector"


def load_detector_config(path: Path) -> DetectorConfig:
    """Read a TOML file; LumbricalError names the key that is unknown or of the wrong type."""
    table = read_toml(path)
    scene = build(SceneConfig, table.pop("scene", {}), f"{path}: [scene]")
    return build(DetectorConfig, table | {"scene": scene}, str(path))


@dataclass(frozen=True)
class Targets:
    """heat: (B, H, W) 1 at palms, falling off around them. weight: (B, H, W) 0 where a hand may be found or not.
    near: (B, 2, H, W) bool, the cells that answer for each hand's place."""

    heat: Tensor
    weight: Tensor
    near: Tensor


def targets(batch: SceneBatch) -> Targets:
    """What the network should say of scenes."""
    height, width = INPUT_HEIGHT // STRIDE, INPUT_WIDTH // STRIDE
    pixel = batch.palm[..., :2] / batch.palm[..., 2:].clamp(min=60.0) * batch.focal[:, None, None]
    cell = (pixel + batch.principal.unsqueeze(1) - (STRIDE - 1) / 2) / STRIDE
    middle = cell.round()
    device = cell.device
    du = torch.arange(width, device=device) - middle[..., 0, None, None]
    dv = torch.arange(height, device=device).unsqueeze(1) - middle[..., 1, None, None]
    # A fifth of a palm's breadth is as good as its centre.
    spread = (0.2 * 0.8 * batch.size_px / STRIDE).clamp(0.7, 2.5)[..., None, None]
    bump = torch.exp(-(du.square() + dv.square()) / (2 * spread.square()))
    found, doubtful = (flag[..., None, None] for flag in (batch.found, batch.doubtful))
    near = found & (bump > 0.4)
    # Where two hands overlap, the nearer one answers.
    first_nearer = (batch.palm[:, 0, 2] <= batch.palm[:, 1, 2]).reshape(-1, 1, 1)
    both = near[:, 0] & near[:, 1]
    near = torch.stack((near[:, 0] & ~(both & ~first_nearer), near[:, 1] & ~(both & first_nearer)), 1)
    blurred = (doubtful & (bump > 0.05)).any(1)
    return Targets(torch.where(found, bump, 0.0).amax(1), (~blurred).float(), near)


def detector_loss(
    found: Detections, batch: SceneBatch, total: Callable[[Tensor], Tensor] = ALONE.total
) -> tuple[Tensor, dict[str, Tensor]]:
    """Focal loss of the heat map (Zhou et al. 2019, Objects as points, Eq. 1) and L1 losses of the place.

    total: sums a count over the processes that share the batch, each of which gets its share of the loss.
    """
    truth = targets(batch)
    positive = (truth.heat == 1) & (truth.weight > 0)
    counts = total(torch.stack((positive.sum(), *truth.near.sum((0, 2, 3)))).float()).clamp(min=1)
    hands = counts[0]
    chance = found.logit.sigmoid()
    hit = (1 - chance).square() * logsigmoid(found.logit)
    miss = (1 - truth.heat).pow(4) * chance.square() * logsigmoid(-found.logit)
    heat = -(torch.where(positive, hit, miss) * truth.weight).sum() / hands
    pixel_error, depth_error, shift_error = (torch.zeros((), device=heat.device) for _ in range(3))
    for k in (0, 1):
        near = truth.near[:, k]
        count = counts[1 + k]
        palm, z = batch.palm[:, k], batch.palm[:, k, 2, None, None]
        uv = palm[:, :2] / palm[:, 2:].clamp(min=60.0) * batch.focal.unsqueeze(1) + batch.principal
        off = (found.u - uv[:, 0, None, None]).abs() + (found.v - uv[:, 1, None, None]).abs()
        mm = z.clamp(min=60.0) / batch.focal[:, None, None]
        pixel_error = pixel_error + (torch.where(near, off * mm, 0.0)).sum() / count
        depth_error = depth_error + torch.where(near, (found.z - z).abs().clamp(max=200.0), 0.0).sum() / count
        shift = (batch.centre[:, k] - palm)[..., None, None]
        shift_error = shift_error + torch.where(near, (found.shift - shift).abs().sum(1), 0.0).sum() / count
    parts = {"heat": heat, "pixel_mm": pixel_error, "depth_mm": depth_error, "shift_mm": shift_error}
    return heat + 0.01 * (pixel_error + depth_error + shift_error), parts


class DetectorTrainer(TrainingLoop[DetectorNet, SceneBatch]):
    """Trains one detector. processes: those that train together, see TrainingLoop."""

    max_gradient_norm = 5.0

    def __init__(self, config: DetectorConfig, out: Path, device: str = "cpu", processes: Processes = ALONE) -> None:
        torch.manual_seed(config.seed)
        super().__init__(DetectorNet(config.width), config, out, device, processes)
        self.config = config
        self._renderer = SceneRenderer(config.scene, config.seed, device)

    def batches(self) -> Iterable[SceneBatch]:
        """Rendered scenes."""
        size, part, render = self.config.batch_size, self.config.part_size, self._renderer.batch
        numbers = range(self.images // size, -(-self.config.images // size))
        return (own_share(render, size, part, number, self.processes) for number in numbers)

    def loss(self, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """See detector_loss."""
        depth = network_input(batch).contiguous(memory_format=self.memory_format)
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, self.config.bfloat16):
            found = self.net(depth, batch.focal)
        return detector_loss(found, batch, self.processes.total)

    def facts(self) -> dict[str, Any]:
        """What a weights file says of itself: images and seconds trained, the configuration."""
        return {
            "images": self.images,
            "seconds": round(self.seconds),
            "threshold": self.config.threshold,
            "config": dataclasses.asdict(self.config),
        }


@torch.no_grad()
def rendered_accuracy(net: DetectorNet, config: DetectorConfig) -> dict[str, float]:
    """How well the surest cell of rendered scenes, of another seed than training's, places the palm, mm.

    scenes: those with a hand to find; within_*mm: the fraction of them whose surest cell says a palm within so much of
    the nearest hand's; centre_median_mm: how far the mean of its joints is off then; false_alarms: the fraction of
    scenes without any hand in which some cell exceeds the threshold.
    """
    renderer = SceneRenderer(config.scene, config.test_seed)
    net = copy.deepcopy(net).cpu().eval()
    palm_errors, centre_errors, alarms = [], [], []
    for index in range(config.test_scenes // config.batch_size):
        batch = renderer.batch(config.batch_size, index)
        found = net(network_input(batch), batch.focal)
        surest, cell = found.logit.flatten(1).max(1)
        u, v, z = (part.flatten(1).gather(1, cell.unsqueeze(1)) for part in (found.u, found.v, found.z))
        tangents = (torch.cat((u, v), 1) - batch.principal) / batch.focal.unsqueeze(1)
        palm = torch.cat((tangents, torch.ones_like(z)), 1) * z
        shift = found.shift.flatten(2).gather(2, cell[:, None, None].expand(-1, 3, 1))[..., 0]
        there = batch.found | batch.doubtful
        gap, hand = torch.where(there, (batch.palm - palm.unsqueeze(1)).norm(dim=-1), float("inf")).min(1)
        has = batch.found.any(1)
        palm_errors.append(gap[has])
        centre = batch.centre[torch.arange(len(hand)), hand]
        centre_errors.append((centre - palm - shift).norm(dim=-1)[has & (gap < 70)])
        alarms.append(surest.sigmoid()[(batch.seen == 0).all(1)] > config.threshold)
    palms, centres = torch.cat(palm_errors), torch.cat(centre_errors)
    return {
        "scenes": float(len(palms)),
        "within_45mm": (palms < 45).float().mean().item(),
        "within_70mm": (palms < 70).float().mean().item(),
        "palm_median_mm": palms.median().item(),
        "centre_median_mm": centres.median().item() if len(centres) else float("nan"),
        "false_alarms": torch.cat(alarms).float().mean().item(),
    }


def network_input(batch: SceneBatch) -> Tensor:
    """Scenes as DetectorNet takes them: (B, 1, H, W) mm, 0 where nothing was measured."""
    return torch.where(batch.depth.isinf(), 0.0, batch.depth).unsqueeze(1)
