"""Azure Kinect: recordings made by the test, one real one where it is there, and the live camera on a stand-in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.sensors.kinect import KinectRecording
from engine.sensors.kinect_calibration import parse_calibration
from engine.sensors.kinect_live import KinectCamera, load_libk4a
from engine.sensors.matroska import expected_size
from engine.sensors.protocol import BadRecording, SensorDisconnected, SensorUnavailable
from engine.sensors.registration import ColorCamera, Registration
from engine.sensors.undistort import Undistorter, rational
from engine.types import Intrinsics
from tests.sensors.fake_kinect import HEIGHT, WIDTH, FakeLibrary, calibration, pattern, write_mkv
from tests.sensors.taking import colors, take

pytest.importorskip("av")
MUG = Path(__file__).resolve().parents[3] / "shared" / "data" / "kinect-mug.mkv"


def test_dropped_frames_leave_gaps_in_the_numbers(tmp_path: Path) -> None:
    path = write_mkv(tmp_path / "gaps.mkv", [0, 1, 4, 5, 9])
    with KinectRecording(path) as sensor:
        assert sensor.frame_count == 10 and sensor.fps == pytest.approx(30)
        frames = [take(sensor) for _ in range(5)]
        assert [frame.number for frame in frames] == [0, 1, 4, 5, 9]
        sensor.seek(2)
        assert take(sensor).number == 4
        sensor.seek(5)
        frame = take(sensor)
        assert frame.number == 5 and frame.device_time_s == pytest.approx(5 / 30, abs=1e-3)


def test_a_straight_lens_moves_nothing_and_a_bent_one_does(tmp_path: Path) -> None:
    with KinectRecording(write_mkv(tmp_path / "a.mkv", [0])) as sensor:
        assert np.array_equal(take(sensor).depth, pattern(0))
    with KinectRecording(write_mkv(tmp_path / "b.mkv", [0], raw=calibration(k1=0.1))) as sensor:
        depth, pinhole = take(sensor).depth, sensor.intrinsics
    u, v = 100, 150
    x, y = (u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy
    ratio = 1 + 0.1 * (x * x + y * y)
    column, row = round(x * ratio * pinhole.fx + pinhole.cx), round(y * ratio * pinhole.fy + pinhole.cy)
    assert (column, row) != (u, v)
    assert depth[v, u] == pattern(0)[row, column]
    assert depth[0, 0] == 0, "the bent image does not reach into the corner"


def test_rays_that_were_never_calibrated_are_unmeasured() -> None:
    camera = Intrinsics(100, 100, 20.0, 20.0, 49.5, 49.5)
    straighten = Undistorter(camera, rational((0, 0, 0, 0, 0, 0), 0, 0, cross=2, max_radius=1.0))
    straight = straighten(np.full((100, 100), 7, np.uint16))
    assert straight[49, 49] == 7 and straight[49, 60] == 7 and straight[49, 80] == 0


@pytest.mark.parametrize("options, words", [
    ({"mode": "PASSIVE_IR"}, "gives no depth"),
    ({"mode": "WFOV_UNBINNED"}, "does not fit mode"),
    ({"title": "IR"}, "no DEPTH track"),
    ({"attach": False}, "no calibration.json"),
    ({"raw": b"{}"}, "calibration is damaged"),
    ({"raw": b"[" * 100000}, "calibration is damaged"),
    ({"raw": calibration().replace(b"0.49", b"-0.49")}, "calibration is damaged"),
])  # fmt: skip
def test_bad_recordings_are_refused_in_one_line(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    path = write_mkv(tmp_path / "bad.mkv", [0, 1], **options)
    with pytest.raises(BadRecording, match=words) as caught:
        KinectRecording(path).open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("whole, broken, words", [
    (b"calibration.json", b"calibration.jso\xff", "no calibration.json"),
    (b"V_MS/VFW/FOURCC", b"V_MS/VFW/F\xffURCC", "no DEPTH track"),
])  # fmt: skip
def test_damaged_headers_are_told_in_one_line(tmp_path: Path, whole: bytes, broken: bytes, words: str) -> None:
    path = write_mkv(tmp_path / "bad.mkv", [0, 1])
    data = path.read_bytes()
    assert whole in data
    path.write_bytes(data.replace(whole, broken))
    with pytest.raises(BadRecording, match=words):
        KinectRecording(path, color=True).open()


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    whole = write_mkv(tmp_path / "whole.mkv", list(range(6))).read_bytes()
    for name, data in (("junk", b"junk" * 100), ("empty", b""), ("head", whole[:300])):
        (tmp_path / f"{name}.mkv").write_bytes(data)
        with pytest.raises(BadRecording, match=f"{name}.mkv"):
            KinectRecording(tmp_path / f"{name}.mkv").open()
    with pytest.raises(BadRecording, match="does not exist"):
        KinectRecording(tmp_path / "missing.mkv").open()


def test_a_recording_that_was_cut_short_says_so(tmp_path: Path) -> None:
    whole = write_mkv(tmp_path / "whole.mkv", list(range(6)))
    data = whole.read_bytes()
    assert expected_size(whole) == len(data)
    cut = tmp_path / "cut.mkv"
    for part in (1000, len(data) // 10):
        cut.write_bytes(data[:part])
        with pytest.raises(BadRecording, match=rf"is damaged, cut short \({part} of {len(data)} bytes") as caught:
            KinectRecording(cut).open()
        assert "\n" not in str(caught.value)
    cut.write_bytes(data[: len(data) // 2])
    with KinectRecording(cut) as sensor:
        (warning,) = sensor.warnings
        assert f"cut short ({len(data) // 2} of {len(data)} bytes" in warning and "playing what is there" in warning
        assert sensor.frame_count == 2 and np.array_equal(take(sensor).depth, pattern(0))
    with KinectRecording(whole) as sensor:
        assert sensor.warnings == ()


def test_an_empty_recording_is_not_called_cut_short(tmp_path: Path) -> None:
    path = write_mkv(tmp_path / "empty.mkv", [0])
    data = path.read_bytes()
    head = data[: data.index(bytes.fromhex("1f43b675"))]
    size_at = head.index(bytes.fromhex("18538067")) + 4
    size = (1 << 56 | len(head) - size_at - 8).to_bytes(8, "big")
    path.write_bytes(head[:size_at] + size + head[size_at + 8 :])
    with pytest.raises(BadRecording, match=r"empty.mkv .*: record it again") as caught:
        KinectRecording(path).open()
    assert "cut short" not in str(caught.value)


@pytest.mark.parametrize(
    "data", ["", "00", "6a756e6b", "1a45dfa3", "1a45dfa3ff", "1a45dfa38018", "1a45dfa3801853806701" + "ff" * 7]
)
def test_a_head_that_does_not_tell_the_size(tmp_path: Path, data: str) -> None:
    (tmp_path / "head.mkv").write_bytes(bytes.fromhex(data))
    assert expected_size(tmp_path / "head.mkv") is None


@pytest.mark.skipif(not MUG.is_file(), reason="the real recording is not here")
@pytest.mark.parametrize("color", [False, True])
def test_a_real_recording(color: bool) -> None:
    with KinectRecording(MUG, color=color) as sensor:
        k = sensor.intrinsics
        # What libk4a says of this file.
        assert (k.fx, k.fy, k.cx, k.cy) == pytest.approx((504.61, 504.73, 332.78, 348.83), abs=0.006)
        assert (k.width, k.height, sensor.frame_count, sensor.fps) == (640, 576, 1, 5)
        frame = take(sensor)
        depth = frame.depth_mm()
        mug = depth[340:500, 150:250]
        # 175 pixels wide at this distance make it 9 cm, as mugs are.
        assert 240 < np.median(mug[mug > 0]) < 290
        assert (frame.color is not None) == color
        if color:
            # The window behind the mug is the brightest thing, and it is far away.
            assert colors(frame)[100:300, 440:600].mean() > colors(frame)[540:570, 300:400].mean() + 10
            assert (colors(frame)[frame.depth == 0] == 0).all()


def test_color_is_taken_from_where_the_colour_camera_sees_the_point() -> None:
    depth_camera = Intrinsics(40, 30, 40.0, 40.0, 20.0, 15.0)
    color_camera = Intrinsics(80, 60, 80.0, 80.0, 40.0, 30.0)
    v, u = np.mgrid[:60, :80]
    picture = np.stack([u, v, u + v], axis=-1).astype(np.uint8)
    register = Registration(ColorCamera(color_camera, np.eye(3), np.array([50.0, 0, 0])), depth_camera)
    depth = np.full((30, 40), 1000, np.float32)
    depth[5, 5] = 0
    registered = register(picture, depth)
    # A point at 1 m seen at u = 10 lies at x = -250 mm; 50 mm more in the colour camera: u' = 40 - 0.2 * 80.
    assert registered[12, 10].tolist() == [24, 24, 48]
    assert not registered[5, 5].any() and not registered[12, 39].any()
    with pytest.raises(ValueError):
        register(picture, depth[:5])


def test_calibration_of_the_other_modes_and_sizes() -> None:
    wide = parse_calibration(calibration(), "WFOV_2X2BINNED", (1280, 720))
    assert (wide.depth.width, wide.depth.fx, wide.depth.cx) == pytest.approx((512, 0.49 * 512, 255.5))
    assert wide.color is not None
    k = wide.color.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == pytest.approx((0.49 * 1280, 0.49 * 960, 639.5, 359.5))
    assert wide.color.translation_mm.tolist() == [-32, 0, 0]
    whole = parse_calibration(calibration(), "NFOV_2X2BINNED", (2048, 1536))
    assert whole.color is not None and whole.color.intrinsics.cy == pytest.approx(767.5)


def test_the_live_camera_copies_and_lets_go() -> None:
    library = FakeLibrary()
    with KinectCamera(library=lambda: library) as sensor:
        library.waiting = 2
        first, second = take(sensor, 1.0), take(sensor, 1.0)
        assert np.array_equal(first.depth, pattern(0)) and np.array_equal(second.depth, pattern(1))
        assert (sensor.intrinsics.width, sensor.intrinsics.height) == (WIDTH, HEIGHT)
    assert library.held == 0 and library.open_handles == 0


def test_live_frames_that_never_came_are_missing_in_the_numbers() -> None:
    library = FakeLibrary()
    with KinectCamera(library=lambda: library) as sensor:
        library.sent = 9
        numbers = []
        for skipped in (0, 0, 3, 0, -1):
            library.sent += skipped
            library.waiting = 1
            numbers.append(take(sensor, 1.0).number)
        # Two of the same time are two frames all the same.
        assert numbers == [0, 1, 5, 6, 7]


def test_the_live_cameras_failures_are_told_apart() -> None:
    library = FakeLibrary(count=0)
    sensor = KinectCamera(library=lambda: library)
    with pytest.raises(SensorUnavailable, match="plug one into"):
        sensor.open()
    library.count, library.busy = 1, True
    with pytest.raises(SensorUnavailable, match="busy"):
        sensor.open()
    library.busy = False
    sensor.open()
    library.gone = True
    start = time.monotonic()
    with pytest.raises(SensorDisconnected, match="unplugged"):
        take(sensor, 5.0)
    assert time.monotonic() - start < 0.5
    sensor.close()
    assert library.open_handles == 0
    with pytest.raises(SensorUnavailable, match="install libk4a"):
        load_libk4a("/nowhere/libk4a.so")
