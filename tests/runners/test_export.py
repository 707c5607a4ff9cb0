import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.methods import backbone
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners import export
from engine.runners.onnx_runner import OnnxRunner
from engine.types import LumbricalError


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


@pytest.mark.parametrize("held", [b"", b"\x08\x0a random bytes"])
def test_a_kept_file_that_cannot_be_read_is_made_anew(
    held: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "user_cache_path", lambda _: tmp_path)
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 1)
    kept = export.cached_onnx(loaded)
    assert isinstance(kept, Path)
    kept.write_bytes(held)
    crops, distances = np.ones((1, 128, 128), np.float32), np.full(1, 500, np.float32)
    assert OnnxRunner(loaded).run(crops, distances).points.shape == (1, 21, 3)
    assert kept.stat().st_size > 1000
    # A file that was named is nobody's cache: it stays as it is.
    named = tmp_path / "named.onnx"
    named.write_bytes(held)
    with pytest.raises(LumbricalError, match=r"named\.onnx cannot be run \(.+\); delete it and start again"):
        OnnxRunner(loaded, path=named)
    assert named.read_bytes() == held


def test_onnx_runtime_reports_nothing_to_its_maker(tmp_path: Path) -> None:
    """Where it does, it keeps an identifier of the machine in the user's cache. In a CI it would not in any case."""
    surroundings = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    surroundings |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    code = "from app.probes import probe_onnxruntime; probe_onnxruntime(''); import engine.runners.onnx_runner"
    subprocess.run([sys.executable, "-c", code], env=surroundings, cwd=Path(__file__).parents[2], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_other_code_is_not_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "user_cache_path", lambda _: tmp_path)
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 1)
    first = export.cached_onnx(loaded)
    assert isinstance(first, Path) and first.is_file() and export.cached_onnx(loaded) == first
    changed = tmp_path / "backbone.py"
    changed.write_text("another network")
    monkeypatch.setattr(backbone, "__file__", str(changed))
    assert export.cached_onnx(loaded) != first
