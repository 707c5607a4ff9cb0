"""Folded stacks into lanes, lanes into a picture; and the sampler on this very process."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from app.benches import flame
from app.benches.flame import FlameGraph, as_svg, fold
from engine.types import LumbricalError

APP = 'process 7:"python main.py; bench live"'
BOOT = "Thread._bootstrap (threading.py);run (threading.py)"
FOLDED = f"""{APP};thread (8): lumbrical-tracking;{BOOT};track (engine/tracker.py);fit (engine/fitting/fitter.py) 120
{APP};thread (8): lumbrical-tracking;{BOOT};track (engine/tracker.py);run (onnxruntime/session.py) 60
{APP};thread (7): MainThread;<module> (main.py);paintEvent (app/ui/view3d.py) 30
{APP};thread (7): MainThread;<module> (main.py);_ask (app/ui/view3d.py) 20
{APP};thread (9): tqdm_monitor;{BOOT};run (tqdm/monitor.py) 5
{APP};process 11:"python -c spawn_main(fd=1; x)";thread (11): MainThread;draw (app/viewer/open3d_view.py) 90
not a stack
"""


def test_a_lane_for_each_thread_that_matters_without_its_trunk() -> None:
    lanes = fold(FOLDED)
    assert list(lanes) == ["tracking thread", "main thread: window", "drawing process"]
    tracking = lanes["tracking thread"]
    assert tracking.samples == 180
    assert list(tracking.children) == ["track (engine/tracker.py)"]
    below = tracking.children["track (engine/tracker.py)"].children
    assert {name: node.samples for name, node in below.items()} == {
        "fit (engine/fitting/fitter.py)": 120,
        "run (onnxruntime/session.py)": 60,
    }
    assert list(lanes["drawing process"].children) == ["draw (app/viewer/open3d_view.py)"]
    assert fold("") == {}


def test_the_picture_is_as_wide_as_the_time_and_escapes_names() -> None:
    svg = as_svg(fold(FOLDED + f"{APP};thread (8): lumbrical-tracking;<lambda> & co (app/x.py) 20\n"))
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    titled = {group.findtext(f"{space}title"): group.find(f"{space}rect") for group in root.iter(f"{space}g")}
    fit = titled["fit (engine/fitting/fitter.py): 240 ms"]
    assert fit is not None and float(fit.get("width", "0")) == pytest.approx(1400 * 120 / 500, abs=1)
    assert fit.get("fill") == flame._COLORS["engine"]
    assert "<lambda> & co (app/x.py): 40 ms" in titled
    assert "tracking thread: 40 % at work" in svg


def test_this_process_is_sampled(tmp_path: Path) -> None:
    try:
        graph = FlameGraph(tmp_path / "flame.svg", tmp_path)
    except LumbricalError:
        pytest.skip("py-spy is not installed")
    enough = threading.Event()

    def burn_visibly() -> None:
        while not enough.is_set():
            sum(range(1000))

    busy = threading.Thread(target=burn_visibly, name="lumbrical-tracking")
    busy.start()
    try:
        while not graph.sampled():
            enough.wait(0.05)
    finally:
        enough.set()
        busy.join()
    try:
        graph.write()
    except LumbricalError as error:
        if "kernel.yama" in str(error):
            pytest.skip(str(error))
        raise
    assert "burn_visibly" in (tmp_path / "flame.svg").read_text()


def test_what_keeps_the_sampler_from_seeing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("app.benches.flame.sys.executable", str(tmp_path / "python"))
    with pytest.raises(LumbricalError, match="pip install py-spy"):
        FlameGraph(tmp_path / "flame.svg", tmp_path)
    program = tmp_path / "py-spy"
    for said, words in (
        ("Error: Permission denied", "kernel.yama.ptrace_scope"),
        ("Error: no such process", "no such"),
    ):
        program.write_text(f"#!/bin/sh\necho '{said}'\nexit 1\n")
        program.chmod(0o755)
        graph = FlameGraph(tmp_path / "flame.svg", tmp_path)
        while not graph.sampled():
            threading.Event().wait(0.01)
        with pytest.raises(LumbricalError, match=words):
            graph.write()
