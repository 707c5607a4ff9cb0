"""Rendered scenes and what the detector is told of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.localise.frames import INPUT_HEIGHT, INPUT_WIDTH, STRIDE
from engine.localise.network import DetectorNet
from engine.training.detector_training import (
    DetectorConfig,
    DetectorTrainer,
    detector_loss,
    is_detector_config,
    load_detector_config,
    network_input,
    rendered_accuracy,
    targets,
)
from engine.training.scenes import SceneBatch, SceneConfig, SceneRenderer
from engine.types import LumbricalError

#: One hand alone in each scene, well inside the picture's depth range, measured without noise.
PLAIN = SceneConfig(
    no_hand_fraction=0,
    person_fraction=0,
    held_fraction=0,
    wall_fraction=0,
    table_fraction=0,
    things_fraction=0,
    cut_away_fraction=0,
    noise_fraction=0,
)
CONFIG = Path(__file__).parents[2] / "configs" / "detector.toml"


@pytest.fixture(scope="module")
def scenes() -> SceneBatch:
    return SceneRenderer(SceneConfig(), 5).batch(96)


def palm_pixels(batch: SceneBatch) -> torch.Tensor:
    """(B, 2, 2)"""
    tangents = batch.palm[..., :2] / batch.palm[..., 2:]
    return tangents * batch.focal[:, None, None] + batch.principal[:, None]


def test_same_seed_and_number_same_scenes() -> None:
    renderer = SceneRenderer(SceneConfig(), 1)
    first = renderer.batch(4, 3)
    other = renderer.batch(4, 4)
    again = SceneRenderer(SceneConfig(), 1).batch(4, 3)
    assert torch.equal(first.depth, again.depth)
    assert torch.equal(first.palm, again.palm)
    assert not torch.equal(first.palm, other.palm)
    assert not torch.equal(first.palm, SceneRenderer(SceneConfig(), 2).batch(4, 3).palm)


def test_scenes_have_their_shares_of_everything(scenes: SceneBatch) -> None:
    assert scenes.depth.shape == (96, INPUT_HEIGHT, INPUT_WIDTH)
    assert not scenes.depth.isnan().any()
    assert 0.55 < scenes.found[:, 0].float().mean() < 0.97
    assert 0.03 < scenes.found[:, 1].float().mean() < 0.4
    angle = 2 * torch.rad2deg(torch.atan(INPUT_WIDTH / 2 / scenes.focal))
    assert angle.min() >= 45 - 0.1
    assert angle.max() <= 90 + 0.1
    # What a frame does not fill stays empty: 4:3 fills 120 rows, 16:9 fills 90.
    assert scenes.depth[:, 120:].isinf().all()
    wide = scenes.depth[:, 90:].isinf().all(2).all(1)
    assert 0.1 < wide.float().mean() < 0.6


def test_the_surface_before_a_seen_palm_is_as_near_as_the_palm() -> None:
    batch = SceneRenderer(PLAIN, 3).batch(64)
    clear = batch.seen[:, 0] > 0.9
    assert clear.sum() > 20
    pixel = palm_pixels(batch)[clear, 0].round().long()
    depth = batch.depth[clear][torch.arange(len(pixel)), pixel[:, 1], pixel[:, 0]]
    hit = depth.isfinite()
    assert hit.float().mean() > 0.9
    before = (batch.palm[clear, 0, 2] - depth)[hit]
    assert 5 < before.median() < 30
    assert ((before > -30) & (before < 130)).float().mean() > 0.95


def test_left_and_right_hands_are_as_frequent() -> None:
    batch = SceneRenderer(PLAIN, 4).batch(200)
    wide = batch.palm[:, 0, 0].abs() > 40
    share = (batch.palm[wide, 0, 0] > 0).float().mean()
    assert 0.35 < share < 0.65


def test_a_hidden_hand_is_not_to_be_found(scenes: SceneBatch) -> None:
    none = SceneRenderer(replace(PLAIN, no_hand_fraction=1.0), 6).batch(8)
    assert (none.seen == 0).all()
    assert none.depth.isinf().all()
    assert targets(none).heat.max() == 0
    pixel = palm_pixels(scenes)
    margin = 0.25 * INPUT_WIDTH
    outside = (pixel < -margin).any(-1) | (pixel[..., 0] > INPUT_WIDTH + margin) | (pixel[..., 1] > 128 + margin)
    far_out = outside & (scenes.palm[..., 2] > 600)
    assert far_out.any()
    assert not scenes.found[far_out].any()


def test_targets_mark_the_palms_cell(scenes: SceneBatch) -> None:
    truth = targets(scenes)
    cell = ((palm_pixels(scenes) - 1.5) / STRIDE).round().long()
    inside = (cell >= 0).all(-1) & (cell[..., 0] < INPUT_WIDTH // STRIDE) & (cell[..., 1] < INPUT_HEIGHT // STRIDE)
    for b, k in torch.nonzero(scenes.found & inside).tolist():
        u, v = cell[b, k].tolist()
        assert truth.heat[b, v, u] == 1
    assert ((truth.weight == 0).flatten(1).any(1) <= scenes.doubtful.any(1)).all()
    assert not (truth.near[:, 0] & truth.near[:, 1]).any()


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_does(scenes: SceneBatch) -> None:
    truth = targets(scenes)
    found = DetectorNet(8)(network_input(scenes), scenes.focal)
    pixel = palm_pixels(scenes)
    second = truth.near[:, 1]
    pick = [torch.where(second, pixel[:, 1, i, None, None], pixel[:, 0, i, None, None]) for i in (0, 1)]
    z = torch.where(second, scenes.palm[:, 1, 2, None, None], scenes.palm[:, 0, 2, None, None])
    shift = scenes.centre - scenes.palm
    shift = torch.where(second.unsqueeze(1), shift[:, 1, :, None, None], shift[:, 0, :, None, None])
    logit = torch.where(truth.heat == 1, 20.0, -20.0)
    perfect = type(found)(logit, pick[0], pick[1], z, shift)
    loss, _ = detector_loss(perfect, scenes)
    assert loss < 1e-2
    for field in ("u", "v", "z", "shift"):
        worse, _ = detector_loss(perfect._replace(**{field: getattr(perfect, field) + 10}), scenes)
        assert worse > loss + 0.05
    assert detector_loss(perfect._replace(logit=-logit), scenes)[0] > loss + 1


def test_accuracy_of_an_untrained_network_is_poor() -> None:
    config = DetectorConfig(name="t", test_scenes=64)
    figures = rendered_accuracy(DetectorNet(8), config)
    assert set(figures) == {
        "scenes",
        "within_45mm",
        "within_70mm",
        "palm_median_mm",
        "centre_median_mm",
        "false_alarms",
    }
    assert figures["scenes"] > 20
    assert figures["within_45mm"] < 0.5
    assert figures["false_alarms"] == 0


def test_training_resumes_where_it_stopped(tmp_path: Path) -> None:
    config = DetectorConfig(name="t", width=8, images=8, batch_size=2, warm_up_images=2)
    straight = DetectorTrainer(config, tmp_path / "a")
    straight.run()
    halves = DetectorTrainer(config, tmp_path / "b")
    while halves.images < 4:
        halves.run(minutes=0.0)
    resumed = DetectorTrainer(config, tmp_path / "b")
    assert resumed.resume()
    assert resumed.images == 4
    assert resumed.run()
    for name, value in straight.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], value)


def test_the_shipped_configuration_is_read() -> None:
    assert is_detector_config(CONFIG)
    assert not is_detector_config(CONFIG.parent / "encoder.toml")
    assert load_detector_config(CONFIG).images > 0


@pytest.mark.parametrize(
    ("text", "named"),
    [("name = 'x'\nimagse = 3", "imagse"), ("name = 'x'\n[scene]\nwall = 1", "wall"), ("name = ", "cannot read")],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "d.toml"
    path.write_text('kind = "detector"\n' + text)
    with pytest.raises(LumbricalError, match=named) as caught:
        load_detector_config(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text, named", [
    ("threshold = 1.5", "threshold must be from 0 to 1"),
    ("[scene]\nwall_fraction = nan", "wall_fraction must be from 0 to 1"),
    ("[scene]\nhand_points = 0", "hand_points must be from 1"),
    ("[scene]\nfield_of_view_deg = [60, 180]", "field_of_view_deg must be two rising numbers from 5 to 170"),
    ("[scene]\ndistance_range_mm = [1, 900]", "distance_range_mm must be two rising numbers from 50"),
])  # fmt: skip
def test_scenes_that_cannot_be_are_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "detector.toml"
    path.write_text(f'kind = "detector"\nname = "x"\n{text}\n')
    with pytest.raises(LumbricalError, match=named):
        load_detector_config(path)


def test_a_detector_configuration_reaches_down_to_the_hands_that_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text('kind = "detector"\nname = "d"\n[scene.sampling]\nbank_fraction = 0.25')
    assert load_detector_config(path).scene.sampling.bank_fraction == 0.25
    path.write_text('kind = "detector"\nname = "d"\n[scene.sampling]\nbank = 1')
    with pytest.raises(LumbricalError, match=r"\[scene\] sampling: unknown key"):
        load_detector_config(path)
    path.write_text('kind = "detector"\nname = "d"\ntest_scenes = 8\nbatch_size = 16')
    with pytest.raises(LumbricalError, match="test_scenes is too small"):
        load_detector_config(path)


@pytest.mark.parametrize(("width", "memory_format"), [(8, torch.contiguous_format), (16, torch.channels_last)])
def test_narrow_networks_are_not_trained_where_the_library_writes_past_its_buffers(
    width: int, memory_format: torch.memory_format, tmp_path: Path
) -> None:
    config = DetectorConfig(name="t", width=width, images=8, batch_size=2, warm_up_images=2)
    assert DetectorTrainer(config, tmp_path).memory_format is memory_format
