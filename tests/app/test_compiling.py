"""Loops are compiled before a window opens, once, and again where their sources are others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

from app import compiling
from app.compiling import compile_loops
from app.config import DEMO_SOURCE
from app.runtime.preloaded import load_frames
from app.runtime.sources import open_recording
from engine.tracker import Tracker


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Sources of an engine; what is compiled is this one's own, which is there already."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "fit.py").write_text("@compiled\ndef fit(): ...\n")
    (folder / "other.py").write_text("def other(): ...\n")
    monkeypatch.setattr(compiling, "_ENGINE", folder)
    return folder


def _later(file: Path) -> None:
    """As if it had been written anew."""
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_once_and_again_for_other_sources(sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_loops()
    assert capsys.readouterr().err == "lumbrical: compiling for this processor, once: some ten seconds\n"
    _later(sources / "other.py")
    compile_loops()
    assert capsys.readouterr().err == ""
    _later(sources / "fit.py")
    compile_loops()
    assert "compiling" in capsys.readouterr().err


def test_another_numba_compiles_anew(
    sources: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_loops()
    capsys.readouterr()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    compile_loops()
    assert "compiling" in capsys.readouterr().err


def test_sources_that_cannot_be_written_are_noted_in_the_users_cache(
    sources: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiling, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(os, "access", lambda *_: False)
    compile_loops()
    compile_loops()
    assert capsys.readouterr().err.count("compiling") == 1
    assert len(list((tmp_path / "lumbrical").iterdir())) == 1 and not (sources / "__pycache__").exists()


def test_what_two_frames_compile_is_all_that_later_ones_need(sources: Path) -> None:
    compile_loops()
    before = {loop: len(loop.signatures) for loop in _loops()}
    assert len(before) > 10
    tracker = Tracker()
    for frame in load_frames(open_recording(str(DEMO_SOURCE)), 60):
        tracker.track(frame)
    assert {loop: len(loop.signatures) for loop in before} == before


def _loops() -> set[Dispatcher]:
    """All that is compiled and imported now."""
    modules = [module for name, module in sys.modules.items() if name.startswith("engine.")]
    return {one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)}
