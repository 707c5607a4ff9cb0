"""The drawing process: pictures of the size asked for, layers in them, its death told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.display import display_problem
from app.viewer.camera import OrbitCamera
from app.viewer.render_process import RenderProcess
from app.viewer.scene import Layers, SceneInput
from tests.app.fakes import open_hand, tetrahedra

ROOT = Path(__file__).resolve().parents[3]
NOTHING = Layers(False, False, False, False)


@pytest.fixture
def process() -> Iterator[RenderProcess]:
    if display_problem() is not None:
        pytest.skip(f"needs a display: {display_problem()}")
    process = RenderProcess()
    process.set_faces(tetrahedra())
    yield process
    process.stop()


def picture(process: RenderProcess, layers: Layers) -> np.ndarray:
    camera = OrbitCamera()
    camera.target = open_hand().joints.mean(0).astype(float)
    assert process.submit(SceneInput(camera.pose(), layers, geometry=open_hand()))
    drawn = process.poll(30.0)
    assert drawn is not None, process.failure
    return drawn[..., :3].astype(int)


def test_pictures_have_the_size_asked_for_and_show_the_layers(process: RenderProcess) -> None:
    assert not process.submit(SceneInput(OrbitCamera().pose(), NOTHING)), "a size is needed first"
    assert process.resize(320, 240)
    empty = picture(process, NOTHING)
    assert empty.shape == (240, 320, 3)
    with_mesh = picture(process, Layers(False, False, True, False))
    with_skeleton = picture(process, Layers(True, False, False, False))
    assert np.abs(with_mesh - empty).max(-1).mean() > 0.5
    assert np.abs(with_skeleton - with_mesh).max(-1).mean() > 0.5
    # Switched off again, nothing of it is left.
    assert np.abs(picture(process, NOTHING) - empty).max() <= 2
    assert process.resize(200, 160)
    assert picture(process, NOTHING).shape == (160, 200, 3)


def test_one_picture_at_a_time(process: RenderProcess) -> None:
    process.resize(160, 120)
    scene = SceneInput(OrbitCamera().pose(), NOTHING)
    assert process.submit(scene)
    assert process.busy and not process.submit(scene) and not process.resize(100, 100)
    assert process.poll(30.0) is not None
    assert not process.busy


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_drawing_interrupts_nobody(process: RenderProcess) -> None:
    process.resize(160, 120)
    picture(process, NOTHING)
    assert process.pid is not None
    assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH


def test_a_killed_process_is_told_and_stop_stays_short(process: RenderProcess) -> None:
    process.resize(160, 120)
    picture(process, NOTHING)
    pid = process._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    process.poll(5.0)
    assert process.failure is not None and "driver" in process.failure.line
    began = time.monotonic()
    process.stop()
    assert time.monotonic() - began < 5


def test_the_process_ends_without_taking_open3d_apart() -> None:
    code = (
        "import atexit, multiprocessing\n"
        "from app.viewer.render_process import _draw_until_told\n"
        "atexit.register(print, 'taken apart')\n"
        "ours, theirs = multiprocessing.Pipe()\n"
        "ours.close()\n"
        "_draw_until_told(theirs, 2.0)\n"
        "print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
