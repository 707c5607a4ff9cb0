"""What a camera can do wrong, when, and how that is written: `unplug@5+3/20` is unplugged from 5 to 8 s, every 20 s."""

from __future__ import annotations

import enum
import math
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.sensors.protocol import SensorError
from engine.sensors.shared_block import SharedBlock


class Fault(enum.Enum):
    """What a camera does wrong, by the name that one types."""

    UNPLUG = "unplug"
    STALL = "stall"
    USB2 = "usb2"
    CLOCK_AHEAD = "clock-ahead"
    CLOCK_BACK = "clock-back"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    HALF = "half"
    ZERO = "zero"
    RESIZE = "resize"
    DROP = "drop"
    HANG = "hang"
    HANG_OPEN = "hang-open"


#: In words, for people who choose one.
FAULT_WORDS: Mapping[Fault, str] = {
    Fault.UNPLUG: "is unplugged, and plugged in again",
    Fault.STALL: "sends nothing",
    Fault.USB2: "falls back to USB 2: a third of the frames, and a warning",
    Fault.CLOCK_AHEAD: "has a clock that jumps 100 s ahead, and back again",
    Fault.CLOCK_BACK: "has a clock that jumps 100 s back, and ahead again",
    Fault.DUPLICATE: "sends every frame twice",
    Fault.REORDER: "sends frames in the wrong order, two by two",
    Fault.HALF: "sends only the upper half of each picture",
    Fault.ZERO: "sends empty pictures",
    Fault.RESIZE: "changes to half the resolution",
    Fault.DROP: "loses one frame in 20",
    Fault.HANG: "has a driver that never returns from reading",
    Fault.HANG_OPEN: "is lost, and has a driver that never returns from opening it again",
}
#: How long each lasts where nobody says. A read or an open that begins in a hang's time never ends.
DEFAULT_SECONDS: Mapping[Fault, float] = {
    **dict.fromkeys(Fault, 3.0),
    Fault.USB2: 5.0,
    Fault.DROP: 5.0,
    Fault.HANG: 0.5,
    Fault.HANG_OPEN: 1.0,
}
#: Faults whose times were not given take turns: the first after so many seconds, the others as far apart.
_FIRST_S, _APART_S = 5.0, 10.0
RANDOM = "random"
_RANDOM_COUNT = 1000
_LONGEST_S = 86_400.0
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_ENTRY = re.compile(rf"([a-z0-9-]+)(?:@{_NUMBER})?(?:\+{_NUMBER})?(?:/{_NUMBER})?")


@dataclass(frozen=True)
class PlannedFault:
    """A fault from at_s for seconds, since the beginning; again every every_s seconds unless that is infinite."""

    fault: Fault
    at_s: float
    seconds: float
    every_s: float = math.inf

    def is_on(self, time_s: float) -> bool:
        """Whether it is on so many seconds after the beginning."""
        since = time_s - self.at_s
        return since >= 0 and (since if math.isinf(self.every_s) else since % self.every_s) < self.seconds


Timetable = tuple[PlannedFault, ...]


def parse_timetable(text: str) -> Timetable:
    """A comma-separated list of KIND[@AT][+FOR][/EVERY], seconds, or random[@SEED]; "" is no fault at all.

    Without AT, the faults take turns, one each 10 s, for ever. Raises SensorError with one line.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if len(words) == 1 and words[0].partition("@")[0] == RANDOM:
        return random_timetable(_seed(words[0]))
    return tuple(_parse_entry(word, place, len(words)) for place, word in enumerate(words))


def random_timetable(seed: int, kinds: Sequence[Fault] = tuple(Fault)) -> Timetable:
    """Random faults one after another, some seconds of peace between them; the same for the same seed."""
    dice = random.Random(seed)
    planned, at_s = [], 0.0
    for _ in range(_RANDOM_COUNT):
        fault = dice.choice(kinds)
        seconds = DEFAULT_SECONDS[fault] * dice.uniform(0.3, 1.3)
        at_s += dice.uniform(3.0, 8.0)
        planned.append(PlannedFault(fault, at_s, seconds))
        at_s += seconds
    return tuple(planned)


def _seed(word: str) -> int:
    match = re.fullmatch(rf"{RANDOM}(?:@(\d{{1,9}}))?", word)
    if match is None:
        raise SensorError(f"{word:.40}: the seed must be a whole number, as in {RANDOM}@7")
    return int(match[1] or 0)


def _parse_entry(word: str, place: int, count: int) -> PlannedFault:
    match = _ENTRY.fullmatch(word)
    known = {fault.value: fault for fault in Fault}
    if word.split("@")[0] == RANDOM:
        raise SensorError(f"{word!r:.40} must stand alone: it chooses from all faults itself")
    if match is None or match[1] not in known:
        raise SensorError(
            f"{word!r:.40} is no fault: give KIND, KIND@AT, KIND@AT+FOR or KIND@AT+FOR/EVERY in seconds, or "
            f"{RANDOM}@SEED alone, where KIND is one of {', '.join(known)}"
        )
    fault = known[match[1]]
    at_s = float(match[2]) if match[2] else _FIRST_S + place * _APART_S
    seconds = float(match[3]) if match[3] else DEFAULT_SECONDS[fault]
    every_s = float(match[4]) if match[4] else (math.inf if match[2] else max(count * _APART_S, 2 * seconds))
    if seconds <= 0 or not max(at_s, seconds) <= _LONGEST_S or (not math.isinf(every_s) and not seconds < every_s):
        raise SensorError(f"{word}: a fault lasts above 0 s, at most {_LONGEST_S:g} s, and less than its period")
    return PlannedFault(fault, at_s, seconds, every_s)


class FaultControl:
    """Which faults are on, by a timetable and on demand; any thread may ask and change, and a child process that got it
    when it was spawned sees the same. The timetable begins at the first question, or with begin().
    """

    def __init__(self, timetable: Timetable = ()) -> None:
        self.timetable = timetable
        self._places = {fault: place for place, fault in enumerate(Fault)}
        self._block = SharedBlock(8 * (1 + 2 * len(Fault)))

    def _times(self) -> NDArray[np.float64]:
        """When the timetable began, then from when to when each fault was asked for; all by time.monotonic()."""
        return np.frombuffer(self._block.memory, np.float64)

    def begin(self) -> None:
        """Let the timetable begin now, unless it has begun."""
        times = self._times()
        if times[0] == 0:
            times[0] = time.monotonic()

    def inject(self, fault: Fault, seconds: float | None = None) -> float:
        """Switch a fault on now, for so many seconds (its usual time without); returns for how many."""
        lasts = DEFAULT_SECONDS[fault] if seconds is None else seconds
        now, pair = time.monotonic(), self._pair(fault)
        pair[0] = math.inf  # whoever looks meanwhile sees it off
        pair[1] = now + lasts
        pair[0] = now
        return lasts

    def clear(self) -> None:
        """Switch off what was asked for; the timetable goes on."""
        self._times()[1:] = 0.0

    def is_on(self, fault: Fault) -> bool:
        """Whether the camera must do this wrong now."""
        now, pair = time.monotonic(), self._pair(fault)
        if pair[0] <= now < pair[1]:
            return True
        if not self.timetable:
            return False
        self.begin()
        since = now - self._times()[0]
        return any(planned.fault is fault and planned.is_on(since) for planned in self.timetable)

    def active(self) -> tuple[Fault, ...]:
        """The faults that are on now."""
        return tuple(fault for fault in Fault if self.is_on(fault))

    def _pair(self, fault: Fault) -> NDArray[np.float64]:
        place = 1 + 2 * self._places[fault]
        return self._times()[place : place + 2]
