"""The thread that reads a sensor or a recording, and keeps trying when a camera is unplugged."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from app.runtime.describe import described
from app.runtime.driver_guard import DriverGuard, Silence
from app.runtime.frame_watch import FrameWatch, Seen
from app.runtime.interfaces import Abortable, CapturedFrame, FrameSource, Listener
from app.runtime.slot import LatestSlot
from app.runtime.source_status import OpenedSource, PlaybackStatus
from app.runtime.statistics import LiveStatistics
from app.runtime.worker import Worker, WorkerState
from engine.sensors.playback import Playback
from engine.sensors.protocol import EndOfStream, SensorDisconnected, SensorUnavailable
from engine.types import DepthFrame, LumbricalError

#: Sensors are polled with waits this short, so that commands and unplugging are noticed at once.
READ_TIMEOUT_S = 0.1
#: A camera that is plugged in again is open within half a second; looking for it costs milliseconds.
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 0.5


class CaptureWorker(Worker):
    """Reads one source at a time into a slot; the source can be exchanged and, if a recording, played and sought.

    While a source cannot be opened or has failed, the state is WAITING and the message says why, until a frame comes.
    A camera is tried again with growing pauses, whatever it failed of, so that one that is plugged back in goes on by
    itself, and so is one that sends nothing; a bad recording waits for another source.
    """

    def __init__(
        self,
        open_source: Callable[[str], FrameSource],
        spec: str,
        frames: LatestSlot[CapturedFrame],
        statistics: LiveStatistics,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        super().__init__("capture")
        self._open_source = open_source
        self._frames = frames
        self._statistics = statistics
        self._first_retry_s = first_retry_s
        self._retry_s = first_retry_s
        self._given_up = False
        self._source: FrameSource | None = None
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._woken = threading.Event()
        self._spec = spec
        self._epoch = 0
        self._listeners: tuple[Listener[CapturedFrame], ...] = ()
        self._last_place: int | None = None
        self._playback: PlaybackStatus | None = None
        self._is_live = False
        self._source_name = ""
        self._opened: OpenedSource | None = None
        self._start: int | None = None
        self._end: int | None = None
        self._watch = FrameWatch()
        self._guard = DriverGuard()
        self._is_open = False

    @property
    def message(self) -> str:
        """One line on why it waits or failed, or on a driver that does not return; empty when all is well."""
        return super().message or self._guard.hung()

    @property
    def opened(self) -> OpenedSource | None:
        """The source that was opened last, also when it has failed since; None before the first."""
        return self._opened

    @property
    def spec(self) -> str:
        """The source asked for last."""
        return self._spec

    @property
    def is_live(self) -> bool:
        """Whether the open source is a camera."""
        return self._is_live

    @property
    def source_name(self) -> str:
        """The open source's own name; empty while none is open."""
        return self._source_name

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the open source wants its user to know, and what was odd about its last frames, one line each."""
        source = self._source
        return (*self._watch.notices(), *source.warnings) if source is not None else ()

    @property
    def left_out(self) -> int:
        """Frames of cameras that came twice or too late, and were not handed on."""
        return self._watch.left_out

    @property
    def playback(self) -> PlaybackStatus | None:
        """How the recording stands; None for a camera or when nothing is open."""
        return self._playback

    def add_listener(self, listener: Listener[CapturedFrame]) -> None:
        """Send every frame there too, also those that tracking passes over."""
        self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: Listener[CapturedFrame]) -> None:
        """Stop sending there."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    def switch_source(self, spec: str) -> None:
        """Close the present source and open another."""
        self._spec = spec
        self._abort()  # only then the command: the next source must not be hit
        self._command(self._drop_source)

    def play(self) -> None:
        """Go on playing the recording; from its start when it is over."""
        self._control(_resume)

    def pause(self) -> None:
        """Hold the recording at the present frame."""
        self._control(lambda source: source.pause())

    def step_frames(self, frames: int) -> None:
        """Pause and show the frame so many further on, or back when negative."""
        self._control(lambda source: source.step(frames), breaks_track=frames < 0)

    def seek(self, index: int) -> None:
        """Go to a frame of the recording, counted from 0."""
        self._control(lambda source: source.seek(index), breaks_track=True)

    def show_again(self) -> None:
        """Send the frame once more at which a recording is held; nothing while it plays."""

        def again(source: Playback) -> None:
            if source.paused and source.position >= 0:
                source.seek(source.position)

        self._control(again)

    def set_speed(self, speed: float) -> None:
        """Play at a multiple of the recording's own rate."""
        self._control(lambda source: setattr(source, "speed", speed))

    def set_loop(self, loop: bool) -> None:
        """Start over at the end, or stop there."""
        self._control(lambda source: setattr(source, "loop", loop))

    def set_range(self, start: int | None, end: int | None) -> None:
        """Play the frames from start to end over and over, once both are given; None, None ends that."""

        def run() -> None:
            if isinstance(self._source, Playback):
                self._start, self._end = start, end
                self._note_playback()

        self._command(run)

    def step(self) -> None:
        """Obey commands, then read one frame or try to open the source."""
        self._obey()
        if not self._is_open and not self._try_open():
            return
        assert self._source is not None
        if self._wound_back():
            return
        try:
            frame = self._guard.call(self._source, lambda source: source.read(READ_TIMEOUT_S))
        except EndOfStream:
            self._rest_at_end()
            return
        except LumbricalError as error:
            live = self._is_live
            self._close_source()
            self._wait_after(error, live)
            return
        self._note_playback()
        if frame is not None:
            self._heard(frame)
        elif self._is_live:
            self._listen_on()

    def tear_down(self) -> None:
        """Let go of the sensor."""
        self._close_source()

    def wake_waiters(self) -> None:
        """Nobody may wait for frames that will not come; a pause before a retry ends."""
        self._frames.close()
        for listener in self._listeners:
            listener.close()
        self._woken.set()
        self._abort()

    def _abort(self) -> None:
        """End the present source's waits, where it can: it may be opening, or its driver hang."""
        source: object = self._source
        if isinstance(source, Abortable):
            source.abort()

    def _heard(self, frame: DepthFrame) -> None:
        """A frame came: all is well, unless it is one to be left out."""
        self._guard.heard()
        if self.state is WorkerState.WAITING:
            self._retry_s = self._first_retry_s
            self._set_state(WorkerState.RUNNING)
        if self._is_live:
            seen = self._watch.look(frame)
            if seen is Seen.LEFT_OUT:
                return
            if seen is Seen.NEW_TRACK:
                self._begin_epoch()
        self._hand_on(frame)

    def _listen_on(self) -> None:
        """A camera sent nothing once more: say so in time, and open it again when that lasts."""
        assert self._source is not None
        silence, name = self._guard.silence(), self._source.name
        if silence is Silence.TO_BE_ENDED:
            self._close_source()
            self._wait_after(SensorDisconnected(f"{name} sends no pictures: plug it in again"), True)
        elif silence is Silence.TO_BE_TOLD and not self.message:
            self._set_state(WorkerState.WAITING, f"{name} sends no pictures: it is opened again in a moment")

    def _hand_on(self, frame: DepthFrame) -> None:
        # Played in a loop, numbers go on rising; the place in the file tells that a round began.
        place = self._playback.position if self._playback is not None else frame.number
        previous, self._last_place = self._last_place, place
        lost = 0
        if previous is not None and self._is_live:
            lost = max(0, place - previous - 1)
        elif previous is not None and place <= previous:
            self._epoch += 1
        before = self._frames.overwritten
        captured = CapturedFrame(frame, self._epoch)
        self._frames.put(captured)
        for listener in self._listeners:
            listener.put(captured)
        self._statistics.record_capture(self._frames.overwritten - before, lost)

    def _wound_back(self) -> bool:
        """At the end of the range that is repeated: wait until its last frame has had its time, and begin again."""
        source = self._source
        if self._start is None or self._end is None or not isinstance(source, Playback):
            return False
        if source.paused or source.position < self._end:
            return False
        self._woken.wait(min(READ_TIMEOUT_S, 1 / source.fps / source.speed))
        if self._commands.empty():
            source.seek(self._start)
            source.resume()
            self._begin_epoch()
        # A command may have changed the range meanwhile; else the next step reads its first frame.
        return not self._commands.empty()

    def _rest_at_end(self) -> None:
        """A recording that is over is held at its last frame until it is played or sought again."""
        if isinstance(self._source, Playback):
            self._source.pause()
            self._note_playback()
        else:
            self._woken.wait(READ_TIMEOUT_S)

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        self._woken.set()

    def _control(self, action: Callable[[Playback], None], breaks_track: bool = False) -> None:
        def run() -> None:
            if not isinstance(self._source, Playback):
                return
            try:
                action(self._source)
            except LumbricalError as error:
                self._set_state(WorkerState.RUNNING, str(error))
                return
            if breaks_track:
                self._begin_epoch()

        self._command(run)

    def _obey(self) -> None:
        self._woken.clear()
        while not self._commands.empty():
            self._commands.get()()

    def _try_open(self) -> bool:
        if self._given_up:
            self._woken.wait(READ_TIMEOUT_S)
            return False
        try:
            self._source = source = self._source or self._open_source(self._spec)
            if self.stopping:  # whoever asked for that did not see the source yet
                return False
            self._guard.call(source, lambda one: one.open())
        except LumbricalError as error:
            live = self._source is not None and self._source.is_live
            if not live:
                self._close_source()
            self._wait_after(error, live)
            return False
        self._is_live = source.is_live
        self._source_name = source.name
        self._start = self._end = None
        self._begin_epoch()
        self._opened = OpenedSource(self._spec, described(source), self._epoch, source.is_live)
        self._statistics.reset()
        self._note_playback()
        self._watch.begin()
        self._guard.heard()
        if not self.message:
            self._set_state(WorkerState.RUNNING)
        self._is_open = True
        return True

    def _wait_after(self, error: LumbricalError, live: bool) -> None:
        self._set_state(WorkerState.WAITING, str(error))
        if not live and not isinstance(error, SensorUnavailable | SensorDisconnected):
            self._given_up = True
            return
        self._woken.wait(self._retry_s)
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._last_place = None
        self._frames.clear()

    def _drop_source(self) -> None:
        self._close_source()
        self._retry_s = self._first_retry_s
        self._given_up = False
        self._watch.forget()
        self._set_state(WorkerState.STARTING)

    def _close_source(self) -> None:
        source, self._source = self._source, None
        self._is_open = False
        self._playback = None
        self._is_live = False
        self._source_name = ""
        if source is not None:
            source.close()

    def _note_playback(self) -> None:
        source = self._source
        if not isinstance(source, Playback) or source.frame_count is None:
            self._playback = None
            return
        self._playback = PlaybackStatus(
            source.position,
            source.frame_count,
            source.paused,
            source.ended,
            source.speed,
            source.loop,
            self._start,
            self._end,
        )


def _resume(source: Playback) -> None:
    if source.ended:
        source.seek(0)
    source.resume()
