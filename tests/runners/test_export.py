from pathlib import Path

import pytest

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners import export
from engine.types import LumbricalError


def test_a_cache_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr(export, "user_cache_path", lambda _: tmp_path / "cache")
    loaded = LoadedEncoder(Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16)).eval(), "x-1", 1)
    with pytest.raises(LumbricalError, match="cannot be written") as caught:
        export.cached_onnx(loaded)
    assert "\n" not in str(caught.value)
