"""Fine-tuning on recordings without labels: what it reads, writes, tells and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.cli import main
from engine.adaptation.finetune import Finetuning
from engine.adaptation.observed import ObservedCrops
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.weights import load_weights, save_weights
from engine.training.config import FINETUNE_CONFIG, TrainConfig, load_config
from engine.training.crops import CropFile, Crops
from engine.training.renders import HandRenderer, RenderConfig
from engine.types import LumbricalError

SMALL = EncoderConfig(width=0.125, head_channels=8, hidden=16)


class _Collected(ObservedCrops):
    """Rendered hands, as if a recording had shown them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        config = RenderConfig(points=2000, empty_fraction=0.0, left_fraction=0.0)
        batch = HandRenderer(config, 4).batch(count)
        self._all = Crops(batch.depth, batch.distance, torch.full_like(batch.joints, torch.nan))

    def __len__(self) -> int:
        return len(self._all.distance)

    def crops(self, part: slice = slice(None)) -> Crops:
        return Crops(self._all.depth[part], self._all.distance[part], self._all.joints[part])


def _config() -> TrainConfig:
    return TrainConfig(
        name="small", images=16, batch_size=8, part_images=4, warm_up_images=0, bfloat16=False, encoder=SMALL,
        render=RenderConfig(points=1000), test_images=8,
    )  # fmt: skip


def test_the_last_frames_are_held_out_and_weights_change(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = Encoder(SMALL).state_dict()
    tuning = Finetuning(_config(), state, [_Collected(12), _Collected(20)], tmp_path)
    assert (tuning.trained, tuning.held_out) == (10 + 16, 2 + 4)
    assert CropFile(tmp_path / "crops.npz").unlabelled == 26
    before = tuning.figures()
    assert tuning.trainer.run()
    after = tuning.figures()
    assert before != after and after.rendered_mm > 0 and -2 < after.dissim < 0


def test_too_few_hands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match="only 9 frames of a recording show a hand"):
        Finetuning(_config(), Encoder(SMALL).state_dict(), [_Collected(4), _Collected(9)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_short_recording_beside_a_long_one_is_trained_on_whole(tmp_path: Path) -> None:
    tuning = Finetuning(_config(), Encoder(SMALL).state_dict(), [_Collected(4), _Collected(20)], tmp_path)
    assert (tuning.trained, tuning.held_out) == (4 + 16, 4)


def test_the_shipped_settings_can_be_read() -> None:
    config = load_config(FINETUNE_CONFIG)
    assert config.loss.energy > 0 and config.energies.dissim > 0 and config.sources == ()


def test_the_command_writes_weights_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    save_weights(tmp_path / "start.safetensors", Encoder(SMALL), "small", 5)
    monkeypatch.setattr("app.observing.observe", lambda source, weights: _Collected(12))
    settings = tmp_path / "small.toml"
    settings.write_text('name = "small"\nbatch_size = 8\ntest_images = 8\nbfloat16 = false\n[render]\npoints = 1000\n')
    out = tmp_path / "out"
    command = ["finetune", "hand", "--start-from", str(tmp_path / "start.safetensors"), "--config", str(settings)]
    assert main([*command, "--images", "16", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "2 held-out frames" in said.out and "before" in said.out and "after" in said.out
    assert load_weights(out / "encoder.safetensors").images == 21
    assert main([*command, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["synthetic", "--images", "0"], "is not a number of images"),
        (["synthetic", "--start-from", "none.safetensors"], "no weights at"),
        (["synthetic"], "is a camera"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["finetune", *arguments, "--out", str(tmp_path / "out")])
    except SystemExit as ended:
        status = int(ended.code or 0)
    error = capsys.readouterr().err
    assert status == 2 and message in error and error.count("\n") == 1
