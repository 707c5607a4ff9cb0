"""The process beside a session: it never stops tracking, sleeps without frames, and versions go to and fro."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.runtime import adaptation_worker
from app.runtime.adaptation_process import Said, WorkerSettings
from app.runtime.adaptation_tracker import MadeVersion, version_maker
from app.runtime.adaptation_worker import PROMOTED, ROLLED_BACK, AdaptationWorker
from app.runtime.preloaded import PreloadedSource
from app.runtime.session import LiveSession
from engine.adaptation.versions import AdaptedHand, AdaptedVersion, VersionStore
from engine.runners.protocol import Progress
from engine.tracker import Tracker
from tests.adaptation.rendered_samples import frames
from tests.app.fakes import FakeSensor, FakeTracker, wait_until

HAND = AdaptedHand(np.full(20, 0.1), np.zeros(6), np.zeros(100))


@contextmanager
def adapting(folder: Path) -> Iterator[tuple[LiveSession, AdaptationWorker]]:
    shown = [one.frame for one in frames(5, 0.0, 5.0)]
    session = LiveSession(lambda _: PreloadedSource(shown, 15.0), "rendered", Tracker)
    worker = AdaptationWorker(session, WorkerSettings(folder), version_maker(Tracker))
    session.start()
    worker.start()
    try:
        yield session, worker
    finally:
        assert worker.stop(10.0)
        assert session.stop()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.timeout(300)
def test_the_process_starts_with_frames_sleeps_without_and_may_die(tmp_path: Path) -> None:
    with adapting(tmp_path) as (session, worker):
        assert wait_until(lambda: session.statistics.snapshot().results > 3, 60)
        assert worker._process is None  # off until it is switched on
        worker.set_on(True)
        assert wait_until(lambda: worker.view.samples > 5, 60)
        process = _process(worker)
        assert wait_until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid or 0) >= 15, 60)
        worker.set_on(False)
        assert wait_until(lambda: _idle(process.pid), 60)
        worker.set_on(True)
        process.kill()
        assert wait_until(lambda: "tracking goes on" in worker.view.trouble, 20)
        before = session.statistics.snapshot().results
        assert wait_until(lambda: session.statistics.snapshot().results > before + 5, 30)
        assert session.failure() == ""


def _process(worker: AdaptationWorker) -> BaseProcess:
    process = worker._process
    assert process is not None and process.pid is not None
    return process


def _idle(pid: int | None) -> bool:
    assert pid is not None
    start = _cpu_s(pid)
    time.sleep(0.7)
    return _cpu_s(pid) - start < 0.03


@pytest.mark.timeout(300)
def test_versions_go_in_and_back_without_a_lost_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VersionStore(tmp_path)
    store.add(HAND, None)
    store.use(1)
    store.add(HAND, None)
    sent: list[Any] = []
    monkeypatch.setattr(AdaptationWorker, "_start_process", lambda self: None)
    monkeypatch.setattr(AdaptationWorker, "_tell", lambda self, message: sent.append(message))
    monkeypatch.setattr(adaptation_worker, "sample_of", lambda result: None)
    with adapting(tmp_path) as (session, worker):
        results = session.listen(1000)
        worker.set_on(True)
        assert wait_until(lambda: worker.view.version == 1, 60)  # the one that was in use last
        worker._decide(Said("hand", True, "better", 2, 3.0, 2.5))
        assert wait_until(lambda: _beta_of_last(results) == pytest.approx(0.1, abs=0.02), 60)
        assert worker.view.version == store.current == 2
        worker.roll_back()
        assert wait_until(lambda: worker.view.version == 1, 60)
        worker.roll_back()
        assert wait_until(lambda: worker.view.version == 0, 60)
        # The version shows first, the rest follows on the worker's thread.
        assert wait_until(lambda: len(sent) == 2, 20)
        assert store.current == 0 and store.numbers() == [] and [one.number for one in sent] == [1, 0]
        assert [kind for _, kind in worker.view.marks] == [PROMOTED, ROLLED_BACK, ROLLED_BACK]
        worker.roll_back()
        assert wait_until(lambda: "no adapted version" in worker.view.note, 20)
        assert results.dropped == 0 and session.failure() == ""


def _beta_of_last(results: Any) -> float:
    last = None
    while (one := results.get()) is not None:
        last = one
    if last is None or last.result.parameters is None:
        return float("nan")
    return float(last.result.parameters.beta.mean())


@pytest.mark.timeout(300)
def test_it_goes_back_by_itself_when_frames_fit_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VersionStore(tmp_path)
    store.add(HAND, None)
    monkeypatch.setattr(AdaptationWorker, "_start_process", lambda self: None)
    monkeypatch.setattr(adaptation_worker, "sample_of", lambda result: None)
    with adapting(tmp_path) as (_, worker):
        worker.set_on(True)
        assert wait_until(lambda: len(worker._watch.recent) >= 40, 60)
        worker._watch.promoted()
        worker._decide(Said("hand", True, "better", 1, 3.0, 2.5))
        worker._watch._before = 0.5  # so that any residual is worse by far
        assert wait_until(lambda: "because frames fitted worse" in worker.view.note, 60)
        assert worker.view.version == 0 and store.numbers() == []


def test_what_is_learnt_belongs_to_the_profile_that_is_held(tmp_path: Path) -> None:
    ann, other = VersionStore(tmp_path / "ann"), VersionStore(tmp_path / "other")
    ann.use(ann.add(HAND, None).number)
    with adapting(tmp_path / "ann") as (session, worker):
        assert wait_until(lambda: session.statistics.snapshot().results > 3, 60)
        worker.set_on(True)
        assert wait_until(lambda: worker.view.version == 1, 60)
        worker.follow(WorkerSettings(tmp_path / "other"), version_maker(Tracker))
        assert wait_until(lambda: worker.view.version == 0, 60)
        assert ann.current == 1 and other.current == 0
        worker.follow(WorkerSettings(tmp_path / "ann"), version_maker(Tracker))
        assert wait_until(lambda: worker.view.version == 1, 60)
        assert not worker.view.trouble


def test_another_runner_renews_what_was_put_in_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VersionStore(tmp_path)
    store.add(HAND, None)
    store.use(1)
    monkeypatch.setattr(AdaptationWorker, "_start_process", lambda self: None)
    monkeypatch.setattr(adaptation_worker, "sample_of", lambda result: None)
    made: list[int] = []

    def make(version: AdaptedVersion | None, progress: Progress) -> MadeVersion:
        made.append(version.number if version is not None else 0)
        return MadeVersion(FakeTracker(), "onnx")

    session = LiveSession(lambda _: FakeSensor(), "camera", FakeTracker)
    worker = AdaptationWorker(session, WorkerSettings(tmp_path), make)

    def holds() -> bool:
        return worker.holds

    session.start()
    worker.start()
    try:
        worker.renew()
        assert wait_until(lambda: not worker._renewal_wanted.is_set()) and made == [] and not holds()
        worker.set_on(True)
        assert wait_until(holds) and made == [1] and worker.view.runner == "onnx"
        worker.renew()
        assert wait_until(lambda: made == [1, 1]) and holds()
        worker.roll_back()
        assert wait_until(lambda: worker.view.version == 0) and not holds() and not worker.view.runner
        # What it began with was put in by this worker too, and may be of the former runner.
        worker.renew()
        assert wait_until(lambda: made == [1, 1, 0, 0])
        worker._show(version=1)
    finally:
        assert worker.stop(10.0)
        assert session.stop()
    assert not holds(), "nobody renews it any more"
