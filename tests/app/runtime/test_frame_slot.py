"""FrameSlot: after a rare stall frames wait their turn; a tracker that is always late gets the newest, as ever."""

from __future__ import annotations

import pytest

from app.runtime.frame_slot import FrameSlot
from app.runtime.slot import LatestSlot

PERIOD = 1.0 / 90.0


def simulate(durations_s: list[float], frames: int, slot: LatestSlot[int]) -> list[tuple[int, float]]:
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
    """Put so many values before a taker that has already come for each but the first."""
    for value in range(values):
        slot.put(value)
        assert (slot.get(), slot.get()) == (value, None)


@pytest.mark.parametrize("stall_s", [0.015, 0.025, 0.033, 0.044])
def test_a_rare_stall_loses_no_frame_and_is_made_good_soon(stall_s: float) -> None:
    slot: FrameSlot[int] = FrameSlot()
    taken = simulate([0.007] * 500 + [stall_s] + [0.007] * 60, 560, slot)
    assert [frame for frame, _ in taken] == list(range(len(taken)))
    assert slot.overwritten == 0
    late = [age_s for _, age_s in taken if age_s > 1e-9]
    assert 1 <= len(late) <= 10
    assert max(late) < stall_s


@pytest.mark.parametrize("stall_s", [0.06, 0.08, 0.095])
def test_nor_does_a_long_one_which_takes_longer_to_make_good(stall_s: float) -> None:
    slot: FrameSlot[int] = FrameSlot()
    taken = simulate([0.007] * 500 + [stall_s] + [0.007] * 100, 600, slot)
    assert [frame for frame, _ in taken] == list(range(len(taken)))
    late = [age_s for _, age_s in taken if age_s > 1e-9]
    assert slot.overwritten == 0 and 10 < len(late) <= 30 and max(late) < stall_s


def test_a_core_that_is_slow_for_a_moment_loses_no_frame() -> None:
    slot: FrameSlot[int] = FrameSlot()
    simulate([0.007] * 1000 + [0.012] * 25 + [0.007] * 60, 1080, slot)
    assert slot.overwritten == 0


def test_a_tracker_that_is_late_for_a_frame_in_five_but_keeps_up_loses_none_in_a_stall() -> None:
    slot: FrameSlot[int] = FrameSlot()
    taken = simulate([0.008, 0.008, 0.008, 0.008, 0.013] * 500 + [0.044] + [0.008] * 60, 2560, slot)
    assert [frame for frame, _ in taken] == list(range(len(taken)))
    assert slot.overwritten == 0


@pytest.mark.parametrize("duration_s", [0.0105, 0.0112, 0.0115, 0.013, 0.020, 0.050])
def test_a_tracker_that_hardly_keeps_up_or_does_not_gets_the_newest(duration_s: float) -> None:
    """In a queue every frame would come to wait for all those before it, and so would each stall's for a long while."""
    newest: LatestSlot[int] = LatestSlot()
    slot: FrameSlot[int] = FrameSlot()
    durations_s = [duration_s, duration_s + 0.002, duration_s - 0.002, duration_s] * 10 + [0.030]
    assert simulate(durations_s, 5000, slot) == simulate(durations_s, 5000, newest)
    assert slot.overwritten == newest.overwritten > 0


def test_no_value_waits_before_enough_found_the_taker_waiting() -> None:
    slot: FrameSlot[int] = FrameSlot(price=10)
    earn(slot, 10)
    slot.put(20)
    slot.get()
    slot.put(21)
    slot.put(22)
    assert (slot.get(), slot.get(), slot.overwritten) == (22, None, 1)


def test_values_come_in_order_and_no_more_than_may_wait() -> None:
    slot: FrameSlot[int] = FrameSlot(price=10, late=1, spare=2)
    earn(slot, 20)
    for value in (1, 2, 3, 4):
        slot.put(value)
    assert slot.catching_up
    assert [slot.get() for _ in range(4)] == [1, 2, 4, None]
    assert slot.overwritten == 1 and not slot.catching_up


def test_values_wait_for_a_while_only_and_then_have_to_earn_it_again() -> None:
    slot: FrameSlot[int] = FrameSlot(price=10, late=1, grace=3, spare=2)
    earn(slot, 16)
    lost = []
    for value in range(0, 12, 2):
        slot.put(value)
        slot.put(value + 1)
        while slot.get() is not None:
            pass
        lost.append(slot.overwritten)
    assert lost == [0, 0, 1, 2, 3, 4]


def test_clearing_forgets_those_that_wait_too() -> None:
    slot: FrameSlot[int] = FrameSlot(price=10, late=1)
    earn(slot, 20)
    slot.put(1)
    slot.put(2)
    slot.clear()
    assert (slot.get(), slot.overwritten) == (None, 0)


def test_closing_refuses_values_and_leaves_those_inside() -> None:
    slot: FrameSlot[int] = FrameSlot(price=10, late=1)
    earn(slot, 20)
    slot.put(1)
    slot.put(2)
    slot.close()
    assert not slot.put(3)
    assert [slot.get(None), slot.get(None), slot.get(None)] == [1, 2, None]
