"""Looks at every frame of a live camera: which are left out, where a track must begin anew, and what to say of it."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from engine.types import DepthFrame

#: Words on something that happened once stay for so long.
SAID_S = 5.0
#: Two clocks that part by more between two frames: the camera's has jumped.
CLOCK_JUMP_S = 1.0
#: A frame so few numbers back comes late; one further back is the first of a camera that counts anew, and so are more
#: late ones in a row than any camera mixes up.
_LATE_NUMBERS, _LATE_FRAMES = 8, 4
#: An image is looked at in every so many-th row and column; so many poor ones in a row are told.
_SAMPLE = 8
_POOR_FRAMES = 3
#: Lost frames are told when their share of the last so many is above this.
_LOST_WINDOW, _LOST_SHARE = 100, 0.02

DUPLICATES = "the camera sends frames twice: the copies are left out"
LATE = "the camera sends frames in the wrong order: those that come late are left out"
EMPTY = "the camera's pictures are empty: uncover its lenses, hold the hand 25 to 100 cm away, or plug it in again"
HALF = "half of the camera's picture is missing: use another USB port or cable"
LOSSES = "the camera loses frames on the way: use another USB port or cable, and close other programs"


class Seen(enum.Enum):
    """What is to be done with a frame."""

    GOOD = "good"
    NEW_TRACK = "a new track begins with it"
    LEFT_OUT = "left out"


class FrameWatch:
    """Belongs to the thread that reads; notices() may be asked by any. left_out: frames that were not handed on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self.left_out = 0
        self.begin()

    def begin(self) -> None:
        """The source was opened: what comes now has nothing to do with what came before."""
        self._last: DepthFrame | None = None
        self._late = 0
        self._empty = self._half = 0
        self._window = (0, 0)

    def forget(self) -> None:
        """Another source: nothing that was said is of it."""
        self._said = {}
        self.begin()

    def notices(self) -> tuple[str, ...]:
        """What happened in the last seconds, one line each, the newest first."""
        oldest_s = self._clock() - SAID_S
        said = sorted(self._said.copy().items(), key=lambda one: -one[1])
        return tuple(line for line, at_s in said if at_s >= oldest_s)

    def look(self, frame: DepthFrame) -> Seen:
        """Judge the next frame of the camera."""
        last = self._last
        seen = Seen.GOOD if last is None else self._compared(last, frame)
        if seen is Seen.LEFT_OUT:
            self.left_out += 1
            return seen
        if last is not None and seen is Seen.GOOD:
            self._count_lost(frame.number - last.number - 1)
        self._last, self._late = frame, 0
        self._look_at_pixels(frame)
        return seen

    def _compared(self, last: DepthFrame, frame: DepthFrame) -> Seen:
        behind = last.number - frame.number
        if behind == 0 and frame.device_time_s == last.device_time_s:
            self._say(DUPLICATES)
            return Seen.LEFT_OUT
        if frame.depth.shape != last.depth.shape:
            self._say(f"the camera's picture is {frame.intrinsics.width} x {frame.intrinsics.height} now")
            return Seen.NEW_TRACK
        if 0 <= behind <= _LATE_NUMBERS and self._late < _LATE_FRAMES:
            self._late += 1
            self._window = (self._window[0], max(0, self._window[1] - 1))  # it was not lost
            self._say(LATE)
            return Seen.LEFT_OUT
        jump_s = frame.device_time_s - last.device_time_s - (frame.host_time_s - last.host_time_s)
        if abs(jump_s) > CLOCK_JUMP_S:
            where = "ahead" if jump_s > 0 else "back"
            self._say(f"the camera's clock jumped {abs(jump_s):.0f} s {where}: tracking began anew")
            return Seen.NEW_TRACK
        return Seen.NEW_TRACK if behind >= 0 else Seen.GOOD

    def _count_lost(self, lost: int) -> None:
        frames, gone = self._window
        frames, gone = frames + 1 + lost, gone + lost
        if gone > _LOST_SHARE * _LOST_WINDOW:
            self._say(LOSSES)
        self._window = (0, 0) if frames >= _LOST_WINDOW else (frames, gone)

    def _look_at_pixels(self, frame: DepthFrame) -> None:
        sample = frame.depth[::_SAMPLE, ::_SAMPLE]
        middle = len(sample) // 2
        upper, lower = bool(sample[:middle].any()), bool(sample[middle:].any())
        self._empty = 0 if upper or lower else self._empty + 1
        self._half = self._half + 1 if upper != lower else 0
        if self._empty >= _POOR_FRAMES:
            self._say(EMPTY)
        elif self._half >= _POOR_FRAMES:
            self._say(HALF)

    def _say(self, line: str) -> None:
        now_s = self._clock()
        self._said = {one: at_s for one, at_s in self._said.items() if at_s >= now_s - SAID_S} | {line: now_s}
