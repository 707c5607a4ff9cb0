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
from engine import compiled
from engine.compiled import cache_of
from engine.tracker import Tracker
from engine.types import LumbricalError

TOLD = "lumbrical: compiling for this processor, once: some ten seconds\n"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache that is empty; what is compiled is in this process already, or in the real one."""
    monkeypatch.setattr(compiled, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An engine's sources."""
    folder = tmp_path / "engine"
    (folder / "fitting").mkdir(parents=True)
    (folder / "fitting" / "fit.py").write_text("@compiled\ndef fit(): return SIZE\n")
    (folder / "sizes.py").write_text("SIZE = 1\n")
    return folder


def test_once(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_loops()
    assert capsys.readouterr().err == TOLD
    compile_loops()
    assert capsys.readouterr().err == ""


def test_another_processor_compiles_anew(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_loops()
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "z80")
    compile_loops()
    assert capsys.readouterr().err == 2 * TOLD


def test_what_cannot_be_done_beforehand_holds_nothing_up(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_demo() -> None:
        raise LumbricalError("the demo is not there")

    monkeypatch.setattr(compiling, "_track", no_demo)
    compile_loops()
    compile_loops()
    assert capsys.readouterr().err == 2 * TOLD and not cache.exists()


def test_nothing_is_noted_where_nothing_is_compiled(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    compile_loops()
    assert capsys.readouterr().err == "" and not cache.exists()


def test_what_another_module_says_is_compiled_in(sources: Path) -> None:
    before = cache_of(sources)
    assert before.parent == sources / "__pycache__" and before == cache_of(sources)
    (sources / "sizes.py").write_text("SIZE = 2\n")
    assert cache_of(sources) != before


def test_sources_that_cannot_be_written_are_compiled_into_the_users_cache(
    sources: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache_of(sources).parent == tmp_path / "lumbrical"


def test_what_two_frames_compile_is_all_that_later_ones_need(cache: Path) -> None:
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
