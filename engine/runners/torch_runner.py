"""The reference runner: torch, eager."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.methods.gaussian.encoder import Encoder
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.protocol import Estimate
from engine.types import FloatArray


class EstimateOutputs(nn.Module):
    """An encoder whose outputs are those of Estimate, in its order: what every runner computes and ONNX exports."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, crops: Tensor, distances: Tensor) -> tuple[Tensor, ...]:
        e = self.encoder(crops.unsqueeze(1), distances)
        return (
            e.points,
            e.log_sigma.exp(),
            e.translation,
            e.rotation,
            e.articulation,
            e.beta,
            e.thickness,
            e.hand_logit.sigmoid(),
            e.right_logit.sigmoid(),
        )


class TorchRunner:
    """Runs the encoder as it is."""

    name = "torch"

    def __init__(self, loaded: LoadedEncoder) -> None:
        self.version = loaded.version
        self._outputs = EstimateOutputs(loaded.encoder).eval()

    @torch.inference_mode()
    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        outputs = self._outputs(torch.from_numpy(crops).float(), torch.from_numpy(distances).float())
        return Estimate(*(output.numpy() for output in outputs))
