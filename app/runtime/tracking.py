"""The thread that turns frames into results and hands them on."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.runtime.interfaces import CapturedFrame, FrameTracker, Listener, LiveResult
from app.runtime.slot import LatestSlot
from app.runtime.statistics import LiveStatistics
from app.runtime.worker import Worker
from engine.runners.protocol import RunnerFailed
from engine.types import DepthFrame, TrackingResult

_FRAME_WAIT_S = 0.1


class TrackingWorker(Worker):
    """Tracks the newest frame of its slot; results go to a latest-wins slot for the viewer and to every listener.

    The tracker belongs to this thread: change it only through between_frames().

    gives_way: whether somebody looks at `failing` and exchanges a tracker whose runner fails; until he does frames are
    passed over, else the thread ends.
    """

    def __init__(
        self,
        make_tracker: Callable[[], FrameTracker],
        frames: LatestSlot[CapturedFrame],
        results: LatestSlot[LiveResult],
        statistics: LiveStatistics,
    ) -> None:
        super().__init__("tracking")
        self._make_tracker = make_tracker
        self._frames = frames
        self._results = results
        self._statistics = statistics
        self._requests: queue.SimpleQueue[Callable[[FrameTracker], object]] = queue.SimpleQueue()
        self._listeners: tuple[Listener[LiveResult], ...] = ()
        self._tracker: FrameTracker | None = None
        self._epoch: int | None = None
        self._faces: NDArray[np.int32] | None = None
        self.gives_way = False
        self._exchanges_asked = self._exchanges = 0
        self._failed = 0, ""  # how many exchanges had been made then, and why

    @property
    def faces(self) -> NDArray[np.int32] | None:
        """The hand mesh's triangles (F, 3) of a right hand, once the tracker has been made."""
        return self._faces

    @property
    def failing(self) -> str:
        """Why the tracker's runner fails, until it works again or another tracker has been given; else nothing."""
        exchanges, why = self._failed
        return why if exchanges == self._exchanges_asked else ""

    def between_frames(self, request: Callable[[FrameTracker], object]) -> None:
        """Run request(tracker) on the tracking thread before the next frame; also before the first."""
        self._requests.put(request)

    def exchange(self, tracker: FrameTracker, smoothing: float | None, goes_on: bool = False) -> None:
        """Go on with another tracker before the next frame, on the same side. goes_on: with the hand where it is, where
        both are trackers that can hand it over; else it is looked for anew."""

        def change(present: FrameTracker) -> None:
            self._exchanges += 1
            if goes_on and went_on_with(present, tracker):
                return
            tracker.side = present.side
            if smoothing is not None:
                tracker.set_smoothing(smoothing)
            tracker.reset()
            self._tracker, self._faces = tracker, tracker.faces

        self._exchanges_asked += 1
        self._requests.put(change)

    def add_listener(self, listener: Listener[LiveResult]) -> None:
        """Send every result there too, from the next one on."""
        self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: Listener[LiveResult]) -> None:
        """Stop sending there."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    def set_up(self) -> None:
        """Make the tracker on this thread: loading weights must not hold up the window."""
        self._tracker = self._make_tracker()
        self._faces = self._tracker.faces
        # Frames that came while there was no tracker were not dropped by it.
        self._statistics.reset()

    def step(self) -> None:
        """Track one frame, or wait a moment for one."""
        captured = self._frames.get(_FRAME_WAIT_S)
        # Only now: what was asked for before the frame came holds for the frame.
        while not self._requests.empty():
            self._requests.get()(self._current())
        tracker = self._current()
        if captured is None:
            return
        if captured.epoch != self._epoch:
            tracker.reset()
            self._epoch = captured.epoch
        begun = time.monotonic()
        result = self._track(tracker, captured.frame)
        if result is None:
            return
        finished = time.monotonic()
        latency = finished - captured.frame.host_time_s
        before = {
            "capture": 1000 * (captured.handed_on_s - captured.frame.host_time_s),
            "hand-off": 1000 * (begun - captured.handed_on_s),
        }
        self._statistics.record_result(latency, before | result.stage_ms)
        live = LiveResult(result, captured.epoch, finished, latency)
        self._results.put(live)
        for listener in self._listeners:
            listener.put(live)

    def _track(self, tracker: FrameTracker, frame: DepthFrame) -> TrackingResult | None:
        """None where its runner fails, and another one is on its way."""
        try:
            result = tracker.track(frame)
        except RunnerFailed as error:
            if not self.gives_way:
                raise
            self._failed = self._exchanges, str(error)
            self._statistics.record_failure()
            return None
        if self._failed[1]:
            self._failed = 0, ""
        return result

    def _current(self) -> FrameTracker:
        assert self._tracker is not None
        return self._tracker

    def wake_waiters(self) -> None:
        """Nobody may wait for results that will not come."""
        self._frames.close()
        self._results.close()
        for listener in self._listeners:
            listener.close()


def went_on_with(present: FrameTracker, tracker: FrameTracker) -> bool:
    """Let the present tracker use what the other one does, between two frames: the hand is followed on. False where
    either cannot."""
    from engine.tracker import Tracker

    if not (isinstance(present, Tracker) and isinstance(tracker, Tracker)):
        return False
    present.go_on_with(tracker)
    return True
