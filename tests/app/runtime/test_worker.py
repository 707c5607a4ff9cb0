"""The life of a worker: states, death, an end within a bound."""

from __future__ import annotations

import threading
import time

import pytest

from app.runtime.slot import LatestSlot
from app.runtime.worker import Worker, WorkerState
from engine.types import LumbricalError
from tests.app.fakes import wait_until


class Counter(Worker):
    """Counts its steps; does what a test puts into `act`."""

    def __init__(self) -> None:
        super().__init__("counter")
        self.steps = 0
        self.ended = 0
        self.output: LatestSlot[int] = LatestSlot()
        self.fail: Exception | None = None
        self.hang = threading.Event()
        self.hang.set()

    def step(self) -> None:
        if self.fail is not None:
            raise self.fail
        self.hang.wait()
        self.steps += 1
        self.pause_step(0.001)

    def tear_down(self) -> None:
        self.ended += 1

    def wake_waiters(self) -> None:
        self.output.close()


def test_states_from_start_to_stop() -> None:
    worker = Counter()
    states = [worker.state]
    worker.start()
    assert wait_until(lambda: worker.steps > 3)
    states.append(worker.state)
    assert worker.stop()
    states.append(worker.state)
    assert states == [WorkerState.NEW, WorkerState.RUNNING, WorkerState.STOPPED]
    assert worker.ended == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [(LumbricalError("the weights are missing; run make"), "the weights are missing"), (KeyError("x"), "KeyError")],
)
def test_a_death_is_kept_and_wakes_waiters(error: Exception, words: str) -> None:
    worker = Counter()
    worker.start()
    waiter = threading.Thread(target=lambda: worker.output.get(None))
    waiter.start()
    worker.fail = error
    waiter.join(2.0)
    assert not waiter.is_alive()
    assert wait_until(lambda: worker.state is WorkerState.FAILED)
    assert words in worker.message and "\n" not in worker.message
    assert worker.traceback is not None and "in step" in worker.traceback
    assert worker.ended == 1


def test_stop_returns_within_its_bound_though_a_step_hangs() -> None:
    worker = Counter()
    worker.hang.clear()
    worker.start()
    began = time.monotonic()
    assert not worker.stop(0.1)
    assert time.monotonic() - began < 1.0
    worker.hang.set()
    assert worker.stop()


def test_a_worker_never_started_stops_at_once() -> None:
    worker = Counter()
    assert worker.stop()
    assert worker.state is WorkerState.STOPPED
