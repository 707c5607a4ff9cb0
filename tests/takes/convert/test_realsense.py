"""RealSense files that the SDK's own recorder writes, read back by our reader and by the SDK."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.sensors.protocol import BadRecording
from engine.sensors.realsense_recording import RealSenseRecording, read_index
from engine.takes.convert import realsense
from engine.takes.convert.frames import Converted, all_frames
from engine.takes.convert.realsense import renew_bag, write_db3
from engine.types import DepthFrame, Intrinsics, LumbricalError
from tests.sensors.taking import colors
from tests.takes.convert.memory import MemoryRecording

rs = pytest.importorskip("pyrealsense2")

CAMERA = Intrinsics(64, 48, 49.136505, 49.22818, 31.334106, 23.805847)
#: s by the camera's clock, long after 1970: the file must tell them apart by a third of a frame, and more.
TIMES_S = [1.7e9 + gap for gap in (0.0, 1 / 90, 2 / 90, 0.9, 0.9 + 1 / 90, 0.9 + 2 / 90)]


def make_frames(times_s: list[float] | None = None, color: bool = False, unit_mm: float = 1.0) -> list[DepthFrame]:
    frames = []
    for number, time_s in enumerate(TIMES_S if times_s is None else times_s):
        rng = np.random.default_rng(number)
        depth = rng.integers(1, 65536, (48, 64), np.uint16)
        picture = rng.integers(0, 256, (48, 64, 3), np.uint8) if color else None
        frames.append(DepthFrame(depth, unit_mm, CAMERA, number, time_s, 0.0, color=picture))
    return frames


def write(path: Path, frames: list[DepthFrame], fps: float = 90.0) -> Converted:
    with MemoryRecording(frames, fps) as sensor:
        return write_db3(sensor, all_frames(sensor), path, origin="Somebody's camera; model=1")


@pytest.mark.parametrize("unit_mm", [1.0, 0.1, 0.25])
def test_our_reader_gets_everything_back(tmp_path: Path, unit_mm: float) -> None:
    frames = make_frames(color=True, unit_mm=unit_mm)
    assert write(tmp_path / "a.db3", frames) == Converted(len(frames))
    with RealSenseRecording(tmp_path / "a.db3", color=True) as sensor:
        assert sensor.frame_count == len(frames) and sensor.fps == 90 and sensor.warnings == ()
        found = list(all_frames(sensor))
        sensor.seek(4)
        found.append(next(all_frames(sensor)))
        lens = sensor.intrinsics
    for given, got in zip([*frames, frames[4]], found, strict=True):
        assert np.array_equal(got.depth, given.depth) and got.depth_unit_mm == unit_mm
        assert abs(got.device_time_s - given.device_time_s) < 1e-6
        assert got.number == given.number
        assert np.array_equal(colors(got), colors(given))
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(lens, name) == np.float32(getattr(CAMERA, name))


def test_the_sdk_plays_it(tmp_path: Path) -> None:
    """Through a pipeline, as its own viewer does."""
    frames = make_frames(unit_mm=0.25)
    write(tmp_path / "a.db3", frames)
    config, pipeline = rs.config(), rs.pipeline()
    config.enable_device_from_file(str(tmp_path / "a.db3"), repeat_playback=False)
    # Before it starts, or a busy computer may miss its first frames.
    config.resolve(rs.pipeline_wrapper(pipeline)).get_device().as_playback().set_real_time(False)
    profile = pipeline.start(config)
    try:
        device = profile.get_device()
        assert device.get_info(rs.camera_info.name) == "Somebody's camera model 1"
        assert device.first_depth_sensor().get_depth_scale() == np.float32(0.00025)
        # What the viewer's time line shows: the recording's length, not how long the conversion took.
        length_s = device.as_playback().get_duration().total_seconds()
        assert length_s == pytest.approx(TIMES_S[-1] - TIMES_S[0], abs=1e-3)
        lens = profile.get_stream(rs.stream.depth).as_video_stream_profile().get_intrinsics()
        assert (lens.width, lens.height, lens.fx) == (64, 48, np.float32(CAMERA.fx)) and not any(lens.coeffs)
        for given in frames:
            arrived, found = pipeline.try_wait_for_frames(2000)
            assert arrived
            depth = found.get_depth_frame()
            assert np.array_equal(np.asanyarray(depth.get_data()), given.depth)
            assert depth.get_frame_number() == given.number
            assert depth.get_timestamp() == pytest.approx(given.device_time_s * 1000, abs=1e-3)
    finally:
        pipeline.stop()


def test_more_than_may_wait_in_memory_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own times do not rise where it was paused; nothing may be mixed up by that."""
    monkeypatch.setattr(realsense, "_MOST_WAITING_BYTES", 10_000)
    frames = make_frames([number / 30 for number in range(60)], color=True)
    write(tmp_path / "a.db3", frames)
    for stream in ("Depth", "Color"):
        index = read_index(tmp_path / "a.db3", stream)
        assert [entry.number for entry in index] == list(range(60))
        due_ns = np.array([entry.offset_ns for entry in index])
        np.testing.assert_allclose(np.diff(due_ns), 1e9 / 30, atol=2)
    with RealSenseRecording(tmp_path / "a.db3") as sensor:
        for given, got in zip(frames, all_frames(sensor), strict=True):
            assert np.array_equal(got.depth, given.depth)


@pytest.mark.parametrize("times_s", [[5.0, 5.0, 5.0], [5.0, 1.0, 2.0], [-3.0, -2.0, -1.0]])
def test_a_clock_that_stands_still_or_runs_back_plays_in_order(tmp_path: Path, times_s: list[float]) -> None:
    frames = make_frames(times_s)
    write(tmp_path / "a.db3", frames, fps=10.0)
    with RealSenseRecording(tmp_path / "a.db3") as sensor:
        found = list(all_frames(sensor))
    assert [frame.device_time_s for frame in found] == times_s
    assert all(np.array_equal(got.depth, given.depth) for got, given in zip(found, frames, strict=True))


def test_colour_that_is_missing_now_and_then_stays_with_its_depth(tmp_path: Path) -> None:
    frames = make_frames([number / 30 for number in range(5)], color=True)
    frames[2] = replace(frames[2], color=None)
    write(tmp_path / "a.db3", frames)
    assert [entry.number for entry in read_index(tmp_path / "a.db3", "Color")] == [0, 1, 3, 4]
    with RealSenseRecording(tmp_path / "a.db3", color=True) as sensor:
        found = list(all_frames(sensor))
    for place in (0, 1, 3, 4):
        assert np.array_equal(colors(found[place]), colors(frames[place]))


def test_what_the_file_could_not_tell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match=r"depth unit is 0\.1255 mm"):
        write(tmp_path / "a.db3", make_frames(unit_mm=0.1255))
    with pytest.raises(LumbricalError, match="no frames"), MemoryRecording(make_frames()) as sensor:
        write_db3(sensor, iter(()), tmp_path / "a.db3")


def _without(table_rows: str) -> Callable[..., None]:
    """A _retime that first removes messages, as an SDK that could not write them would have."""
    true = realsense._retime

    def retime(path: Path, *rest: Any) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                f"DELETE FROM messages WHERE id IN (SELECT max(m.id) FROM messages m JOIN topics t ON"
                f" m.topic_id = t.id WHERE t.name LIKE '{table_rows}')"
            )
            database.commit()
        true(path, *rest)

    return retime


@pytest.mark.parametrize("lost", ["%Depth_0/image/data%", "%Depth_0/image/metadata", "%Color_0/image/data%"])
def test_frames_that_the_sdk_lost_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    monkeypatch.setattr(realsense, "_retime", _without(lost))
    with pytest.raises(LumbricalError, match=r"wrote 5 of 6 (depth|color) frames"):
        write(tmp_path / "a.db3", make_frames(color=True))


def test_a_disk_that_gets_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(LumbricalError, match="make room"):
        write(tmp_path / "a.db3", make_frames())


def test_a_source_that_fails_leaves_the_sdk_usable(tmp_path: Path) -> None:
    def failing() -> Iterator[DepthFrame]:
        yield from make_frames()
        raise BadRecording("the source is damaged")

    with MemoryRecording(make_frames()) as sensor:
        with pytest.raises(BadRecording):
            write_db3(sensor, failing(), tmp_path / "a.db3")
        assert write_db3(sensor, all_frames(sensor), tmp_path / "b.db3") == Converted(6)


def test_an_older_recording_is_left_to_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK makes no .bag files any more: what it would do with one is acted here."""
    write(tmp_path / "new.db3", make_frames())

    class Context:
        def convert_bag_to_db3(self, source: str, target: str) -> None:
            shutil.copy(source, target)

    (tmp_path / "junk.bag").write_bytes(b"#ROSBAG V2.0\njunk")
    with pytest.raises(BadRecording, match=r"junk.bag cannot be converted"):
        renew_bag(tmp_path / "junk.bag", tmp_path / "a.db3")
    with pytest.raises(BadRecording, match="does not exist"):
        renew_bag(tmp_path / "none.bag", tmp_path / "a.db3")
    monkeypatch.setattr(rs, "context", Context)
    (tmp_path / "new.db3").rename(tmp_path / "old.bag")
    assert renew_bag(tmp_path / "old.bag", tmp_path / "b.db3") == 6
