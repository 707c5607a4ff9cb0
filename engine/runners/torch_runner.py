"""The reference runner: torch, eager on the CPU; on a GPU also in fp16 and as a CUDA graph, to compare with."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from engine.methods.gaussian.encoder import CROP_SIZE, Encoder
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.protocol import Estimate
from engine.types import FloatArray, LumbricalError


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
    """Runs the encoder as it is. half: in fp16, by autocast."""

    name = "torch"

    def __init__(self, loaded: LoadedEncoder, device: str = "cpu", half: bool = False) -> None:
        self.version = loaded.version
        self._device, self._half = device, half
        encoder = loaded.encoder if device == "cpu" else copy.deepcopy(loaded.encoder).to(device)
        self._outputs = EstimateOutputs(encoder).eval()

    @torch.inference_mode()
    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run."""
        inputs = (torch.from_numpy(values).to(self._device, torch.float32) for values in (crops, distances))
        return Estimate(*(output.float().cpu().numpy() for output in self._compute(*inputs)))

    def _compute(self, crops: Tensor, distances: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(self._device, torch.float16, self._half):
            outputs: tuple[Tensor, ...] = self._outputs(crops, distances)
        return outputs


class GraphRunner(TorchRunner):
    """The same as a CUDA graph, recorded once for one crop. Raises LumbricalError without a GPU."""

    name = "torch, CUDA graph"
    _WARM_UP = 3

    def __init__(self, loaded: LoadedEncoder, half: bool = False) -> None:
        if not torch.cuda.is_available():
            raise LumbricalError("CUDA graphs need an NVIDIA GPU and a torch with CUDA")
        super().__init__(loaded, "cuda", half)
        self._inputs = (torch.zeros(1, CROP_SIZE, CROP_SIZE, device="cuda"), torch.full((1,), 500.0, device="cuda"))
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        with torch.inference_mode():
            with torch.cuda.stream(stream):
                for _ in range(self._WARM_UP):
                    self._compute(*self._inputs)
            stream.synchronize()
            with torch.cuda.graph(self._graph):
                self._recorded = self._compute(*self._inputs)

    @torch.inference_mode()
    def run(self, crops: FloatArray, distances: FloatArray) -> Estimate:
        """See Runner.run; for one crop."""
        for held, values in zip(self._inputs, (crops, distances), strict=True):
            held.copy_(torch.from_numpy(values))
        self._graph.replay()
        return Estimate(*(output.float().cpu().numpy() for output in self._recorded))
