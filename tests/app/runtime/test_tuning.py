"""Which cores threads may use, and whom they may interrupt: nothing that draws is in the way of the tracking."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from app.runtime import tuning
from app.runtime.worker import Worker

if sys.platform != "linux":
    pytest.skip("only Linux lets a thread be kept to some cores", allow_module_level=True)


class _Asks(Worker):
    """Notes which cores it may use."""

    def __init__(self) -> None:
        super().__init__("asks")
        self.cores: set[int] = set()

    def step(self) -> None:
        self.cores = os.sched_getaffinity(0)
        self.request_stop()


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> frozenset[int]:
    cores = frozenset(sorted(os.sched_getaffinity(0))[:2])
    if len(cores) < 2:
        pytest.skip("needs two cores")
    monkeypatch.setattr(tuning, "_CORES", cores)
    return cores


def _in_a_thread(found: list[set[int]]) -> None:
    tuning.keep_beside_tracking()
    found.append(os.sched_getaffinity(0))
    worker = _Asks()
    worker.start()
    worker.stop()
    found.append(worker.cores)
    tuning.use_all_cores()
    found.append(os.sched_getaffinity(0))


def test_the_windows_thread_keeps_to_one_of_two_cores_and_workers_to_none(two_cores: frozenset[int]) -> None:
    found: list[set[int]] = []
    thread = threading.Thread(target=_in_a_thread, args=(found,))
    thread.start()
    thread.join(10)
    assert found == [{max(two_cores)}, two_cores, two_cores]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_with_other_numbers_of_cores_nothing_is_done(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_CORES", frozenset(range(count)))
    before = os.sched_getaffinity(0)
    tuning.keep_beside_tracking()
    assert os.sched_getaffinity(0) == before
    tuning.use_all_cores()
    assert os.sched_getaffinity(0) == before


def _note_policies(found: list[int]) -> None:
    tuning.interrupt_nobody()
    found.append(os.sched_getscheduler(0))
    started = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
    started.start()
    started.join(10)


def test_who_interrupts_nobody_has_the_systems_word_for_it_and_so_do_the_threads_it_starts() -> None:
    before, found = os.sched_getscheduler(0), list[int]()
    thread = threading.Thread(target=_note_policies, args=(found,))
    thread.start()
    thread.join(10)
    assert found == [os.SCHED_BATCH, os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before


def test_where_the_system_forbids_it_drawing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError("seccomp")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    tuning.interrupt_nobody()
