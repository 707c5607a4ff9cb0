"""Finding and opening sources."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from engine.sensors import discover
from engine.sensors.discover import SourceInfo, known_suffixes, list_sources, open_source, register_suffix
from engine.sensors.kinect import KinectRecording
from engine.sensors.kinect_live import KinectCamera
from engine.sensors.protocol import BadRecording, SensorError
from engine.sensors.realsense import RealSenseCamera
from engine.sensors.realsense_recording import RealSenseRecording
from engine.sensors.sequence_folder import SequenceFolder
from engine.sensors.synthetic import SyntheticSensor


def test_listing_names_every_kind_and_gives_a_reason_for_what_is_missing() -> None:
    sources = list_sources(20.0)
    assert {source.kind for source in sources} == {"realsense", "kinect", "synthetic"}
    for source in sources:
        assert source.available or (source.warning and "\n" not in source.warning and ":" in source.warning)


def test_a_driver_that_hangs_or_crashes_costs_only_its_line() -> None:
    commands = {"realsense": "import time; time.sleep(60)", "kinect": "import os; os.abort()"}
    start = time.monotonic()
    sources = list_sources(1.0, lambda kind: (sys.executable, "-c", commands[kind]))
    assert time.monotonic() - start < 3
    reasons = {source.kind: source.warning or "" for source in sources}
    assert "does not answer" in reasons["realsense"] and "crashed" in reasons["kinect"]
    assert sources[-1].kind == "synthetic" and sources[-1].available


def test_an_attached_camera_comes_first_with_serial_and_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pytest.importorskip("tests.sensors.fake_realsense")
    camera = fake.SoftwareCamera(usb="2.1")
    monkeypatch.setattr(discover, "load_sdk", lambda: fake.Wrapped(fake.rs, context=camera.context))
    (info,) = discover.probe_realsense()
    assert (info.spec, info.label, info.serial, info.available) == ("realsense:SW001", "Software D435", "SW001", True)
    assert info.warning is not None and "USB 2.1" in info.warning
    answer = "import json; print(json.dumps([dict(kind='kinect', spec='kinect:0', label='K')]))"
    first, *_ = list_sources(20.0, lambda kind: (sys.executable, "-c", answer if kind == "kinect" else "print('[]')"))
    assert first == SourceInfo("kinect", "kinect:0", "K")


def test_names_and_paths_open_the_right_sensor(tmp_path: Path) -> None:
    for name in ("a.db3", "b.BAG", "c.mkv"):
        (tmp_path / name).touch()
    expected: dict[str | Path, type] = {
        "realsense": RealSenseCamera, "realsense:123": RealSenseCamera, "kinect": KinectCamera,
        "kinect:1": KinectCamera, "synthetic": SyntheticSensor, tmp_path: SequenceFolder, str(tmp_path): SequenceFolder,
        tmp_path / "a.db3": RealSenseRecording, tmp_path / "b.BAG": RealSenseRecording,
        str(tmp_path / "c.mkv"): KinectRecording,
    }  # fmt: skip
    for spec, kind in expected.items():
        assert type(open_source(spec)) is kind, spec


def test_what_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "film.avi").touch()
    for spec, error, words in (
        (tmp_path / "gone", BadRecording, "does not exist"),
        ("webcam", BadRecording, "does not exist"),
        (tmp_path / "film.avi", BadRecording, "no known format"),
        ("kinect:left", SensorError, "kinect:0"),
    ):
        with pytest.raises(error, match=words) as caught:
            open_source(spec)
        assert "\n" not in str(caught.value)


def test_another_format_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "_OPENERS", dict(discover._OPENERS))
    path = tmp_path / "x.take"
    path.touch()
    with pytest.raises(BadRecording):
        open_source(path)
    sensor = SyntheticSensor()
    register_suffix(".take", lambda opened, color: sensor if opened == path and color else pytest.fail())
    assert open_source(path, color=True) is sensor and ".take" in known_suffixes()
    with pytest.raises(ValueError):
        register_suffix("take", lambda opened, color: sensor)


@pytest.mark.parametrize("spec", ["", " ", "a" * 5000])
def test_names_that_no_system_takes_are_told_in_one_line(spec: str) -> None:
    with pytest.raises(SensorError) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
