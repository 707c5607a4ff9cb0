"""One live session: a source, a tracker, and the workers between them. Usable without a window."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.runtime.capture import CaptureWorker
from app.runtime.drop_queue import DropQueue
from app.runtime.frame_slot import FrameSlot
from app.runtime.interfaces import CapturedFrame, FrameSource, FrameTracker, LiveResult
from app.runtime.slot import LatestSlot
from app.runtime.statistics import LiveStatistics
from app.runtime.tracking import TrackingWorker
from app.runtime.worker import WorkerState
from engine.types import Side

if TYPE_CHECKING:
    from engine.fitting.state import KnownShape
    from engine.hand.hand import HandModel

#: For both workers together: a driver or a library that does not return must not hold up the end of the app.
_STOP_TIMEOUT_S = 1.2


class LiveSession:
    """Runs capture and tracking until stop(); all methods may be called from any one thread, such as the window's.

    results: the newest result, for a viewer. capture: playback control and the source's state. statistics: rates.
    """

    def __init__(
        self,
        open_source: Callable[[str], FrameSource],
        spec: str,
        make_tracker: Callable[[], FrameTracker],
        statistics: LiveStatistics | None = None,
    ) -> None:
        self.statistics = statistics or LiveStatistics()
        self.results: LatestSlot[LiveResult] = LatestSlot()
        self._frames: FrameSlot[CapturedFrame] = FrameSlot()
        self.capture = CaptureWorker(open_source, spec, self._frames, self.statistics)
        self.tracking = TrackingWorker(make_tracker, self._frames, self.results, self.statistics)
        self._smoothing: float | None = None
        self._hand: tuple[HandModel, KnownShape | None] | None = None

    def start(self) -> None:
        """Start the workers; opening the source and loading weights happen on their threads."""
        self.tracking.start()
        self.capture.start()

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
        """Stop both workers, in timeout_s together; False when one did not end: a daemon, it holds up no exit."""
        deadline_s = time.monotonic() + timeout_s
        self.capture.request_stop()
        self.tracking.request_stop()
        capture_ended = self.capture.stop(timeout_s)
        return self.tracking.stop(max(0.0, deadline_s - time.monotonic())) and capture_ended

    def switch_source(self, spec: str) -> None:
        """Play or stream something else."""
        self.capture.switch_source(spec)

    def set_smoothing(self, amount: float) -> None:
        """How strongly poses are smoothed, 0 to 1."""
        self._smoothing = amount
        self.tracking.between_frames(lambda tracker: tracker.set_smoothing(amount))

    def set_side(self, side: Side | None) -> None:
        """Which hand to track; None lets the tracker decide. The hand is looked for anew."""

        def change(tracker: FrameTracker) -> None:
            if tracker.side is not side:
                tracker.side = side
                tracker.reset()

        self.tracking.between_frames(change)

    def hold_hand(self, model: HandModel | None, shape: KnownShape | None = None) -> None:
        """Track a hand whose surface and shape are known; without a model, any hand. It is looked for anew."""
        self._hand = None if model is None else (model, shape)
        self.tracking.between_frames(lambda tracker: tracker.hold(model, shape))
        self.capture.show_again()

    def exchange_tracker(self, tracker: FrameTracker, goes_on: bool = False) -> None:
        """Track with this one from the next frame on; the side, the smoothing and the hand that is held stay. goes_on:
        so does the track, where both trackers can do that. A recording that is held shows its frame again, tracked
        anew."""
        if self._hand is not None:
            tracker.hold(*self._hand)
        self.tracking.exchange(tracker, self._smoothing, goes_on)
        self.capture.show_again()

    def listen(self, capacity: int) -> DropQueue[LiveResult]:
        """A queue that gets every result from now on, dropping and counting what does not fit."""
        listener: DropQueue[LiveResult] = DropQueue(capacity)
        self.tracking.add_listener(listener)
        return listener

    @property
    def catching_up(self) -> bool:
        """Whether tracking makes good a moment in which it was late; what can wait leaves it the processor then."""
        return self._frames.catching_up

    def failure(self) -> str:
        """One line on the worker that died, or nothing."""
        return next((w.message for w in (self.tracking, self.capture) if w.state is WorkerState.FAILED), "")

    def trouble(self) -> str:
        """One line on what keeps the session from working, or nothing."""
        return self.failure() or self.capture.message
