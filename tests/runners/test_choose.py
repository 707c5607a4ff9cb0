"""Runners by name."""

from __future__ import annotations

import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.choose import DEFAULT_RUNNER, RUNNERS, make_runner
from engine.runners.verify import BOUNDS_MM
from engine.types import LumbricalError


@pytest.fixture
def loaded() -> LoadedEncoder:
    sizes = EncoderConfig(width=0.125, head_channels=8, hidden=16, mixer_width=16, mixer_layers=1)
    return LoadedEncoder(Encoder(sizes).eval(), "x-1", 0)


def test_the_default_works_everywhere(loaded: LoadedEncoder) -> None:
    assert make_runner(loaded).name == RUNNERS[DEFAULT_RUNNER].title
    assert make_runner(loaded, "torch").version == "x-1"


def test_every_kind_has_bounds_to_be_checked_against() -> None:
    assert {kind.precision for kind in RUNNERS.values()} <= set(BOUNDS_MM)


def test_an_unknown_name_is_answered_with_the_known_ones(loaded: LoadedEncoder) -> None:
    with pytest.raises(LumbricalError, match="no runner 'fast'; choose one of onnx, int8, torch"):
        make_runner(loaded, "fast")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["tensorrt", "onnx-cuda", "onnx-tensorrt"])
def test_what_needs_a_gpu_says_so(name: str, loaded: LoadedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LumbricalError, match="NVIDIA GPU"):
        make_runner(loaded, name)
