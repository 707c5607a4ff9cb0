"""One take on its way to the disk: the thread that writes it, and another that makes the disk really write."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.record_queue import Item, RecordedEvent, RecordQueue, Waiting
from app.runtime.worker import Worker, WorkerState
from engine.takes.facts import Receipt, TakeError
from engine.takes.hand_only import keep_hand
from engine.takes.writer import STOPPED, TakeWriter, WriterConfig

TOO_SLOW = "the disk or the processor was too slow"
NO_HAND = "no hand in view"
NOT_TRACKED = "passed over by the tracker"
TIME_OVER = "the time was over"
BROKEN = "the program failed"
_WAIT_S = 0.05
#: A queue so full is one that writing does not keep up with, until it is so empty again.
_BEHIND_SHARE, _CAUGHT_UP_SHARE = 0.15, 0.05
#: So is one whose oldest item waits so long.
_BEHIND_S, _CAUGHT_UP_S = 0.4, 0.15
#: So much longer than images poses are taken on: they are small, and worth more than the next image.
_POSE_GRACE_S = 0.05


@dataclass(frozen=True)
class RecorderConfig:
    """preroll_s: so much from before the start is recorded too, as far as preroll_bytes hold it. queue_bytes: what may
    wait to be written. most_late_s: nor is an image taken on while anything waits for so long, or a pose for a little
    longer: what waits is what a kill would cost. sync_s: how often the disk is told to really write. drain_s: how long
    closing may take."""

    preroll_s: float = 5.0
    preroll_bytes: int = 512 << 20
    queue_bytes: int = 256 << 20
    most_late_s: float = 0.9
    sync_s: float = 1.0
    drain_s: float = 30.0
    writer: WriterConfig = field(default_factory=WriterConfig)


class _Syncer(Worker):
    """Tells the disk to really write, away from the thread that writes: it may take as long as the disk pleases."""

    def __init__(self, writer: TakeWriter, every_s: float) -> None:
        super().__init__("disk sync")
        self._writer = writer
        self._every_s = every_s

    def step(self) -> None:
        if not self.pause_step(self._every_s):
            self._writer.sync()


class Recording(Worker):
    """Writes what is put until it is stopped, its time is over or the disk is full; then the receipt is there.

    put_frame and put_result never wait; Recorder, which calls them, holds its lock. trouble: why it ended by itself.
    receipt: None until it is closed, and when it could not be. cpu_s: processor time of the writing thread.
    """

    def __init__(self, writer: TakeWriter, config: RecorderConfig, seconds: float | None) -> None:
        super().__init__("recorder")
        self.writer = writer
        self.queue = RecordQueue(config.queue_bytes, results_own_frames=writer.info.hand_only)
        self.receipt: Receipt | None = None
        self.trouble = ""
        self.received = 0
        self.camera_gaps = 0
        self.cpu_s = 0.0
        self._hand_only = writer.info.hand_only
        self._config = config
        self._seconds = seconds
        self._began_s = time.monotonic()
        self._ended_s: float | None = None
        self._reason = STOPPED
        self._failure = ""
        self._refused: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._handled = 0
        self._poses_refused = 0
        self._last: tuple[int, int] | None = None
        self._syncer = _Syncer(writer, config.sync_s)

    @property
    def alive(self) -> bool:
        """Whether it still writes or closes."""
        return self._thread.is_alive()

    @property
    def elapsed_s(self) -> float:
        """How long it records, or did."""
        return (time.monotonic() if self._ended_s is None else self._ended_s) - self._began_s

    def begin(self, kept: Sequence[CapturedFrame | LiveResult]) -> None:
        """Start with what came before the start."""
        frames = [item for item in kept if isinstance(item, CapturedFrame)]
        for captured in frames:
            self._count(captured)
        self.queue.extend(item for item in kept if not (self._hand_only and isinstance(item, CapturedFrame)))
        self.start()
        self._syncer.start()

    def put_frame(self, captured: CapturedFrame) -> bool:
        """Take a frame on; False when there is no room, which is counted."""
        self._count(captured)
        # Of a hand-only take, frames come with their results: before, nobody knows where the hand is.
        if self._hand_only or (not self._is_late() and self.queue.put(captured)):
            return True
        self._refused[TOO_SLOW] += 1
        return False

    def put_result(self, live: LiveResult) -> bool:
        """Take a result on; False when there is no room."""
        grace_s = 0.0 if self._hand_only else _POSE_GRACE_S
        if not self._is_late(grace_s) and self.queue.put(live):
            return True
        self._poses_refused += 1
        if self._hand_only:
            self._refused[TOO_SLOW] += 1
        return False

    def _is_late(self, grace_s: float = 0.0) -> bool:
        """Whether something that was taken on has not reached the file for so long that no more is to hang on it."""
        if self.queue.catching_up:
            return False
        now_s = time.monotonic()
        waiting = (self.writer.unwritten_since_s, self.queue.waiting_since_s())
        return any(since_s is not None and now_s - since_s > self._config.most_late_s + grace_s for since_s in waiting)

    def _count(self, captured: CapturedFrame) -> None:
        self.received += 1
        last, self._last = self._last, (captured.epoch, captured.frame.number)
        if last is not None and last[0] == captured.epoch:
            self.camera_gaps += max(0, captured.frame.number - last[1] - 1)

    def dropped(self) -> dict[str, int]:
        """Frames that were not, or will not be, written, by reason."""
        return dict(Counter(self.receipt.dropped if self.receipt else self.writer.dropped) + self._unreported())

    def _unreported(self) -> Counter[str]:
        return self._refused - self._told

    def backlog_s(self) -> float:
        """How long ago the frame arrived that is written next; 0 when none waits."""
        oldest_s = self.queue.oldest_s()
        return max(0.0, time.monotonic() - oldest_s) if oldest_s is not None else 0.0

    def wake_waiters(self) -> None:
        """What comes from now on is not of this take."""
        self.queue.close()

    def step(self) -> None:
        """Write one thing, or what has waited long enough."""
        waiting = self.queue.get(_WAIT_S)
        try:
            self._ease()
            self._report()
            if self._syncer.state is WorkerState.FAILED:
                raise TakeError(f"{self.writer.part} cannot be written: {self._syncer.message}")
            if waiting is not None:
                self._write(waiting)
            if not len(self.queue):
                self.writer.tick(caught_up=True)
        except TakeError as error:
            self._give_up(error)
        if self._seconds is not None and self.elapsed_s >= self._seconds:
            self._reason = TIME_OVER
            self.request_stop()
        self.cpu_s = time.thread_time()

    def tear_down(self) -> None:
        """Write what waits, close the take, and count what could not be written."""
        self.queue.close()
        self._ended_s = time.monotonic()
        deadline_s = self._ended_s + self._config.drain_s
        try:
            while (waiting := self.queue.get(0.0)) is not None:
                self._drain(waiting, deadline_s)
        finally:
            # Whatever fails, a fault of the program included: the take is closed.
            self._close()

    def _close(self) -> None:
        while (waiting := self.queue.get(0.0)) is not None:
            self._drop(waiting.item, BROKEN)
        self._report()
        if self._hand_only:
            unseen = self.received - self._handled - self._refused[TOO_SLOW]
            self.writer.note_dropped(NOT_TRACKED, max(0, unseen))
        self.writer.note_poses_dropped(self._poses_refused)
        self._syncer.stop()
        try:
            self.receipt = self.writer.close(self._reason)
        except TakeError as error:
            self.trouble = str(error)
        self.cpu_s = time.thread_time()

    def _drain(self, waiting: Waiting, deadline_s: float) -> None:
        item = waiting.item
        if not self._failure and time.monotonic() > deadline_s:
            self._failure = TOO_SLOW
        if self._failure:
            self._drop(item, self._failure)
            return
        try:
            self._write(waiting)
        except TakeError as error:
            self._give_up(error)

    def _drop(self, item: Item, reason: str) -> None:
        if self._is_image(item):
            self._handled += 1
            self.writer.note_dropped(reason)
        self._poses_refused += isinstance(item, LiveResult)

    def _is_image(self, item: Item) -> bool:
        return isinstance(item, LiveResult if self._hand_only else CapturedFrame)

    def _give_up(self, error: TakeError) -> None:
        self.trouble = str(error)
        self._reason = self._failure = error.reason
        self.request_stop()

    def _ease(self) -> None:
        """Let the writer hurry while much waits."""
        effort = self.writer.effort
        share, late_s = (_CAUGHT_UP_SHARE, _CAUGHT_UP_S) if effort.behind else (_BEHIND_SHARE, _BEHIND_S)
        since_s = self.queue.waiting_since_s()
        waits_s = time.monotonic() - since_s if since_s is not None else 0.0
        effort.behind = self.queue.waiting_bytes > share * self._config.queue_bytes or waits_s > late_s

    def _report(self) -> None:
        """Let the file itself say what was lost: it may be all that is left of this process."""
        self.writer.camera_gaps = self.camera_gaps
        for reason, count in self._unreported().items():
            self._told[reason] += count
            self.writer.note_dropped(reason, count)

    def _write(self, waiting: Waiting) -> None:
        self.writer.came_in_s = waiting.came_in_s
        try:
            self._write_item(waiting.item)
        finally:
            self.writer.came_in_s = None

    def _write_item(self, item: Item) -> None:
        if isinstance(item, CapturedFrame):
            self.writer.write_frame(item.frame, item.epoch)
        elif isinstance(item, RecordedEvent):
            self.writer.write_event(item.kind, item.details)
        else:
            if self._hand_only:
                self._write_hand(item)
            self.writer.write_pose(item.result, item.epoch, item.latency_s)

    def _write_hand(self, live: LiveResult) -> None:
        self._handled += 1
        hand = keep_hand(live.result)
        if hand is None:
            self.writer.note_dropped(NO_HAND)
        else:
            self.writer.write_frame(hand, live.epoch, whole=live.result.frame)
