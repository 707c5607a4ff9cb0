from pathlib import Path

import pytest
import torch

from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import load_weights, save_weights
from engine.methods.gaussian.weights_file import FORMAT
from engine.types import LumbricalError

SMALL = EncoderConfig(width=0.125, head_channels=8, hidden=16)


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    encoder = Encoder(SMALL)
    save_weights(tmp_path / "w.safetensors", encoder, "small", 123)
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.images == 123
    assert loaded.version.startswith("small-")
    for a, b in zip(encoder.state_dict().values(), loaded.encoder.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4)
    assert not list(tmp_path.glob("*.part"))


def test_each_file_has_its_own_version(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, Encoder(SMALL), "small", 1)
    assert load_weights(tmp_path / "a").version != load_weights(tmp_path / "b").version


def test_nothing_in_a_file_leads_out_of_the_cache(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", Encoder(SMALL), "../../elsewhere/x y", 1)
    assert load_weights(tmp_path / "w").version.startswith(".._.._elsewhere_x_y-")


def test_missing_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(LumbricalError, match="no weights at"):
        load_weights(tmp_path / "none")
    with pytest.raises(LumbricalError, match="is a folder"):
        load_weights(tmp_path)
    (tmp_path / "noise").write_bytes(b"\x00" * 100)
    with pytest.raises(LumbricalError, match="not a usable weights file"):
        load_weights(tmp_path / "noise")
    save_file({"x": torch.zeros(1)}, tmp_path / "old", {"format": "lumbrical-encoder-0"})
    with pytest.raises(LumbricalError, match="another version"):
        load_weights(tmp_path / "old")
    huge = '{"width": 1e6}'
    save_file({"x": torch.zeros(1)}, tmp_path / "huge", {"format": FORMAT, "config": huge})
    with pytest.raises(LumbricalError, match="no encoder has a width"):
        load_weights(tmp_path / "huge")
    whole = dict(Encoder(SMALL).state_dict())
    config = '{"width": 0.125, "head_channels": 8, "hidden": 16}'
    save_file(whole, tmp_path / "count", {"format": FORMAT, "config": config, "images": "many"})
    with pytest.raises(LumbricalError, match="not a usable weights file"):
        load_weights(tmp_path / "count")
    save_file({"x": torch.zeros(1)}, tmp_path / "wrong", {"format": FORMAT, "config": "{}"})
    with pytest.raises(LumbricalError, match="not a usable weights file"):
        load_weights(tmp_path / "wrong")
    save_file({"x": torch.zeros(1)}, tmp_path / "huge", {"format": FORMAT, "config": '{"width": 1e9}'})
    with pytest.raises(LumbricalError, match="width"):
        load_weights(tmp_path / "huge")


def test_weights_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(LumbricalError, match="cannot be written"):
        save_weights(tmp_path / "w.safetensors", Encoder(SMALL), "small", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
