"""A sensor in a child process: the same frames, and nothing left behind however a driver or a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.benches.shared_memory import nameless_blocks
from engine.sensors.faults import Fault, FaultControl
from engine.sensors.isolated import IsolatedSensor
from engine.sensors.protocol import Sensor, SensorDisconnected, SensorUnavailable
from engine.types import DepthFrame
from tests.app.fakes import wait_until
from tests.sensors.faulty_cameras import camera, colored, faulty, raising

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def first_frame(sensor: Sensor, limit_s: float = 30.0) -> DepthFrame:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        frame = sensor.read(0.2)
        if frame is not None:
            return frame
    raise AssertionError("no frame came")


def disconnects(sensor: Sensor, limit_s: float = 30.0) -> str:
    end_s = time.monotonic() + limit_s
    with pytest.raises(SensorDisconnected) as caught:
        while time.monotonic() < end_s:
            sensor.read(0.1)
    return str(caught.value)


def test_pixels_times_and_colour_are_those_of_the_camera() -> None:
    with IsolatedSensor(colored) as sensor:
        assert sensor.process_id not in (None, os.getpid())
        frame = first_frame(sensor)
        later = first_frame(sensor)
    twin = colored()
    twin.open()
    twin._next = frame.number
    expected = twin._quantise(twin._render(frame.number / 60))
    assert np.array_equal(frame.depth * 0.25, expected * 1.0 * 0.25) and frame.depth_unit_mm == 0.25
    assert frame.color is not None and (frame.color == frame.number % 256).all()
    assert frame.device_time_s == frame.number / 60 and frame.host_time_s <= later.host_time_s <= time.monotonic()


def test_a_hung_driver_is_killed_and_the_camera_opens_again() -> None:
    control = FaultControl()
    with IsolatedSensor(partial(faulty, control), hang_s=0.5) as sensor:
        first_frame(sensor)
        child = sensor.process_id
        assert child is not None
        control.inject(Fault.HANG, 600.0)
        assert "does not answer" in disconnects(sensor)
        assert wait_until(lambda: not alive(child))
        assert sensor.process_id is None
        control.clear()
        sensor.close()
        sensor.open()
        first_frame(sensor)
        assert sensor.process_id != child


def test_an_open_that_hangs_is_given_up_and_can_be_aborted() -> None:
    control = FaultControl()
    control.inject(Fault.HANG_OPEN, 600.0)
    sensor = IsolatedSensor(partial(faulty, control), open_s=4.0)
    with pytest.raises(SensorUnavailable, match="does not answer while opening"):
        sensor.open()
    assert sensor.process_id is None
    patient = IsolatedSensor(partial(faulty, control), open_s=600.0)
    threading.Timer(0.5, patient.abort).start()
    with pytest.raises(SensorUnavailable):
        patient.open()
    assert patient.process_id is None
    patient.close()
    control.clear()
    with patient:
        first_frame(patient)


def test_a_child_that_dies_is_a_camera_that_is_lost() -> None:
    with IsolatedSensor(camera) as sensor:
        first_frame(sensor)
        assert sensor.process_id is not None
        os.kill(sensor.process_id, signal.SIGKILL)
        assert "ended by itself (exit code -9)" in disconnects(sensor)


def test_whatever_a_driver_raises_is_one_line_and_the_camera_lost() -> None:
    with IsolatedSensor(raising) as sensor:
        line = disconnects(sensor)
    assert "RuntimeError: error code 12" in line and "\n" not in line


def test_a_camera_that_is_not_there_is_looked_for_in_the_same_process() -> None:
    control = FaultControl()
    control.inject(Fault.UNPLUG, 600.0)
    sensor = IsolatedSensor(partial(faulty, control))
    children = set()
    for _ in range(3):
        with pytest.raises(SensorUnavailable, match="unplugged"):
            sensor.open()
        children.add(sensor.process_id)
    assert len(children) == 1 and None not in children
    control.clear()
    sensor.open()
    first_frame(sensor)
    assert children == {sensor.process_id}
    sensor.close()
    assert sensor.process_id is None and not alive(children.pop() or 0)


def test_time_outs_are_kept_while_it_is_silent() -> None:
    control = FaultControl()
    with IsolatedSensor(partial(faulty, control)) as sensor:
        first_frame(sensor)
        control.inject(Fault.STALL, 600.0)
        wait_until(lambda: sensor.read(0.0) is None)
        for timeout_s in (0.0, 0.05, 0.3):
            start_s = time.monotonic()
            assert sensor.read(timeout_s) is None
            assert timeout_s - 0.01 <= time.monotonic() - start_s < timeout_s + 0.5


def test_opening_and_closing_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    def cycle() -> None:
        with IsolatedSensor(camera) as sensor:
            first_frame(sensor)
            assert nameless_blocks() > 0

    cycle()
    threads, files, memory = threading.active_count(), len(os.listdir("/proc/self/fd")), shared_memory()
    blocks = nameless_blocks()
    for _ in range(2):
        cycle()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)
    assert shared_memory() <= memory and nameless_blocks() == blocks
    assert capfd.readouterr().err == ""


def test_a_sensor_that_is_forgotten_takes_its_process_along() -> None:
    sensor = IsolatedSensor(camera)
    sensor.open()
    child = sensor.process_id
    assert child is not None and alive(child)
    del sensor
    assert wait_until(lambda: not alive(child))


PARENT = """
import sys, time
from functools import partial
from engine.sensors.faults import Fault, FaultControl
from engine.sensors.isolated import IsolatedSensor
from tests.sensors.faulty_cameras import faulty
if __name__ == "__main__":
    control = FaultControl()
    sensor = IsolatedSensor(partial(faulty, control), hang_s=600)
    sensor.open()
    while sensor.read(0.2) is None:
        pass
    if sys.argv[1] == "hung":
        control.inject(Fault.HANG, 600)
        sensor.read(0.2)
        sensor.read(0.2)
    print(sensor.process_id, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("state", ["reading", "hung"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_however_the_parent_ends_its_child_and_memory_go(state: str, end: int, tmp_path: Path) -> None:
    before = shared_memory()
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen([sys.executable, str(script), state], stdout=subprocess.PIPE, env=environment, text=True)
    assert parent.stdout is not None
    with parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(end)
        parent.wait(30)
    assert wait_until(lambda: not alive(child), 30)
    assert shared_memory() <= before
