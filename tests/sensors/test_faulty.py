"""Every fault, as the sensor itself shows it; and how faults are written."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from engine.sensors import faulty as faulty_module
from engine.sensors.discover import open_source
from engine.sensors.faults import (
    DEFAULT_SECONDS,
    FAULT_WORDS,
    Fault,
    FaultControl,
    PlannedFault,
    parse_timetable,
    random_timetable,
)
from engine.sensors.faulty import FaultySensor, control_of
from engine.sensors.protocol import BadRecording, SensorDisconnected, SensorError, SensorUnavailable
from engine.types import DepthFrame
from tests.sensors.faulty_cameras import SMALL, camera, faulty


def frames_of(sensor: FaultySensor, count: int, limit_s: float = 20.0) -> list[DepthFrame]:
    frames: list[DepthFrame] = []
    end_s = time.monotonic() + limit_s
    while len(frames) < count:
        assert time.monotonic() < end_s, f"only {len(frames)} of {count} frames came"
        frame = sensor.read(0.2)
        if frame is not None:
            frames.append(frame)
    return frames


def with_fault(fault: Fault, count: int) -> list[DepthFrame]:
    control = FaultControl()
    with faulty(control) as sensor:
        control.inject(fault, 60.0)
        return frames_of(sensor, count)


def test_without_a_fault_it_is_the_camera() -> None:
    with faulty(FaultControl()) as sensor, camera() as plain:
        frame, twin = frames_of(sensor, 1)[0], plain.read(1.0)
        assert twin is not None and np.array_equal(frame.depth, twin.depth) and frame.number == 0
        assert sensor.is_live and sensor.warnings == () and "faulty" in sensor.name


def test_unplugged_it_is_lost_and_cannot_be_opened_until_it_is_back() -> None:
    control = FaultControl()
    sensor = faulty(control)
    with sensor:
        frames_of(sensor, 2)
        control.inject(Fault.UNPLUG, 60.0)
        with pytest.raises(SensorDisconnected, match="unplugged"):
            frames_of(sensor, 1)
    with pytest.raises(SensorUnavailable, match="unplugged"):
        sensor.open()
    control.clear()
    with sensor:
        frames_of(sensor, 2)


def test_stalled_it_keeps_the_time_out_and_sends_nothing() -> None:
    control = FaultControl()
    with faulty(control) as sensor:
        frames_of(sensor, 1)
        control.inject(Fault.STALL, 60.0)
        for timeout_s in (0.0, 0.05, 0.3):
            start_s = time.monotonic()
            assert sensor.read(timeout_s) is None
            assert timeout_s - 0.01 <= time.monotonic() - start_s < timeout_s + 0.5
        control.clear()
        frames_of(sensor, 2)


def test_on_usb_2_fewer_frames_come_and_a_warning() -> None:
    control = FaultControl()
    with faulty(control, fps=90) as sensor:
        control.inject(Fault.USB2, 60.0)
        first, *_, last = frames_of(sensor, 8)
        assert last.device_time_s - first.device_time_s >= 7 * 3 / 90 - 1e-6
        assert any("USB 2" in line for line in sensor.warnings)
        control.clear()
        assert sensor.warnings == ()


@pytest.mark.parametrize(("fault", "sign"), [(Fault.CLOCK_AHEAD, 1), (Fault.CLOCK_BACK, -1)])
def test_the_clock_jumps_and_jumps_back(fault: Fault, sign: int) -> None:
    control = FaultControl()
    with faulty(control) as sensor:
        before = frames_of(sensor, 2)[-1]
        control.inject(fault, 60.0)
        during = frames_of(sensor, 2)[-1]
        control.clear()
        after = frames_of(sensor, 2)[-1]
    assert sign * (during.device_time_s - before.device_time_s) > 90
    assert abs(after.device_time_s - before.device_time_s) < 30
    assert before.host_time_s < during.host_time_s < after.host_time_s


def test_frames_come_twice_each_with_its_own_pixels() -> None:
    frames = with_fault(Fault.DUPLICATE, 6)
    for one, copy in zip(frames[::2], frames[1::2], strict=True):
        assert one.number == copy.number and one.device_time_s == copy.device_time_s
        assert np.array_equal(one.depth, copy.depth) and not np.shares_memory(one.depth, copy.depth)


def test_frames_come_in_the_wrong_order_but_all_of_them() -> None:
    frames = with_fault(Fault.REORDER, 8)
    numbers = [frame.number for frame in frames]
    assert numbers != sorted(numbers) and sorted(numbers) == list(range(min(numbers), min(numbers) + 8))
    assert [frame.host_time_s for frame in frames] == sorted(frame.host_time_s for frame in frames)


def test_half_and_empty_pictures() -> None:
    for frame in with_fault(Fault.HALF, 2):
        assert frame.depth[:24].all() and not frame.depth[24:].any()
    for frame in with_fault(Fault.ZERO, 2):
        assert not frame.depth.any()


def test_the_resolution_changes_and_the_intrinsics_with_it() -> None:
    control = FaultControl()
    with faulty(control) as sensor:
        whole = frames_of(sensor, 1)[0]
        control.inject(Fault.RESIZE, 60.0)
        small = frames_of(sensor, 1)[0]
        assert sensor.intrinsics == small.intrinsics
        control.clear()
        assert frames_of(sensor, 1)[0].intrinsics == SMALL
    assert whole.intrinsics == SMALL and small.depth.shape == (24, 32)
    # The same point of the scene: column 20 of the small picture is column 40 of the whole one.
    camera_now = small.intrinsics
    assert (20 - camera_now.cx) / camera_now.fx == pytest.approx((40 - SMALL.cx) / SMALL.fx)
    assert (10 - camera_now.cy) / camera_now.fy == pytest.approx((20 - SMALL.cy) / SMALL.fy)


def test_one_frame_in_twenty_is_lost_and_the_numbers_tell() -> None:
    control = FaultControl()
    control.inject(Fault.DROP, 60.0)
    with FaultySensor(camera(fps=1000), control, seed=1) as sensor:
        numbers = [frame.number for frame in frames_of(sensor, 400)]
    lost = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert 5 <= lost <= 45 and numbers == sorted(set(numbers))


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_OPEN])
def test_a_driver_that_hangs_does_not_return(fault: Fault) -> None:
    control = FaultControl()
    sensor = faulty(control)
    if fault is Fault.HANG:
        sensor.open()
    control.inject(fault, 60.0)
    ended = threading.Event()

    def call() -> None:
        with pytest.raises(SensorDisconnected):
            (sensor.read if fault is Fault.HANG else sensor.open)()
        ended.set()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert not ended.wait(0.4)
    sensor.close()
    assert ended.wait(20)
    thread.join()


def test_a_recording_comes_as_a_camera_whose_clock_goes_on() -> None:
    control = FaultControl()
    with FaultySensor(open_source("demo"), control) as sensor:
        assert sensor.is_live and sensor.frame_count is None
        first = frames_of(sensor, 1)[0]
        control.inject(Fault.STALL, 60.0)
        time.sleep(0.5)
        control.clear()
        second = frames_of(sensor, 1)[0]
    assert second.number == first.number + 1
    assert second.device_time_s - first.device_time_s == pytest.approx(second.host_time_s - first.host_time_s, abs=0.4)


def test_a_timetable_is_kept() -> None:
    unplug, stall = parse_timetable("unplug@5+3/20, stall@1.5")
    assert unplug == PlannedFault(Fault.UNPLUG, 5, 3, 20)
    assert stall == PlannedFault(Fault.STALL, 1.5, DEFAULT_SECONDS[Fault.STALL])
    assert [unplug.is_on(t) for t in (4.9, 5, 7.9, 8, 24.9, 25, 28)] == [False, True, True, False, False, True, False]
    assert [stall.is_on(t) for t in (1.4, 1.5, 4.4, 4.6, 100)] == [False, True, True, False, False]


def test_faults_without_times_take_turns() -> None:
    turns = parse_timetable("unplug,zero,hang")
    for second in range(5, 300):
        assert sum(planned.is_on(second + 0.01) for planned in turns) <= 1
    for planned in turns:
        assert sum(planned.is_on(0.25 * quarter) for quarter in range(1200)) > 5


def test_random_faults_are_the_same_for_the_same_seed_and_apart() -> None:
    planned = random_timetable(7)
    assert planned == random_timetable(7) == parse_timetable("random@7") != random_timetable(8)
    assert {one.fault for one in planned} == set(Fault)
    for one, following in itertools.pairwise(planned):
        assert following.at_s >= one.at_s + one.seconds + 2.9


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("faulty:melt:demo", "is no fault: give KIND"),
        ("faulty:stall@:demo", "is no fault"),
        ("faulty:stall@1+0:demo", "lasts above 0 s"),
        ("faulty:stall@1+5/4:demo", "less than its period"),
        ("faulty:random@x:demo", "seed must be a whole number"),
        ("faulty:random@:demo", "seed must be a whole number"),
        ("faulty:unplug,,stall:demo", "no fault"),
        ("faulty:random@7,stall:demo", "must stand alone"),
        ("faulty:stall", "is faulty:FAULTS:SOURCE"),
        ("faulty:stall:", "is faulty:FAULTS:SOURCE"),
        ("faulty", "is faulty:FAULTS:SOURCE"),
        ("faulty:stall:faulty:drop:demo", "all faults of a camera at once"),
    ],
)
def test_what_is_written_wrong_is_said_in_one_line(spec: str, words: str) -> None:
    with pytest.raises(SensorError, match=words) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="does not exist"):
        open_source(f"faulty:stall:{tmp_path / 'none'}")


def test_a_camera_that_is_opened_again_is_in_the_same_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulty_module, "_controls", {})
    spec = "faulty::synthetic"
    control_of(spec).inject(Fault.UNPLUG, 60.0)
    for _ in range(2):
        with pytest.raises(SensorUnavailable):
            open_source(spec).open()
    with open_source("faulty:drop@1:synthetic") as other:
        assert other.read(20.0) is not None


def test_every_fault_is_told_in_words_and_in_the_manual() -> None:
    text = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    for fault in Fault:
        assert FAULT_WORDS[fault] and f"| `{fault.value}` |" in text
