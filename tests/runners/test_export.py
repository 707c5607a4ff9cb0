from pathlib import Path

import numpy as np
import pytest

from engine.methods import backbone
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners import export
from engine.runners.onnx_runner import OnnxRunner


def test_where_no_cache_can_be_written_the_model_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr(export, "user_cache_path", lambda _: tmp_path / "cache")
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 1)
    model = export.cached_onnx(loaded)
    assert isinstance(model, bytes)
    crops, distances = np.ones((1, 128, 128), np.float32), np.full(1, 500, np.float32)
    assert OnnxRunner(loaded).run(crops, distances).points.shape == (1, 21, 3)


def test_a_graph_of_other_code_is_not_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "user_cache_path", lambda _: tmp_path)
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 1)
    first = export.cached_onnx(loaded)
    assert isinstance(first, Path) and first.is_file() and export.cached_onnx(loaded) == first
    changed = tmp_path / "backbone.py"
    changed.write_text("another network")
    monkeypatch.setattr(backbone, "__file__", str(changed))
    assert export.cached_onnx(loaded) != first
