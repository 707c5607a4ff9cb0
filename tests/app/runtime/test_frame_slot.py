"""FrameSlot: after a rare stall frames wait their turn; a tracker that is always late gets the newest, as ever."""

from __future__ import annotations

import threading

import pytest

from app.runtime.frame_slot import FrameSlot

PERIOD = 1.0 / 90.0


def simulate(durations_s: list[float], frames: int, slot: FrameSlot[int]) -> list[tuple[int, float]]:
    """Play frames of a 90 Hz camera to a taker that needs durations_s[i] for the frame it takes as its i-th; returns
    which frames it took and how old each was then, in seconds."""
    taken: list[tuple[int, float]] = []
    free_s = 0.0
    for frame in range(frames):
        now_s = frame * PERIOD
        while free_s <= now_s and (value := slot.get()) is not None:
            begins_s = max(free_s, value * PERIOD)
            taken.append((value, begins_s - value * PERIOD))
            free_s = begins_s + durations_s[len(taken) % len(durations_s)]
        slot.put(frame)
    return taken


def earn(slot: FrameSlot[int], values: int) -> None:
    for value in range(values):
        slot.put(value)
        assert slot.get() == value


@pytest.mark.parametrize("stall_s", [0.015, 0.025, 0.033])
def test_a_rare_stall_loses_no_frame_and_is_made_good_soon(stall_s: float) -> None:
    slot: FrameSlot[int] = FrameSlot()
    taken = simulate([0.007] * 120 + [stall_s] + [0.007] * 60, 180, slot)
    assert [frame for frame, _ in taken] == list(range(len(taken)))
    assert slot.overwritten == 0
    late = [age_s for _, age_s in taken if age_s > 1e-9]
    assert 1 <= len(late) <= 7
    assert max(late) < stall_s


@pytest.mark.parametrize("duration_s", [0.0112, 0.0115, 0.013, 0.020, 0.050])
def test_a_tracker_that_is_always_late_never_falls_further_behind(duration_s: float) -> None:
    """In a queue every frame would come to wait for all those before it; here one waits for one other at most."""
    slot: FrameSlot[int] = FrameSlot()
    taken = simulate([duration_s], 3000, slot)
    assert slot.overwritten > 0
    assert max(age_s for _, age_s in taken) <= 2 * PERIOD


def test_no_value_waits_before_enough_were_taken_in_time() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=10)
    earn(slot, 8)
    slot.put(20)
    slot.put(21)
    assert (slot.get(), slot.get(), slot.overwritten) == (21, None, 1)


def test_values_come_in_order_and_no_more_than_may_wait() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=10, spare=2)
    earn(slot, 10)
    for value in (1, 2, 3, 4):
        slot.put(value)
    assert [slot.get() for _ in range(4)] == [1, 2, 4, None]
    assert slot.overwritten == 1


def test_values_wait_for_a_while_only_and_then_have_to_earn_it_again() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=10, grace=3, spare=2)
    earn(slot, 10)
    lost = []
    for value in range(0, 12, 2):
        slot.put(value)
        slot.put(value + 1)
        while slot.get() is not None:
            pass
        lost.append(slot.overwritten)
    assert lost == [0, 0, 1, 2, 3, 4]


def test_clearing_forgets_those_that_wait_too() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=10)
    earn(slot, 20)
    slot.put(1)
    slot.put(2)
    slot.clear()
    assert (slot.get(), slot.overwritten) == (None, 0)


def test_closing_refuses_values_and_leaves_those_inside() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=10)
    earn(slot, 20)
    slot.put(1)
    slot.put(2)
    slot.close()
    assert not slot.put(3)
    assert [slot.get(None), slot.get(None), slot.get(None)] == [1, 2, None]


def test_no_value_is_lost_or_invented_between_threads() -> None:
    slot: FrameSlot[int] = FrameSlot(in_time=3)
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
