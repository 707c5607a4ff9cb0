"""Crops of recordings: their file, how they are moved, and how they enter batches and loss."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from app.cli import main
from engine.hand.skeleton import Skeleton
from engine.methods.gaussian.encoder import Encoder, EncoderConfig
from engine.methods.gaussian.energies import EnergyConfig
from engine.sensors.protocol import EndOfStream
from engine.sensors.sequence_folder import SequenceFolder
from engine.training.augment import Change, CropBatches, CropSource, move
from engine.training.config import TrainConfig, load_config
from engine.training.crops import CropFile, Crops, save_crops
from engine.training.losses import LossWeights, supervised_loss
from engine.training.processes import Processes
from engine.training.renders import PIXEL_MM, HandRenderer, RenderConfig
from engine.training.shares import cut, each_tensor
from engine.training.trainer import RenderStream, Trainer
from engine.types import DepthFrame, LumbricalError

_TIPS = [0, 4, 8, 12, 16, 20]


def _rendered(count: int = 6, seed: int = 3) -> Crops:
    config = RenderConfig(points=3000, noise=False, clutter=False, empty_fraction=0.0, left_fraction=0.0)
    batch = HandRenderer(config, seed).batch(count)
    return Crops(batch.depth, batch.distance, batch.joints)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    crops = _rendered()
    joints = torch.full_like(crops.joints, math.nan)
    joints[:, _TIPS] = crops.joints[:, _TIPS]
    save_crops(tmp_path / "crops.npz", replace(crops, joints=joints))
    return tmp_path / "crops.npz"


def test_a_file_gives_back_what_was_saved(file: Path) -> None:
    right, found = _rendered(), CropFile(file).take(torch.tensor([4, 1]))
    near = right.depth[[4, 1]]
    seen = near.isfinite()
    assert torch.equal(found.depth.isfinite(), seen) and seen.float().mean() > 0.05
    assert (found.depth - near)[seen].abs().max() <= 0.0501
    assert torch.equal(found.distance, right.distance[[4, 1]])
    assert torch.equal(found.joints[:, _TIPS], right.joints[[4, 1]][:, _TIPS])
    assert found.joints[:, 1].isnan().all()


def test_a_wrong_file_is_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    good = dict(np.load(file))
    path = tmp_path / "wrong.npz"
    for change, message in (
        ({"depth": good["depth"][:, :64]}, r"depth is uint16 \(6, 64, 128\)"),
        ({"depth": good["depth"].astype(np.float64)}, "depth is float64"),
        ({"joints": good["joints"].astype(object)}, "joints is object"),
        ({"distance": good["distance"][:3]}, "differ in length"),
        ({"distance": good["distance"] * 0}, "nearer than 150 mm"),
        ({"joints": good["joints"] + 1000}, "far outside"),
        ({name: values[:0] for name, values in good.items()}, "0 crops"),
    ):
        np.savez(path, **(good | change))
        with pytest.raises(LumbricalError, match=message):
            CropFile(path)
    np.savez(path, depth=good["depth"])
    with pytest.raises(LumbricalError, match="not a file of crops"):
        CropFile(path)
    path.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(LumbricalError, match="not a file of crops"):
        CropFile(path)
    with pytest.raises(LumbricalError, match="there is no file of crops"):
        CropFile(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("turn", "scale", "shift", "depth_mm"),
    [
        (0.0, 1.0, (0.0, 0.0), 0.0),
        (0.5, 1.0, (0.0, 0.0), 0.0),
        (0.0, 1.1, (0.0, 0.0), 0.0),
        (0.0, 1.0, (12.0, -7.0), 0.0),
        (0.0, 1.0, (0.0, 0.0), 15.0),
        (-0.7, 0.93, (-9.0, 4.0), -11.0),
    ],
)
def test_labels_stay_on_the_picture(turn: float, scale: float, shift: tuple[float, float], depth_mm: float) -> None:
    """A square of pixels around a point, at its depth, is found again where the moved label says."""
    count, distance = 8, 400.0
    generator = torch.Generator().manual_seed(1)
    pixel = torch.randint(40, 88, (count, 2), generator=generator)
    z = distance + 100 * torch.rand(count, generator=generator) - 50
    flat = (pixel - 63.5) * PIXEL_MM * (z / distance).unsqueeze(1)
    joints = torch.cat((flat, (z - distance).unsqueeze(1)), 1).unsqueeze(1)
    depth = torch.full((count, 128, 128), math.inf)
    for image, (u, v) in enumerate(pixel.tolist()):
        depth[image, v - 4 : v + 5, u - 4 : u + 5] = z[image]
    change = Change(
        turn=torch.full((count,), turn),
        scale=torch.full((count,), scale),
        shift_mm=torch.tensor([shift] * count),
        depth_mm=torch.full((count,), depth_mm),
    )
    moved = move(Crops(depth, torch.full((count,), distance), joints), change)
    assert torch.allclose(moved.distance, torch.full((count,), distance * scale + depth_mm))
    for image in range(count):
        seen = moved.depth[image].isfinite()
        rows, columns = torch.nonzero(seen, as_tuple=True)
        far = moved.depth[image][seen].mean()
        place = torch.stack((columns.float().mean(), rows.float().mean())) - 63.5
        found = place * PIXEL_MM * far / moved.distance[image]
        assert (found - moved.joints[image, 0, :2]).norm() < 0.6 * PIXEL_MM
        assert abs(far - moved.distance[image] - moved.joints[image, 0, 2]) < 0.01


def test_the_widest_changes_leave_near_hands_before_the_camera() -> None:
    """Twice the largest spreads that a configuration may ask for, which is where they are cut off."""
    rendered = _rendered(4)
    # The file of crops takes nothing nearer than this; the hand moves with its cube.
    near = replace(
        rendered, distance=torch.full((4,), 151.0), depth=rendered.depth - (rendered.distance - 151.0)[:, None, None]
    )
    change = Change(torch.zeros(4), torch.full((4,), 0.6), torch.zeros(4, 2), torch.full((4,), -100.0))
    moved = move(near, change)
    assert (moved.distance >= 150).all() and moved.joints.isfinite().all()
    # The picture shows the cube where the labels say: depth along the view changes by the scale alone.
    z = (near.joints[..., 2] + 151.0) * 0.6
    assert torch.allclose(moved.joints[..., 2] + moved.distance.unsqueeze(1), z, atol=1e-3)
    seen = moved.depth.isfinite()
    assert seen.any() and moved.depth[seen].min() >= 0.6 * near.depth[near.depth.isfinite()].min() - 1e-3


def test_a_turn_goes_from_x_to_y() -> None:
    zero = torch.zeros(1)
    crops = Crops(torch.full((1, 128, 128), math.inf), torch.tensor([300.0]), torch.tensor([[[50.0, 0.0, 0.0]]]))
    moved = move(crops, Change(zero + math.pi / 2, zero + 1, torch.zeros(1, 2), zero))
    assert torch.allclose(moved.joints, torch.tensor([[[0.0, 50.0, 0.0]]]), atol=1e-4)


def test_turn_and_scale_keep_the_hand_s_proportions() -> None:
    crops = _rendered(4)
    change = Change(torch.full((4,), 0.4), torch.full((4,), 1.07), torch.zeros(4, 2), torch.full((4,), 5.0))
    moved = move(crops, change)
    before, after = (torch.cdist(joints, joints) for joints in (crops.joints, moved.joints))
    assert torch.allclose(after, 1.07 * before, atol=1e-2)


def test_batches_repeat_and_say_what_is_known(file: Path) -> None:
    batches = CropBatches(CropSource(str(file), 0.5), 1)
    first, again, other = batches.batch(16, 0), batches.batch(16, 0), batches.batch(16, 1)
    assert torch.equal(first.depth, again.depth) and torch.equal(first.joints, again.joints)
    assert not torch.equal(first.depth, other.depth)
    assert first.joints_known[:, _TIPS].all() and first.joints_known.sum() == 6 * 16
    assert not first.pose_known.any() and first.has_hand.all() and first.joints.isfinite().all()


def test_unknown_labels_have_no_say_in_the_loss() -> None:
    batch = HandRenderer(RenderConfig(points=1000), 1).batch(8)
    known = torch.zeros(8, 21, dtype=torch.bool)
    known[4:] = True
    known[:4, _TIPS] = True
    batch = replace(batch, joints_known=known, pose_known=torch.arange(8) >= 4)
    wrong = each_tensor(batch, torch.clone)
    wrong.joints[:4][~known[:4]] += 70
    wrong.articulation[:4] += 1
    wrong.beta[:4] += 1
    encoding = Encoder(EncoderConfig(width=0.125, head_channels=8, hidden=16))(batch.crop, batch.distance)
    losses = [supervised_loss(encoding, truth, Skeleton(), LossWeights())[0] for truth in (batch, wrong)]
    assert torch.equal(losses[0], losses[1])
    wrong.joints[0, 4] += 70
    assert (
        supervised_loss(
            encoding,
            replace(wrong, has_hand=wrong.has_hand | True, is_right=wrong.is_right | True),
            Skeleton(),
            LossWeights(),
        )[0]
        != losses[0]
    )
    none = replace(cut(batch, slice(0, 4)), joints_known=known[:4] & False, pose_known=torch.zeros(4, dtype=torch.bool))
    four = type(encoding)(*(part[:4] for part in encoding))
    assert torch.isfinite(supervised_loss(four, none, Skeleton(), LossWeights())[0])


def test_crops_without_labels_need_a_loss_that_learns_from_them(file: Path, tmp_path: Path) -> None:
    assert CropFile(file).unlabelled == 0
    crops = _rendered()
    save_crops(tmp_path / "bare.npz", replace(crops, joints=torch.full_like(crops.joints, math.nan)))
    config = _config(tmp_path / "bare.npz")
    for change in ({"energies": EnergyConfig(dissim=0.0)}, {"loss": LossWeights(energy=0.0)}):
        with pytest.raises(LumbricalError, match="6 of its crops have no label"):
            Trainer(replace(config, **change), tmp_path / "out")
    assert Trainer(config, tmp_path / "out").run()


def _config(file: Path, share: float = 0.25) -> TrainConfig:
    return TrainConfig(
        name="mixed", images=16, batch_size=8, part_images=4, warm_up_images=0, bfloat16=False,
        encoder=EncoderConfig(width=0.125, head_channels=8, hidden=16), render=RenderConfig(points=1000),
        sources=(CropSource(str(file), share),),
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.25, 1])
def test_batches_are_mixed_in_the_stated_ratio(file: Path, share: float, tmp_path: Path) -> None:
    config = _config(file, share)
    batch = RenderStream(config, "cpu", range(2))[1]
    assert len(batch.depth) == 8
    assert (~batch.pose_known).sum() == 8 * share
    halves = [RenderStream(config, "cpu", range(2), Processes(rank, 2))[1] for rank in (0, 1)]
    assert all((~half.pose_known).sum() == 4 * share for half in halves)
    assert sorted(torch.cat([half.distance for half in halves]).tolist()) == sorted(batch.distance.tolist())
    trainer = Trainer(config, tmp_path)
    assert trainer.run()
    again = Trainer(config, tmp_path)
    assert again.resume() and again.changed_settings == []


def test_sources_that_do_not_fit_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match=r"what batches take from .* \(2\) cannot be shared evenly by 4"):
        Trainer(_config(file), tmp_path / "out", processes=Processes(0, 4))
    path = tmp_path / "c.toml"
    head = 'name = "x"\nbatch_size = 8\n'
    for text, message in (
        ("sources = 3", r"must be written as \[\[sources\]\]"),
        ('[[sources]]\nfile = "crops.npz"', "entry share is missing"),
        ('[[sources]]\nfile = "crops.npz"\nshare = 0.3', "no whole number of images"),
        ('[[sources]]\nfile = "crops.npz"\nshare = 2', "share must be a number above 0"),
        ("[[sources]]\nfile = 3\nshare = 0.5", "file must be the name"),
        ('[[sources]]\nfile = "crops.npz"\nshare = 0.5\nturn = 9', "turn must be from 0 to 3.142"),
        (2 * '[[sources]]\nfile = "crops.npz"\nshare = 0.75\n', "add up to more than 1"),
    ):
        path.write_text(head + text)
        with pytest.raises(LumbricalError, match=message):
            load_config(path)
    path.write_text(head + '[[sources]]\nfile = "crops.npz"\nshare = 0.5')
    assert load_config(path).sources[0].file == str(file)


def _sequence(folder: Path, side: str) -> Path:
    """One frame: a plane at 500 mm with a bump, where the labels are; right, or all mirrored."""
    sign = 1 if side == "right" else -1
    (folder / "depth").mkdir(parents=True)
    depth = np.zeros((240, 320), np.uint16)
    depth[100:140, 190:230] = 500
    joints = np.tile(np.array([[105.0, 0.0, 500.0]], np.float32), (1, 21, 1)) + np.linspace(-20, 20, 21)[None, :, None]
    if sign < 0:
        depth, joints = depth[:, ::-1], joints * np.array([-1.0, 1.0, 1.0])
    cv2.imwrite(str(folder / "depth" / "000000.png"), depth)
    np.save(folder / "joints_mm.npy", joints.astype(np.float32))
    camera = {"width": 320, "height": 240, "fx": 240.0, "fy": 240.0, "cx": 159.5, "cy": 119.5}
    words = {"depth_unit_m": 0.001, "fps": 30, "side": side, "intrinsics": camera, "sensor": "test"}
    (folder / "sequence.json").write_text(json.dumps(words))
    return folder


def test_the_command_cuts_recordings_and_mirrors_left_hands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(_sequence(tmp_path / side, side)) for side in ("right", "left")]
    out = tmp_path / "out.npz"
    assert main(["crops", *folders, "--out", str(out)]) == 0
    assert "2 crops of 2 recordings, 6 joints each" in capsys.readouterr().out
    crops = CropFile(out).take(torch.tensor([0, 1]))
    assert torch.equal(crops.depth[0].isfinite(), crops.depth[1].isfinite())
    assert torch.allclose(crops.joints[0], crops.joints[1], atol=1e-3, equal_nan=True)
    assert crops.joints.isfinite().all(2).sum() == 12
    rows, columns = torch.nonzero(crops.depth[0].isfinite(), as_tuple=True)
    assert abs(columns.float().mean() - 63.5) < 3 and abs(rows.float().mean() - 63.5) < 3
    assert crops.depth[0][crops.depth[0].isfinite()].mean() == pytest.approx(float(crops.distance[0]), abs=15)


def test_the_command_says_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _sequence(tmp_path / "right", "right")
    for arguments, message in (
        ([str(folder), "--out", str(tmp_path / "crops.txt")], "must end in .npz"),
        ([str(folder), "--out", str(tmp_path / "none" / "crops.npz")], "does not exist"),
        ([str(tmp_path / "none"), "--out", str(tmp_path / "crops.npz")], "is not a folder"),
    ):
        assert main(["crops", *arguments]) == 2
        assert message in capsys.readouterr().err
    taken = tmp_path / "taken.npz"
    taken.write_bytes(b"mine")
    words = json.loads((folder / "sequence.json").read_text())
    for arguments, message in (
        ([str(folder), "--out", str(taken)], "exists already"),
        ([str(folder), str(folder), "--out", str(tmp_path / "crops.npz")], "given twice"),
    ):
        assert main(["crops", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert taken.read_bytes() == b"mine"
    (folder / "sequence.json").write_text(json.dumps(words | {"joint_convention": "mano"}))
    assert main(["crops", str(folder), "--joints", "21", "--out", str(tmp_path / "crops.npz")]) == 2
    assert "those of mano, not ours" in capsys.readouterr().err
    assert main(["crops", str(folder), "--out", str(taken), "--force"]) == 0
    assert len(CropFile(taken)) == 1
    capsys.readouterr()
    np.save(folder / "joints_mm.npy", -np.load(folder / "joints_mm.npy"))
    assert main(["crops", str(folder), "--out", str(tmp_path / "crops.npz")]) == 2
    assert "in front of it" in capsys.readouterr().err
    (folder / "joints_mm.npy").unlink()
    assert main(["crops", str(folder), "--out", str(tmp_path / "crops.npz")]) == 2
    assert "has no joints_mm.npy" in capsys.readouterr().err


def test_without_labels_the_tracker_places_the_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo, out = str(Path("assets/demo").resolve()), tmp_path / "crops.npz"
    monkeypatch.setattr(SequenceFolder, "read", _first_frames(SequenceFolder.read, 12))
    assert main(["crops", demo, "--joints", "0", "--out", str(out)]) == 0
    assert "crops of 1 recordings, 0 joints each" in capsys.readouterr().out
    file = CropFile(out)
    assert file.unlabelled == len(file) >= 10
    assert (file.take(torch.arange(len(file))).depth.isfinite().flatten(1).sum(1) > 1000).all()
    assert main(["crops", "synthetic", "--joints", "0", "--out", str(tmp_path / "other.npz")]) == 2
    assert "is a camera" in capsys.readouterr().err


def _first_frames(
    read: Callable[[SequenceFolder], DepthFrame | None], count: int
) -> Callable[[SequenceFolder], DepthFrame | None]:
    """A recording's `read` that ends early."""
    left = iter(range(count))

    def first(sensor: SequenceFolder) -> DepthFrame | None:
        if next(left, None) is None:
            raise EndOfStream("that is all")
        return read(sensor)

    return first


@pytest.mark.parametrize("spoil", ["scalar", "nonsense", "flipped"])
def test_damaged_files_of_crops_are_told_in_one_line(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "bad.npz"
    shapes = {"depth": (2, 128, 128), "distance": (2,), "joints": (2, 21, 3)}
    arrays = {"depth": np.uint16, "distance": np.float32, "joints": np.float32}
    plain = {name: np.zeros(() if spoil == "scalar" else shapes[name], kind) for name, kind in arrays.items()}
    np.savez_compressed(path, depth=plain["depth"], distance=plain["distance"], joints=plain["joints"])
    if spoil == "nonsense":
        with zipfile.ZipFile(path, "w") as archive:
            for name in arrays:
                archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00\xb8\x0b" + b"~" * 2999 + b"1")
    if spoil == "flipped":
        data = bytearray(path.read_bytes())
        data[60:90] = b"\xff" * 30
        path.write_bytes(bytes(data))
    with pytest.raises(LumbricalError, match="is not a file of crops"):
        CropFile(path)
