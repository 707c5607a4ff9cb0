"""The player's controls, on a synthetic file whose frames tell their place."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest

from engine.sensors.playback import Playback
from engine.sensors.protocol import EndOfStream, SensorError
from engine.sensors.synthetic import SyntheticSensor
from engine.types import Intrinsics
from tests.sensors.taking import take

SMALL = Intrinsics(64, 48, 48.0, 48.0, 32.0, 24.0)


def player(frames: int = 10, fps: float = 50, **options: Any) -> Playback:
    return Playback(SyntheticSensor(intrinsics=SMALL, fps=fps, duration_s=frames / fps), **options)


def test_real_time_keeps_the_recordings_pace() -> None:
    for speed in (1.0, 3.0):
        with player(11, speed=speed) as playback:
            start = time.monotonic()
            for _ in range(11):
                assert playback.read(1.0) is not None
            assert 0.2 / speed - 0.01 <= time.monotonic() - start < 0.2 / speed + 0.1


def test_as_fast_as_possible() -> None:
    with player(50, fps=10, real_time=False) as playback:
        start = time.monotonic()
        for _ in range(50):
            take(playback)
        assert time.monotonic() - start < 1.0


def test_waiting_ends_with_the_time_out_and_loses_nothing() -> None:
    with player(3, fps=5) as playback:
        assert take(playback, 0.01).number == 0
        start = time.monotonic()
        assert playback.read(0.05) is None
        assert time.monotonic() - start < 0.15
        assert take(playback, 1.0).number == 1


def test_a_slow_reader_gets_no_burst() -> None:
    with player(20, fps=20) as playback:
        take(playback)
        time.sleep(0.6)
        start = time.monotonic()
        for _ in range(10):
            take(playback, 1.0)
        assert time.monotonic() - start > 0.15


def test_pause_step_and_resume() -> None:
    with player() as playback:
        assert take(playback).number == 0
        playback.pause()
        assert playback.read(0.05) is None and playback.paused
        for steps, place in ((1, 1), (3, 4), (-2, 2), (-9, 0), (99, 9)):
            playback.step(steps)
            assert take(playback, 0.05).number == place == playback.position
            assert playback.read(0.02) is None
        playback.seek(5)
        playback.resume()
        assert [take(playback, 1.0).number for _ in range(3)] == [5, 6, 7]


def test_seeking_while_another_thread_waits_wakes_it() -> None:
    with player(10, fps=1) as playback:
        take(playback)
        threading.Timer(0.1, playback.seek, (7,)).start()
        start = time.monotonic()
        assert take(playback, 2.0).number == 7
        assert time.monotonic() - start < 0.5


def test_the_end_comes_again_until_a_seek() -> None:
    with player(2, real_time=False) as playback:
        take(playback)
        take(playback)
        for _ in range(2):
            with pytest.raises(EndOfStream):
                take(playback)
        assert playback.ended
        playback.seek(1)
        assert take(playback).number == 1


def test_a_loop_goes_on_rising() -> None:
    with player(4, loop=True, real_time=False) as playback:
        frames = [take(playback) for _ in range(10)]
        assert [frame.number for frame in frames] == list(range(10))
        gaps = [b.device_time_s - a.device_time_s for a, b in itertools.pairwise(frames)]
        assert gaps == pytest.approx([0.02] * 9)
        assert playback.position == 1
        playback.loop = False
        playback.seek(3)
        take(playback)
        with pytest.raises(EndOfStream):
            take(playback)


def test_wrong_use_is_told() -> None:
    with pytest.raises(SensorError, match="live"):
        Playback(SyntheticSensor(live=True))
    with player() as playback:
        for speed in (0, -1, 1000):
            with pytest.raises(SensorError, match="speed"):
                playback.speed = speed
        with pytest.raises(SensorError, match="no frame 10"):
            playback.seek(10)
