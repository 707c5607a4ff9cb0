"""LatestSlot and DropQueue: what is kept, what is counted, who is woken."""

from __future__ import annotations

import threading
import time

import pytest

from app.runtime.drop_queue import DropQueue
from app.runtime.frame_slot import FrameSlot
from app.runtime.slot import LatestSlot


def test_slot_keeps_the_newest_and_counts_the_rest() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert slot.get() == 3
    assert slot.overwritten == 2
    assert slot.get() is None


def test_slot_get_times_out_in_time() -> None:
    slot: LatestSlot[int] = LatestSlot()
    began = time.monotonic()
    assert slot.get(0.05) is None
    assert 0.04 <= time.monotonic() - began < 1.0


def test_slot_get_wakes_for_a_value() -> None:
    slot: LatestSlot[int] = LatestSlot()
    threading.Timer(0.03, slot.put, (7,)).start()
    began = time.monotonic()
    assert slot.get(5.0) == 7
    assert time.monotonic() - began < 1.0


def test_closing_a_slot_wakes_waiters_and_refuses_values() -> None:
    slot: LatestSlot[int] = LatestSlot()
    got: list[int | None] = []
    waiters = [threading.Thread(target=lambda: got.append(slot.get(None))) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    slot.close()
    for waiter in waiters:
        waiter.join(2.0)
    assert got == [None, None, None]
    assert not slot.put(1)


def test_a_cleared_value_is_not_counted_as_overwritten() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    slot.clear()
    slot.put(2)
    assert (slot.get(), slot.overwritten) == (2, 0)


@pytest.mark.parametrize("slot", [LatestSlot[int](), FrameSlot[int](price=3, late=1)])
def test_no_value_is_lost_or_invented_between_threads(slot: LatestSlot[int]) -> None:
    taken: list[int] = []

    def take() -> None:
        while (value := slot.get(None)) is not None:
            taken.append(value)

    reader = threading.Thread(target=take)
    reader.start()
    for value in range(1, 5001):
        slot.put(value)
    slot.close()
    reader.join(5.0)
    assert taken == sorted(set(taken))
    assert taken[-1] == 5000
    assert len(taken) + slot.overwritten == 5000


def test_queue_keeps_order_and_drops_newcomers() -> None:
    queue: DropQueue[int] = DropQueue(2)
    assert [queue.put(value) for value in (1, 2, 3)] == [True, True, False]
    assert (queue.dropped, len(queue)) == (1, 2)
    assert [queue.get(), queue.get(), queue.get()] == [1, 2, None]


def test_a_closed_queue_can_be_emptied_but_not_filled() -> None:
    queue: DropQueue[int] = DropQueue(4)
    queue.put(1)
    queue.close()
    assert not queue.put(2)
    assert queue.dropped == 0
    assert [queue.get(None), queue.get(None)] == [1, None]


def test_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        DropQueue(0)
