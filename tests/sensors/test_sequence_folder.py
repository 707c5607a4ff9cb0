"""Sequence folders: what they give, and one line for each way in which they can be wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.sensors.labels import load_labels
from engine.sensors.protocol import BadRecording, EndOfStream, SensorError
from engine.sensors.sequence_folder import SequenceFolder, write_sequence
from engine.sensors.synthetic import SyntheticSensor
from engine.types import DepthFrame, Intrinsics, Side
from tests.sensors.taking import colors, take

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
SMALL = Intrinsics(64, 48, 48.0, 48.0, 32.0, 24.0)


def frames(count: int = 3, color: bool = False) -> list[DepthFrame]:
    with SyntheticSensor(intrinsics=SMALL, depth_unit_mm=0.125, duration_s=1) as sensor:
        read = [take(sensor) for _ in range(count)]
    picture = np.zeros((48, 64, 3), np.uint8) + np.array([220, 120, 20], np.uint8)
    return [replace(frame, color=picture) for frame in read] if color else read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sequence(tmp_path / "s", frames(), fps=25, side=Side.LEFT, labels={"joints_mm": np.ones((3, 21, 3))},
                   extra={"joint_convention": "mano"})  # fmt: skip
    return tmp_path / "s"


def edit(folder: Path, **fields: object) -> None:
    path = folder / "sequence.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = frames(color=True)
    assert write_sequence(tmp_path / "deep" / "s", written, fps=25, side=Side.LEFT) == 3
    with SequenceFolder(tmp_path / "deep" / "s") as sensor:
        assert (sensor.fps, sensor.side, sensor.frame_count, sensor.intrinsics) == (25, Side.LEFT, 3, SMALL)
        for i, frame in enumerate(written):
            again = take(sensor)
            assert np.array_equal(again.depth, frame.depth)
            assert again.depth_unit_mm == pytest.approx(0.125, rel=1e-9)
            assert again.device_time_s == pytest.approx(i / 25)
            assert np.abs(colors(again) - frame.color).max() < 8, "red and blue must not be swapped"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["s"]


def test_frames_without_fps_are_dated_at_ten_a_second(folder: Path) -> None:
    edit(folder, fps=0)
    with SequenceFolder(folder) as sensor:
        assert sensor.fps == 0
        sensor.seek(2)
        assert take(sensor).device_time_s == pytest.approx(0.2)


def test_labels(folder: Path) -> None:
    labels = load_labels(folder)
    assert labels.joints_mm is not None and labels.joints_mm.shape == (3, 21, 3) and labels.palm_uv is None
    assert labels.joint_convention == "mano"
    assert labels.hand_mask(0) is None
    (folder / "hand").mkdir()
    mask = np.zeros((48, 64), np.uint8)
    mask[3, 4] = 255
    cv2.imwrite(str(folder / "hand" / "000001.png"), mask)
    found = labels.hand_mask(1)
    assert found is not None and np.argwhere(found).tolist() == [[3, 4]]


def truncate(path: Path, keep: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _empty(folder: Path) -> None:
    for path in (folder / "depth").iterdir():
        path.unlink()


def _huge(folder: Path) -> None:
    cv2.imwrite(str(folder / "depth/000001.png"), np.zeros((5, 5000), np.uint16))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda f: shutil.rmtree(f), "is not a folder"),
    "no sequence.json": (lambda f: (f / "sequence.json").unlink(), "has no sequence.json"),
    "no JSON": (lambda f: (f / "sequence.json").write_text("{"), "not valid JSON"),
    "binary JSON": (lambda f: (f / "sequence.json").write_bytes(b"\xff\xfe\x00"), "not valid JSON"),
    "nested JSON": (lambda f: (f / "sequence.json").write_text("[" * 100000), "not valid JSON"),
    "a list": (lambda f: (f / "sequence.json").write_text("[]"), "JSON object"),
    "a huge description": (lambda f: (f / "sequence.json").write_text(" " * 2_000_000), "over 1 MB"),
    "no intrinsics": (lambda f: edit(f, intrinsics=None), "intrinsics are missing"),
    "NaN focal length": (lambda f: edit(f, intrinsics={**vars(SMALL), "fx": float("nan")}), "fx must be"),
    "zero focal length": (lambda f: edit(f, intrinsics={**vars(SMALL), "fy": 0}), "fy must be"),
    "a size in words": (lambda f: edit(f, intrinsics={**vars(SMALL), "width": "64"}), "width must be"),
    "another size": (lambda f: edit(f, intrinsics={**vars(SMALL), "width": 128}), "intrinsics in sequence.json"),
    "center outside": (lambda f: edit(f, intrinsics={**vars(SMALL), "cx": 320}), "principal point"),
    "no unit": (lambda f: edit(f, depth_unit_m=0), "depth_unit_m"),
    "negative fps": (lambda f: edit(f, fps=-1), "fps"),
    "a third hand": (lambda f: edit(f, side="middle"), "side must be"),
    "frames miscounted": (lambda f: edit(f, frames=4), "says 4 frames"),
    "no depth folder": (lambda f: shutil.rmtree(f / "depth"), "no frames"),
    "empty": (_empty, "empty"),
    "a gap": (lambda f: (f / "depth/000001.png").unlink(), "000001.png is missing"),
    "8 bits": (lambda f: cv2.imwrite(str(f / "depth/000001.png"), np.zeros((48, 64), np.uint8)), "8-bit"),
    "colour": (lambda f: cv2.imwrite(str(f / "depth/000001.png"), np.zeros((48, 64, 3), np.uint16)), "colour PNG"),
    "a huge image": (_huge, "refused"),
    "no PNG": (lambda f: (f / "depth/000001.png").write_bytes(b"hello"), "not a PNG"),
    "cut short": (lambda f: truncate(f / "depth/000001.png"), "cut short"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused_in_one_line(folder: Path, name: str) -> None:
    spoil, words = BAD[name]
    spoil(folder)
    with pytest.raises(BadRecording, match=words) as caught:
        SequenceFolder(folder).open()
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_an_image_s_place_does_not_hang(folder: Path) -> None:
    image = folder / "depth" / "000001.png"
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(BadRecording, match=r"000001\.png is not a file"):
        SequenceFolder(folder).open()


def test_a_damaged_image_is_refused_when_it_is_read(folder: Path) -> None:
    _damage(folder / "depth/000001.png")
    with SequenceFolder(folder) as sensor:
        take(sensor)
        with pytest.raises(BadRecording, match=r"000001\.png"):
            take(sensor)


@pytest.mark.parametrize("spoil", [lambda p: truncate(p), lambda p: p.write_bytes(b"no"), lambda p: cv2.imwrite(
    str(p), np.zeros((10, 10, 3), np.uint8))])  # fmt: skip
def test_bad_colour_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    write_sequence(tmp_path / "s", frames(color=True))
    spoil(tmp_path / "s/color/000000.jpg")
    with SequenceFolder(tmp_path / "s") as sensor, pytest.raises(BadRecording, match=r"000000\.jpg"):
        take(sensor)
    with SequenceFolder(tmp_path / "s", color=False) as sensor:
        assert take(sensor).color is None


@pytest.mark.parametrize("spoil, words", [
    (lambda p: np.save(p, np.ones((2, 21, 3))), "has shape"),
    (lambda p: np.save(p, np.ones((3, 21, 3), int)), "holds int"),
    (lambda p: np.save(p, np.full((3, 21, 3), None), allow_pickle=True), "holds object"),
    (lambda p: np.save(p, np.full((3, 21, 3), np.inf)), "infinite values"),
    (lambda p: truncate(p), "whole numpy file"),
    (lambda p: p.write_bytes(b""), "whole numpy file"),
    (lambda p: p.write_bytes(p.read_bytes().replace(b"'descr'", b"(((((((")), "whole numpy file"),
])  # fmt: skip
def test_bad_labels_are_refused(folder: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(folder / "joints_mm.npy")
    with pytest.raises(BadRecording, match=words):
        load_labels(folder)


def test_writing_never_overwrites_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(SensorError, match="exists already"):
        write_sequence(tmp_path / "there", frames())
    with pytest.raises(SensorError, match="no frames"):
        write_sequence(tmp_path / "empty", [])
    with pytest.raises(SensorError, match="2 rows for 3 frames"):
        write_sequence(tmp_path / "labels", frames(), labels={"joints_mm": np.ones((2, 21, 3))})

    def breaking() -> Iterator[DepthFrame]:
        yield from frames()
        raise RuntimeError("the camera caught fire")

    with pytest.raises(RuntimeError):
        write_sequence(tmp_path / "broken", breaking())
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_real_recordings() -> None:
    folders = sorted(path for path in REAL.iterdir() if path.is_dir())
    assert folders
    for folder in folders:
        with SequenceFolder(folder) as sensor:
            labels = load_labels(folder)
            for index in (0, labels.info.frame_count - 1):
                sensor.seek(index)
                frame = take(sensor)
                assert 100 < np.median(frame.depth_mm()[frame.depth > 0]) < 6000, folder
                assert (frame.color is not None) == (folder / "color").is_dir()
            with pytest.raises(EndOfStream):
                take(sensor)
            known = [labels.joints_mm, labels.palm_uv, labels.joints_uv_2d]
            assert any(label is not None for label in known), folder
            assert (labels.hand_mask(0) is not None) == (folder / "hand").is_dir()
