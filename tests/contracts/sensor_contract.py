"""What every sensor must do, whatever is behind it. A sensor's tests give a Case; the suite does the rest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from engine.sensors.protocol import EndOfStream, Sensor, SensorError
from engine.types import DepthFrame, Intrinsics, Side

TIMEOUT_S = 1.0


@dataclass
class Case:
    """A sensor under test. feed makes a camera's next frame ready; frames is how many a file holds."""

    sensor: Sensor
    feed: Callable[[], None] | None = None
    frames: int | None = None


def read(case: Case) -> DepthFrame:
    if case.feed:
        case.feed()
    frame = case.sensor.read(TIMEOUT_S)
    assert frame is not None
    return frame


class SensorContract:
    """Subclass it with a fixture `case`."""

    def test_follows_the_protocol(self, case: Case) -> None:
        with pytest.raises(SensorError):
            _ = case.sensor.intrinsics
        with case.sensor as sensor:
            assert isinstance(sensor, Sensor)
            assert isinstance(sensor.name, str) and sensor.name

    def test_a_frame_has_the_right_types(self, case: Case) -> None:
        with case.sensor as sensor:
            frame = read(case)
            assert isinstance(sensor.intrinsics, Intrinsics)
            assert frame.intrinsics == sensor.intrinsics
            assert frame.depth.dtype == np.uint16
            assert frame.depth.shape == (sensor.intrinsics.height, sensor.intrinsics.width)
            assert frame.depth.flags.c_contiguous and frame.depth.flags.writeable
            assert type(frame.depth_unit_mm) is float and 0.001 <= frame.depth_unit_mm <= 10
            assert type(frame.number) is int
            assert type(frame.device_time_s) is float and type(frame.host_time_s) is float
            assert abs(frame.host_time_s - time.monotonic()) < 5
            seen = frame.depth_mm()[frame.depth > 0]
            assert 50 < np.median(seen) < 10_000
            if frame.color is not None:
                assert frame.color.dtype == np.uint8 and frame.color.shape == (*frame.depth.shape, 3)
            assert sensor.side is None or isinstance(sensor.side, Side)
            assert sensor.fps >= 0 and isinstance(sensor.warnings, tuple)

    def test_a_frame_owns_its_pixels(self, case: Case) -> None:
        with case.sensor:
            first = read(case)
            before = first.depth.copy()
            second = read(case)
            assert np.array_equal(first.depth, before), "reading on changed an earlier frame"
            assert not np.shares_memory(first.depth, second.depth)
            kept = second.depth.copy()
            first.depth[:] = 0
            assert np.array_equal(second.depth, kept)
            third = read(case)
            assert third.depth.any()

    def test_frames_outlive_the_sensor(self, case: Case) -> None:
        with case.sensor:
            frame = read(case)
            before = frame.depth.copy()
        assert np.array_equal(frame.depth, before)

    def test_numbers_and_times_rise(self, case: Case) -> None:
        with case.sensor:
            frames = [read(case) for _ in range(3)]
        for earlier, later in itertools.pairwise(frames):
            assert later.number > earlier.number
            assert later.device_time_s > earlier.device_time_s
            assert later.host_time_s >= earlier.host_time_s

    def test_reading_needs_an_open_sensor(self, case: Case) -> None:
        with pytest.raises(SensorError):
            case.sensor.read()
        case.sensor.open()
        case.sensor.close()
        with pytest.raises(SensorError):
            case.sensor.read()

    def test_opening_and_closing_twice_does_nothing(self, case: Case) -> None:
        case.sensor.close()
        case.sensor.open()
        case.sensor.open()
        read(case)
        case.sensor.close()
        case.sensor.close()

    def test_it_can_be_opened_again(self, case: Case) -> None:
        with case.sensor:
            first = read(case)
        with case.sensor:
            again = read(case)
        if not case.sensor.is_live:
            assert again.number == first.number == 0
            assert np.array_equal(again.depth, first.depth)

    def test_a_time_out_is_kept(self, case: Case) -> None:
        with case.sensor as sensor:
            if not case.feed or not sensor.is_live:
                pytest.skip("frames of this source are always ready")
            for timeout_s in (0.0, 0.05, 0.3):
                start = time.monotonic()
                assert sensor.read(timeout_s) is None
                took = time.monotonic() - start
                assert timeout_s - 0.01 <= took < timeout_s + 0.15

    def test_a_file_ends(self, case: Case) -> None:
        if case.frames is None:
            assert case.sensor.is_live
            return
        with case.sensor as sensor:
            assert sensor.frame_count == case.frames
            numbers = [read(case).number for _ in range(case.frames)]
            assert numbers == list(range(case.frames))
            for _ in range(2):
                with pytest.raises(EndOfStream):
                    sensor.read(TIMEOUT_S)
            sensor.seek(0)
            assert read(case).number == 0

    def test_seeking_is_exact(self, case: Case) -> None:
        with case.sensor as sensor:
            if case.frames is None:
                with pytest.raises(SensorError):
                    sensor.seek(0)
                return
            frames = [read(case) for _ in range(case.frames)]
            last = case.frames - 1
            for index in (last, 0, last // 2, last // 2, last, 1, 0):
                sensor.seek(index)
                frame = read(case)
                assert frame.number == index
                assert frame.device_time_s == pytest.approx(frames[index].device_time_s, abs=1e-6)
                assert np.array_equal(frame.depth, frames[index].depth)
            for index in (-1, case.frames):
                with pytest.raises(SensorError):
                    sensor.seek(index)
