"""The measurement behind `python main.py bench losses`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import accumulate
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.decoder import DecodedHand, GaussianDecoder, crop_camera
from engine.methods.gaussian.encoder import Encoder, Encoding
from engine.methods.gaussian.energies import POINT, UNLABELLED, EnergyConfig, JointLabels, energy
from engine.methods.gaussian.quadtree import image_gaussians
from engine.methods.gaussian.reference import energy_reference
from engine.training.renders import HandRenderer, RenderConfig
from engine.types import LumbricalError

#: The paper's labelled joints: wrist and finger tips.
_LABELLED = (0, 4, 8, 12, 16, 20)
_SEED = 3
_COMPARED_IMAGES = 2
_MB = 1e6


def part_count(repeats: int, plain_repeats: int) -> int:
    """How many parts `measure` consists of: the turns, one of which warms up, and the three that follow them."""
    return max(repeats, plain_repeats) + 4


def measure(
    batch: int, repeats: int, plain_repeats: int, device: str, on_part: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Time training steps on one batch of rendered crops; compare the batched energies with the plain ones.

    `encoder_ms`: forward and backward of the encoder alone, as the trainer runs it (bfloat16). `energies_ms`: quadtree,
    decoder, energies and backward to the encoder's outputs. `step_ms`: both. `plain_step_ms`: the encoder with the
    plain energies. They take turns, so that whatever else the machine does slows all alike; medians are told. on_part
    is called after each of the `part_count` parts. Raises LumbricalError for a device that is not there.
    """
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise LumbricalError(f"there is no device {device} here; --device cpu always works")
    return _LossBench(batch, device, on_part).report(repeats, plain_repeats)


def _mean(parts: Iterable[Tensor]) -> Tensor:
    """Of all, so that backward reaches each."""
    return torch.stack([part.mean() for part in parts]).mean()


class _LossBench:
    def __init__(self, size: int, device: str, on_part: Callable[[], None]) -> None:
        torch.manual_seed(_SEED)
        self._on_part = on_part
        self.device, self.config = torch.device(device), EnergyConfig()
        rendered = HandRenderer(RenderConfig(empty_fraction=0.0, left_fraction=0.0), _SEED, device).batch(size)
        joints = rendered.joints.clone()
        joints[..., 2] += rendered.distance.unsqueeze(1)
        kind = torch.full(joints.shape[:2], UNLABELLED, device=device)
        kind[:, _LABELLED] = POINT
        self.rendered, self.labels = rendered, JointLabels(kind, joints)
        self.crop = rendered.crop.contiguous(memory_format=torch.channels_last)
        self.encoder = Encoder().to(device).train()
        self.decoder = GaussianDecoder(Skeleton(), self.config.surface_sigmas).to(device)

    def report(self, repeats: int, plain_repeats: int) -> dict[str, Any]:
        """All figures."""
        steps: dict[str, Callable[[], object]] = {
            "encoder": self._encoder_alone,
            "energies": lambda: self._energies(outputs).mean().backward(),
            "step": lambda: self._energies(self._encode()).mean().backward(),
            "plain_step": lambda: self._plain(self._encode()).mean().backward(),
        }
        outputs = Encoding(*(part.detach().requires_grad_() for part in self._encode()))
        taken = self._take_turns(steps, repeats, plain_repeats)
        report: dict[str, Any] = {"batch": len(self.crop), "device": str(self.device)}
        report |= {"threads": torch.get_num_threads(), "repeats": repeats, "plain_repeats": plain_repeats}
        report |= self._sizes()
        report |= {f"{name}_ms": round(1e3 * median(wall for wall, _ in x), 2) for name, x in taken.items() if x}
        report |= self._share(taken)
        if plain_repeats:
            report["plain_over_batched_step"] = round(report["plain_step_ms"] / report["step_ms"], 1)
        further: dict[str, Callable[[], dict[str, float]]] = {
            "parts_ms": lambda: self._parts(outputs, repeats),
            "largest_relative_difference": self._differences,
            "peak_memory_mb": lambda: self._memory(outputs),
        }
        for name, figures in further.items():
            report[name] = figures()
            self._on_part()
        return report

    def _encode(self) -> Encoding:
        with torch.autocast(self.device.type, torch.bfloat16):
            encoding = self.encoder(self.crop, self.rendered.distance)
        return Encoding(*(part.float() for part in encoding))

    def _encoder_alone(self) -> None:
        _mean(self._encode()).backward()

    def _energies(self, encoding: Encoding, crop: Tensor | None = None) -> Tensor:
        """Quadtree, decoder and Eq. 3, (B,)."""
        distance = self.rendered.distance
        images = image_gaussians(self.crop if crop is None else crop, distance, self.config.depth_range_mm)
        hand = self.decoder.decode_crop(encoding, distance)
        return energy(hand, encoding.articulation, encoding.beta, images, self.labels, self.config).total

    def _plain(self, encoding: Encoding) -> Tensor:
        """The same by the references; the decoder is the same one."""
        distance = self.rendered.distance
        hand = self.decoder.decode_crop(encoding, distance)
        angles, beta = encoding.articulation, encoding.beta
        return energy_reference(hand, angles, beta, self.crop[:, 0], distance, self.labels, self.config)

    def _share(self, taken: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
        """Energies over encoder, turn by turn, medians: in wall time, and in processor time, which what else runs on a
        busy machine hardly touches."""
        pairs = list(zip(taken["energies"], taken["encoder"], strict=True))
        shares = {"energies_percent_of_encoder": median(added[0] / own[0] for added, own in pairs)}
        if self.device.type == "cpu":
            shares["energies_percent_of_encoder_cpu_time"] = median(added[1] / own[1] for added, own in pairs)
        return {name: round(100 * share, 2) for name, share in shares.items()}

    def _take_turns(
        self, steps: dict[str, Callable[[], object]], repeats: int, plain_repeats: int
    ) -> dict[str, list[tuple[float, float]]]:
        """Wall and processor seconds of every step, by name; the first of each, which warms up, is left out."""
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
        for turn in range(max(repeats, plain_repeats) + 1):
            for name, step in steps.items():
                plain = name == "plain_step"
                if turn > (plain_repeats if plain else repeats) or (plain and turn == 0):
                    continue
                seconds = self._time(step)
                if turn > 0:
                    taken[name].append(seconds)
            self._on_part()
        return taken

    def _time(self, step: Callable[[], object]) -> tuple[float, float]:
        self.encoder.zero_grad(set_to_none=True)
        self._wait()
        began, began_cpu = time.perf_counter(), time.process_time()
        step()
        self._wait()
        return time.perf_counter() - began, time.process_time() - began_cpu

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _sizes(self) -> dict[str, Any]:
        counts = image_gaussians(self.crop, self.rendered.distance).counts
        return {
            "leaves": {"mean": round(counts.float().mean().item(), 1), "max": int(counts.max())},
            "model_gaussians": self.decoder.base_sigmas.numel(),
        }

    def _parts(self, outputs: Encoding, repeats: int) -> dict[str, float]:
        """Medians of what `energies_ms` is made of, each by itself."""
        distance, config, labels = self.rendered.distance, self.config, self.labels
        images = image_gaussians(self.crop, distance)
        decoded = self.decoder.decode_crop(outputs, distance)
        hand = DecodedHand(*(part.detach().requires_grad_() for part in vars(decoded).values()))

        def decoder() -> None:
            _mean(vars(self.decoder.decode_crop(outputs, distance)).values()).backward()

        def energies() -> None:
            energy(hand, outputs.articulation, outputs.beta, images, labels, config).total.mean().backward()

        parts: dict[str, Callable[[], object]] = {
            "image_gaussians": lambda: image_gaussians(self.crop, distance),
            "decoder_and_backward": decoder,
            "energies_and_backward": energies,
        }
        return {
            name: round(1e3 * median(self._time(part)[0] for _ in range(repeats)), 2) for name, part in parts.items()
        }

    def _differences(self) -> dict[str, float]:
        """Batched against plain in float64, for a few of the images: Eq. 3 and its gradients."""
        few, truth = slice(_COMPARED_IMAGES), self.rendered
        tensors = (truth.joints[:, 0], truth.rotation, truth.articulation, truth.beta, truth.thickness, truth.distance)
        wrist, rotation, angles, beta, thickness, distance = (part[few].double().cpu() for part in tensors)
        crop = self.crop[few, 0].double().cpu()
        labels = JointLabels(self.labels.kind[few].cpu(), self.labels.target[few].double().cpu())
        decoder = GaussianDecoder(Skeleton(torch.float64), self.config.surface_sigmas)
        # Off the truth by a little, where no gradient vanishes.
        wrist = wrist + torch.nn.functional.pad(distance.unsqueeze(1), (2, 0)) + 4.0
        angles, beta = 1.1 * angles + 0.05, beta + 0.3
        results = []
        variables = [part.requires_grad_() for part in (wrist, rotation, angles, beta)]
        for plain in (False, True):
            hand = decoder.decode(wrist, rotation, angles, beta, thickness, crop_camera(distance))
            if plain:
                total = energy_reference(hand, angles, beta, crop, distance, labels, self.config)
            else:
                images = image_gaussians(crop, distance, self.config.depth_range_mm)
                total = energy(hand, angles, beta, images, labels, self.config).total
            results.append((total.detach(), *torch.autograd.grad(total.sum(), variables)))
        worst = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(*results, strict=True)]
        return {"value": worst[0], "gradient": max(worst[1:])}

    def _memory(self, outputs: Encoding) -> dict[str, float]:
        """Most memory that tensors held at a time during the energies and their backward, above what was held before.

        `every_pixel_a_leaf`: the same with noise for crops, which gives the longest lists there can be.
        """
        noise = torch.rand_like(self.crop) * 1.9 - 1.0
        return {
            "energies": self._peak_mb(lambda: self._energies(outputs).mean().backward()),
            "every_pixel_a_leaf": self._peak_mb(lambda: self._energies(outputs, noise).mean().backward()),
            "encoder": self._peak_mb(self._encoder_alone),
        }

    def _peak_mb(self, step: Callable[[], object]) -> float:
        self.encoder.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            step()
            return round((torch.cuda.max_memory_allocated(self.device) - before) / _MB, 1)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            step()
        assert watched.profiler is not None
        events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        return round(max(accumulate(sizes), default=0) / _MB, 1)
