"""Batch normalisation over the images of all processes, so that sharing a batch changes nothing.

On a GPU that is torch's own SyncBatchNorm, which does not run on CPUs; SharedBatchNorm does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from engine.training.processes import Processes

_IMAGE_AXES = (0, 2, 3)


class SharedBatchNorm(nn.BatchNorm2d):
    """Takes over the weights and statistics of `norm`. Each process must have the same number of pixels."""

    def __init__(self, norm: nn.BatchNorm2d, processes: Processes) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self._processes = processes

    def forward(self, image: Tensor) -> Tensor:
        if not self.training:
            return super().forward(image)
        normalised, mean, variance = _Normalise.apply(image, self.weight, self.bias, self.eps, self._processes)
        count = self._processes.count * image.numel() / self.num_features
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        return normalised


class _Normalise(torch.autograd.Function):
    """Image (B, C, H, W), weight and bias (C,) -> the normalised image, and mean and variance (C,) over all processes.

    The gradients of weight and bias are this process's share, as all parameters' are; the image's is whole.
    """

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, eps: float, processes: Processes
    ) -> tuple[Tensor, Tensor, Tensor]:
        own_variance, own_mean = torch.var_mean(image.float(), _IMAGE_AXES, correction=0)
        mean = processes.total(own_mean) / processes.count
        # Not the mean of squares less the square of the mean, which loses digits.
        variance = processes.total(own_variance + (own_mean - mean).square()) / processes.count
        ctx.save_for_backward(image, weight, mean, torch.rsqrt(variance + eps))
        ctx.processes = processes
        ctx.mark_non_differentiable(mean, variance)
        return batch_norm(image, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        centred = image.float() - mean.reshape(1, -1, 1, 1)
        own = torch.stack((gradient.sum(_IMAGE_AXES), (gradient * centred).sum(_IMAGE_AXES) * scale))
        pixels = ctx.processes.count * image.numel() / image.shape[1]
        means = ctx.processes.total(own) / pixels
        shift, tilt = (part.reshape(1, -1, 1, 1) for part in (means[0], means[1] * scale))
        whole = (gradient - shift - centred * tilt) * (weight * scale).reshape(1, -1, 1, 1)
        return whole.to(image.dtype), own[1], own[0], None, None


def share_batch_norms(net: nn.Module, processes: Processes, device: str) -> None:
    """Make every BatchNorm2d inside `net` one over all processes; alone, nothing changes."""
    if processes.alone:
        return
    if device != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.BatchNorm2d:
                module.add_module(name, SharedBatchNorm(child, processes))
