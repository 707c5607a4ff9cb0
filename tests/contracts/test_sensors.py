"""Every sensor, through the one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.sensors.faulty import FaultySensor
from engine.sensors.isolated import IsolatedSensor
from engine.sensors.kinect import KinectRecording
from engine.sensors.kinect_live import KinectCamera
from engine.sensors.playback import Playback
from engine.sensors.protocol import Sensor
from engine.sensors.realsense import RealSenseCamera
from engine.sensors.realsense_recording import RealSenseRecording
from engine.sensors.sequence_folder import SequenceFolder, write_sequence
from engine.sensors.synthetic import SyntheticSensor
from engine.takes.facts import TakeInfo
from engine.takes.source import TakeSource
from engine.takes.writer import TakeWriter, WriterConfig
from engine.types import Intrinsics
from tests.contracts.sensor_contract import Case, SensorContract

SMALL = Intrinsics(64, 48, 48.0, 48.0, 32.0, 24.0)
FRAMES = 12


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


def _synthetic(live: bool = False) -> SyntheticSensor:
    return SyntheticSensor(intrinsics=SMALL, duration_s=None if live else FRAMES / 30, live=live)


def _folder(files: Path) -> Path:
    folder = files / "sequence"
    if not folder.exists():
        with _synthetic() as sensor:
            write_sequence(folder, [sensor.read() or pytest.fail() for _ in range(FRAMES)], fps=30)
    return folder


def _take(files: Path) -> Path:
    path = files / "take.mcap"
    if not path.exists():
        writer = TakeWriter(path, TakeInfo(fps=30), WriterConfig(chunk_bytes=20_000, min_free_bytes=0))
        with _synthetic() as sensor:
            for _ in range(FRAMES):
                writer.write_frame(sensor.read() or pytest.fail())
        writer.close()
    return path


def _db3(files: Path, color: bool) -> Path:
    fake = pytest.importorskip("tests.sensors.fake_realsense")
    path = files / f"color{color}.db3"
    return path if path.exists() else fake.record(path, FRAMES, color=color)


def _mkv(files: Path) -> Path:
    pytest.importorskip("av")
    from tests.sensors.fake_kinect import write_mkv

    path = files / "kinect.mkv"
    return path if path.exists() else write_mkv(path, list(range(FRAMES)))


def _realsense(color: bool) -> Case:
    fake = pytest.importorskip("tests.sensors.fake_realsense")
    camera = fake.SoftwareCamera(color=color)
    numbers = iter(range(1, 1000))
    sensor = RealSenseCamera(context_factory=camera.context, color=color)
    return Case(sensor, feed=lambda: camera.push(next(numbers)))


def _kinect_live() -> Case:
    from tests.sensors.fake_kinect import FakeLibrary

    library = FakeLibrary()

    def feed() -> None:
        library.waiting += 1

    return Case(KinectCamera(library=lambda: library), feed=feed)


def _file(make: Callable[[Path], Sensor]) -> Callable[[Path], Case]:
    return lambda files: Case(make(files), frames=FRAMES)


CASES: dict[str, Callable[[Path], Case]] = {
    "synthetic": _file(lambda _: _synthetic()),
    "synthetic live": lambda _: Case(_synthetic(live=True)),
    "sequence folder": _file(lambda files: SequenceFolder(_folder(files))),
    "take": _file(lambda files: TakeSource(_take(files))),
    "playback of a take": _file(lambda files: Playback(TakeSource(_take(files)), real_time=False)),
    "realsense live": lambda _: _realsense(False),
    "realsense live with colour": lambda _: _realsense(True),
    "realsense recording": _file(lambda files: RealSenseRecording(_db3(files, False))),
    "realsense recording with colour": _file(lambda files: RealSenseRecording(_db3(files, True), color=True)),
    "kinect recording": _file(lambda files: KinectRecording(_mkv(files))),
    "kinect live": lambda _: _kinect_live(),
    "playback": _file(lambda files: Playback(SequenceFolder(_folder(files)), real_time=False)),
    "playback in real time": _file(lambda files: Playback(SequenceFolder(_folder(files)), speed=4)),
    "faulty recording": lambda files: Case(FaultySensor(SequenceFolder(_folder(files)))),
    "faulty camera": lambda _: Case(FaultySensor(_synthetic(live=True))),
    "isolated camera": lambda _: Case(IsolatedSensor(partial(SyntheticSensor, intrinsics=SMALL, live=True))),
    "isolated recording": lambda files: Case(IsolatedSensor(partial(SequenceFolder, _folder(files))), frames=FRAMES),
    "playback of a recording": _file(lambda files: Playback(RealSenseRecording(_db3(files, False)), real_time=False)),
}


class TestSensors(SensorContract):
    @pytest.fixture(params=CASES)
    def case(self, request: pytest.FixtureRequest, files: Path) -> Iterator[Case]:
        case = CASES[request.param](files)
        yield case
        case.sensor.close()


def test_the_contract_sees_a_sensor_that_shares_its_pixels(files: Path) -> None:
    class Sharing(SyntheticSensor):
        shared = np.zeros((48, 64), np.uint16)

        def _quantise(self, depth_mm):  # type: ignore[no-untyped-def]
            self.shared[:] = super()._quantise(depth_mm)
            return self.shared

    with pytest.raises(AssertionError):
        SensorContract().test_a_frame_owns_its_pixels(Case(Sharing(intrinsics=SMALL, duration_s=1)))
