from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import EncoderConfig
from engine.training.config import TrainConfig, load_config
from engine.training.renders import HandRenderer, RenderConfig
from engine.training.trainer import Trainer, rendered_errors
from engine.training.trainer import test_set as rendered_test_set
from engine.types import LumbricalError

TINY = TrainConfig(
    name="tiny",
    images=32,
    batch_size=8,
    warm_up_images=8,
    test_images=8,
    encoder=EncoderConfig(width=0.125, head_channels=8, hidden=16),
    render=RenderConfig(points=1500),
)


def test_training_in_two_parts_equals_training_in_one(tmp_path: Path) -> None:
    whole = Trainer(TINY, tmp_path / "whole")
    assert whole.run()
    first = Trainer(TINY, tmp_path / "parts")
    assert not first.run(minutes=0.0)
    assert first.images == 8
    second = Trainer(TINY, tmp_path / "parts")
    assert second.resume()
    assert second.run()
    for a, b in zip(whole.average.state_dict().values(), second.average.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-5)


@pytest.mark.parametrize(("silence_s", "images"), [(60.0, [8, 24, 32]), (0.0, [8, 16, 24, 32])])
def test_losses_are_told_from_the_first_step_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence_s: float, images: list[int]
) -> None:
    monkeypatch.setattr("engine.training.loop._LONGEST_SILENCE_S", silence_s)
    losses = iter([4.0, 1.0, 2.0, 7.0])
    trainer = Trainer(TINY, tmp_path)
    monkeypatch.setattr(
        trainer, "loss", lambda _: (sum(p.sum() for p in trainer.net.parameters()) * 0 + next(losses), {})
    )
    told: list[dict[str, float]] = []
    assert trainer.run(report=told.append, every=3)
    assert [line["images"] for line in told] == images
    assert [line["loss"] for line in told] == ([4.0, 1.5, 7.0] if len(images) == 3 else [4.0, 1.0, 2.0, 7.0])
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(images)


def test_loss_falls_on_one_batch(tmp_path: Path) -> None:
    trainer = Trainer(replace(TINY, images=480, warm_up_images=8, widen_views_images=1), tmp_path)
    batch = HandRenderer(TINY.render, 1).batch(8)
    losses = [float(trainer._step(batch)["loss"]) for _ in range(40)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_foreign_or_broken_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    Trainer(TINY, tmp_path).save()
    wider = replace(TINY, encoder=EncoderConfig(width=0.25, head_channels=8, hidden=16))
    with pytest.raises(LumbricalError, match="does not fit"):
        Trainer(wider, tmp_path).resume()
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(LumbricalError, match="not a usable checkpoint"):
        Trainer(TINY, tmp_path).resume()
    torch.save([1.0], tmp_path / "checkpoint.pt")
    with pytest.raises(LumbricalError, match="not a usable checkpoint"):
        Trainer(TINY, tmp_path).resume()


def test_resuming_with_other_settings_says_which(tmp_path: Path) -> None:
    Trainer(TINY, tmp_path).save()
    same, other = Trainer(TINY, tmp_path), Trainer(replace(TINY, render=replace(TINY.render, points=1600)), tmp_path)
    assert same.resume() and same.changed_settings == []
    assert other.resume() and other.changed_settings == [f"render.points: {TINY.render.points} -> 1600"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(TINY, tmp_path)
    trainer.save()
    before = trainer.checkpoint_path.read_bytes()

    def fill_the_disk(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(LumbricalError, match="disk full"):
        trainer.save()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert trainer.checkpoint_path.read_bytes() == before


def test_training_stops_on_nan(tmp_path: Path) -> None:
    trainer = Trainer(TINY, tmp_path)
    with torch.no_grad():
        next(trainer.net.parameters()).fill_(float("nan"))
    with pytest.raises(LumbricalError, match="not a number"):
        trainer.run()


def test_rendered_errors_are_finite_and_repeatable(tmp_path: Path) -> None:
    trainer = Trainer(TINY, tmp_path)
    errors = [rendered_errors(trainer.average, rendered_test_set(TINY), Skeleton()) for _ in range(2)]
    assert errors[0] == errors[1]
    assert 5 < errors[0]["points_mean_mm"] < 500


def test_configurations_say_what_is_wrong(tmp_path: Path) -> None:
    good = load_config(Path("configs/encoder.toml"))
    assert good.encoder.width == 0.5
    path = tmp_path / "c.toml"
    for text, message in (
        ('name = "x"\nspeed = 3', "unknown key 'speed'"),
        ('name = "x"\nimages = "many"', "images must be int"),
        ('name = "x"\n[render]\nsparkle = 1', r"\[render\]: unknown key"),
        ("name =", "cannot read"),
        ('name = "x"\nbatch_size = 0', "batch_size must be at least 1"),
        ('name = "x"\nlearning_rate = nan', "learning_rate must be above 0"),
        ('name = "x"\nseed = 7\ntest_seed = 7', "test_seed must be 0 or more and differ from seed"),
        ('name = "x"\ntest_images = 0', "test_images is too small"),
        ('name = "x"\nencoder = 3', r"\[encoder\] must be a table"),
        ('name = "x"\n[encoder]\nwidth = 0.001', r"\[encoder\]: no encoder has a width"),
        ('name = "x"\n[render.sampling]\ndistance_range_mm = 5', "distance_range_mm must be two rising numbers"),
        ('name = "x"\n[render.sampling]\ndistance_range_mm = [900, 200]', "two rising numbers"),
        ("images = 5", "entry name is missing"),
        ("name = 3", "name must be"),
        ('name = "../x"', "name must be"),
        ('name = "x"\nimages = 0', "images must be at least 1"),
        ('name = "x"\nlearning_rate = -1', "learning_rate must be"),
        ('name = "x"\nema_half_life_images = 0', "ema_half_life_images must be"),
        ('name = "x"\nweight_decay = -1', "weight_decay must be"),
        ('name = "x"\nseed = -1', "seed must be"),
        ('name = "x"\n[render]\nsampling = 3', "must be a table"),
        ('name = "x"\n[render]\nempty_fraction = 7', r"\[render\]: empty_fraction must be from 0 to 1, not 7.0"),
        ('name = "x"\n[render]\nleft_fraction = -0.1', "left_fraction must be from 0 to 1"),
        ('name = "x"\n[render]\npoints = 0', "points must be from 1 to"),
        ('name = "x"\n[render]\ncentre_jitter_mm = nan', "centre_jitter_mm must be from 0 to"),
        ('name = "x"\n[render]\nflesh_spread_mm = inf', "flesh_spread_mm must be from 0 to"),
        ('name = "x"\n[loss]\nrotation = nan', r"\[loss\]: rotation must be 0 or more, not nan"),
        ('name = "x"\n[loss]\nhand = -1', "hand must be 0 or more"),
        ('name = "x"\n[loss]\npoints = inf', "points must be 0 or more, not inf"),
        ('name = "x"\n[render.sampling]\nroll_spread = nan', "sampling: roll_spread must be from 0 to"),
        ('name = "x"\n[render.sampling]\nthickness_palm_mm = -1', "thickness_palm_mm must be from 0"),
        ('name = "x"\n[render.sampling]\nthickness_mean_mm = nan', "thickness_mean_mm must be from -"),
        ('name = "x"\n[render.sampling]\nangle_jitter = -1', "angle_jitter must be from 0"),
        ('name = "x"\n[render.sampling]\ncurl_fraction = 1.5', "curl_fraction must be from 0 to 1"),
        ('name = "x"\n[render.sampling]\ndistance_range_mm = [20, 900]', "rising numbers from 150 to"),
    ):
        path.write_text(text)
        with pytest.raises(LumbricalError, match=message):
            load_config(path)
    with pytest.raises(LumbricalError, match="there is no training configuration"):
        load_config(tmp_path / "none.toml")
