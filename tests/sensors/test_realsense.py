"""The RealSense, through its real SDK: a software device feeds the live camera and makes the recordings."""

from __future__ import annotations

import builtins
import gc
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.sensors.protocol import BadRecording, SensorDisconnected, SensorUnavailable
from engine.sensors.realsense import RealSenseCamera, pick_depth_profile
from engine.sensors.realsense_recording import Entry, RealSenseRecording, nearest_in_time, read_index
from engine.sensors.realsense_sdk import load_sdk, none_attached_reason, usb_products
from tests.sensors.taking import colors, take

fake = pytest.importorskip("tests.sensors.fake_realsense")
rs = fake.rs


def test_frames_arrive_exact_and_colour_lies_on_them() -> None:
    camera = fake.SoftwareCamera(color=True)
    with RealSenseCamera(context_factory=camera.context, color=True) as sensor:
        for k in range(1, 6):
            camera.push(k)
            frame = take(sensor, 1.0)
            assert frame.number == k and np.array_equal(frame.depth, fake.pattern(k))
            assert frame.depth_unit_mm == 1.0
            assert frame.color is not None and (colors(frame)[5:-5, 5:-5] == (200, 100, k)).all()
        assert sensor.warnings == ()


def test_a_late_reader_gets_the_newest_frames() -> None:
    camera = fake.SoftwareCamera()
    with RealSenseCamera(context_factory=camera.context) as sensor:
        for k in range(1, 30):
            camera.push(k)
        time.sleep(0.1)
        assert take(sensor, 1.0).number >= 27


def test_a_usb_2_link_is_told() -> None:
    with RealSenseCamera(context_factory=fake.SoftwareCamera(usb="2.1").context) as sensor:
        (warning,) = sensor.warnings
        assert "USB 2.1" in warning and "USB 3" in warning


def test_a_camera_without_colour_is_told() -> None:
    camera = fake.SoftwareCamera()
    with RealSenseCamera(context_factory=camera.context, color=True) as sensor:
        camera.push(1)
        assert take(sensor, 1.0).color is None
        assert "no colour stream" in sensor.warnings[0]


@pytest.mark.parametrize("wanted, got", [(60, 60), (90, 90), (45, 30), (5, 30), (300, 90)])
def test_the_rate_is_the_fastest_not_above_the_wanted(wanted: int, got: int) -> None:
    camera = fake.SoftwareCamera(fps=(30, 60, 90))
    with RealSenseCamera(context_factory=camera.context, fps=wanted) as sensor:
        assert sensor.fps == got


def test_a_device_without_depth_is_refused() -> None:
    with pytest.raises(SensorUnavailable, match="no depth stream"):
        pick_depth_profile([], rs, 30)


def test_busy_and_none_attached_and_another_serial_are_told_apart() -> None:
    camera = fake.SoftwareCamera()
    with RealSenseCamera(context_factory=camera.context):
        second = RealSenseCamera(context_factory=camera.context)
        with pytest.raises(SensorUnavailable, match="is busy: close"):
            second.open()
    with second:
        camera.push(1)
        assert take(second, 1.0).number == 1
    with pytest.raises(SensorUnavailable, match=r"attached.*:"):
        RealSenseCamera(context_factory=lambda: fake.Context([])).open()
    with pytest.raises(SensorUnavailable, match="no RealSense 123 is attached: there is SW001"):
        RealSenseCamera("123", context_factory=camera.context).open()
    with RealSenseCamera("SW001", context_factory=camera.context) as sensor:
        assert sensor.name == "Software D435"


@pytest.mark.parametrize("message, words", [
    ("xioctl(VIDIOC_S_FMT) failed, errno=16 Last Error: Device or resource busy", "is busy"),
    ("failed to set power state", "is busy"),
    ("Camera is broken\nand more", "cannot be started"),
])  # fmt: skip
def test_the_drivers_words_are_explained(message: str, words: str) -> None:
    camera = fake.SoftwareCamera()

    def refuse(*_: object) -> None:
        raise RuntimeError(message)

    depth = fake.Wrapped(camera.device.query_sensors()[0], open=refuse)
    device = fake.Wrapped(camera.device, query_sensors=lambda: [depth])
    with pytest.raises(SensorUnavailable, match=words) as caught:
        RealSenseCamera(context_factory=lambda: fake.Context([device])).open()
    assert "\n" not in str(caught.value)


def test_unplugging_is_noticed_and_plugging_in_again_works() -> None:
    camera = fake.SoftwareCamera()
    plugged = True
    device = fake.Wrapped(camera.device, is_connected=lambda: plugged)
    sensor = RealSenseCamera(context_factory=lambda: fake.Context([device] if plugged else []))
    sensor.open()
    camera.push(1)
    assert take(sensor, 1.0).number == 1
    plugged = False
    start = time.monotonic()
    with pytest.raises(SensorDisconnected, match="unplugged"):
        take(sensor, 5.0)
    assert time.monotonic() - start < 0.5, "unplugging must be seen within a poll, not after the time-out"
    sensor.close()
    with pytest.raises(SensorUnavailable):
        sensor.open()
    plugged = True
    with sensor:
        camera.push(2)
        assert take(sensor, 1.0).number == 2


@pytest.mark.parametrize(
    "why, words", [("no module", "pip install"), ("libusb-1.0.so.0: not found", "apt install libusb")]
)
def test_a_missing_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch, why: str, words: str) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyrealsense2":
            raise ImportError(why)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SensorUnavailable, match=words):
        load_sdk()


def test_what_is_plugged_in_explains_why_the_sdk_sees_nothing(tmp_path: Path) -> None:
    assert "plug one in" in none_attached_reason(tmp_path)
    for product, words in (("0B07", "udev"), ("0aa5", "SR300")):
        usb = tmp_path / product / "1-1"
        usb.mkdir(parents=True)
        (usb / "idVendor").write_text("8086\n")
        (usb / "idProduct").write_text(f"{product}\n")
        assert words in none_attached_reason(tmp_path / product)
        assert usb_products("8086", tmp_path / product) == {product.lower()}
        assert usb_products("045e", tmp_path / product) == set()


@pytest.mark.parametrize("model", ["brown_conrady", "inverse_brown_conrady", "modified_brown_conrady"])
def test_bent_images_are_straightened_as_the_sdk_would(model: str) -> None:
    coeffs = (0.2, 0.1, 0.01, -0.008, 0.02)
    camera = fake.SoftwareCamera(size=(160, 120), model=getattr(rs.distortion, model), coeffs=coeffs)
    with RealSenseCamera(context_factory=camera.context) as sensor:
        camera.push(1)
        depth, pinhole = take(sensor, 1.0).depth, sensor.intrinsics
    bent = fake.pattern(1, 160, 120)
    moved = 0
    for u, v in ((80, 60), (20, 20), (140, 30), (40, 100), (120, 90)):
        ray = [(u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy, 1.0]
        column, row = np.rint(rs.rs2_project_point_to_pixel(camera.intrinsics, ray)).astype(int)
        assert depth[v, u] == bent[row, column]
        moved += int((column, row) != (u, v))
    assert moved >= 3, "a lens that moves nothing would show nothing"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.record(tmp_path_factory.mktemp("rs") / "take.db3", 40, color=True)


@pytest.mark.parametrize("color", [False, True])
def test_a_recording_plays_back_frame_by_frame(recording: Path, color: bool) -> None:
    with RealSenseRecording(recording, color=color) as sensor:
        assert sensor.frame_count == 40 and sensor.fps == 30 and sensor.warnings == ()
        for i in range(40):
            frame = take(sensor, 2.0)
            assert frame.number == i and np.array_equal(frame.depth, fake.pattern(100 + i))
            assert frame.device_time_s == pytest.approx(1 + (100 + i) / 30, abs=1e-4)
            assert (frame.color is not None) == color
            if color:
                assert (colors(frame)[5:-5, 5:-5] == (200, 100, 100 + i)).all()


def test_colour_that_was_written_late_still_lies_on_its_own_depth(tmp_path: Path) -> None:
    """The order of arrival says nothing on a busy computer: the camera's clock says what was taken together."""
    late = fake.record(tmp_path / "late.db3", 12, color=True, color_lag=3)
    with RealSenseRecording(late, color=True) as sensor:
        for i in [*range(12), 4, 11, 0]:
            sensor.seek(i)
            frame = take(sensor, 2.0)
            assert np.array_equal(frame.depth, fake.pattern(100 + i))
            assert (colors(frame)[5:-5, 5:-5] == (200, 100, 100 + i)).all()


def test_streams_are_paired_by_the_cameras_clock_where_both_are_told_by_it() -> None:
    depth = [Entry(offset, k, 1000.0 + 33 * k, "Hardware Clock") for k, offset in enumerate((5, 10, 15))]
    late = [Entry(offset, 9 + k, 1001.0 + 33 * k, "Hardware Clock") for k, offset in enumerate((11, 16, 21))]
    assert nearest_in_time(depth, late) == [0, 1, 2]
    assert nearest_in_time(depth, late[1:]) == [0, 0, 1]
    assert nearest_in_time(depth, late[::-1]) == [2, 1, 0]
    by_arrival = [0, 0, 1]
    assert nearest_in_time(depth, [replace(entry, clock="System Time") for entry in late]) == by_arrival
    # One name, but counted from other beginnings.
    assert nearest_in_time(depth, [replace(entry, time_ms=9e9 + entry.time_ms) for entry in late]) == by_arrival


def test_many_seeks_are_exact_and_quick(recording: Path) -> None:
    """The SDK's reading thread can block seek and stop for 10 s, and stops for good at the end of the file."""
    order = random.Random(4)
    with RealSenseRecording(recording) as sensor:
        for _ in range(80):
            index = order.randrange(40)
            time.sleep(order.choice((0, 0.001, 0.01)))
            start = time.monotonic()
            sensor.seek(index)
            for place in range(index, min(40, index + order.randrange(1, 4))):
                frame = take(sensor, 2.0)
                assert frame.number == place and np.array_equal(frame.depth, fake.pattern(100 + place))
            assert time.monotonic() - start < 2


def test_opening_and_closing_in_the_middle_is_quick(recording: Path) -> None:
    sensor = RealSenseRecording(recording)
    for index in range(20):
        with sensor:
            sensor.seek(index)
            take(sensor, 2.0)
            start = time.monotonic()
        assert time.monotonic() - start < 2


def test_a_program_may_end_without_closing(recording: Path) -> None:
    code = (
        "import sys; from engine.sensors.realsense_recording import RealSenseRecording as R;"
        "sensor = R(sys.argv[1]); sensor.open(); sensor.read(2.0)"
    )
    root = Path(__file__).resolve().parents[2]
    for _ in range(4):
        assert subprocess.run([sys.executable, "-c", code, str(recording)], cwd=root, timeout=60).returncode == 0


def test_bad_recordings_are_refused_in_one_line(tmp_path: Path, recording: Path) -> None:
    data = recording.read_bytes()
    empty = fake.record(tmp_path / "empty.db3", 0)
    files = {
        "junk.db3": b"junk" * 100,
        "short.db3": data[: len(data) // 3],
        "zero.db3": b"",
        "junk.bag": b"#ROSBAG V2.0\n" + b"junk" * 100,
        "empty.bag": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    other = sqlite3.connect(tmp_path / "other.db3")
    other.execute("CREATE TABLE fish (name TEXT)")
    other.close()
    for path in [*(tmp_path / name for name in files), tmp_path / "other.db3", tmp_path / "missing.db3", empty]:
        sensor = RealSenseRecording(path)
        with pytest.raises(BadRecording) as caught:
            sensor.open()
            for _ in range(40):
                take(sensor, 1.0)
        sensor.close()
        assert "\n" not in str(caught.value) and str(path) in str(caught.value), path
        gc.collect()
    assert len(read_index(recording)) == 40
