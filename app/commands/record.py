"""`record SOURCE --out DIR`: a camera, or another recording, into a take, with what the tracker makes of it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from app.arguments import HEADLESS_RUNNER, add_runner, seconds
from app.commands.track import make_tracker, suited_tracker
from app.interrupts import HeldInterrupts, terminated_in_order
from app.tracked_take import TakeContents, tracker_for, write_tracked
from engine.runners.choose import FIRST_RUNNER
from engine.sensors.protocol import Sensor, SensorDisconnected
from engine.takes.convert.frames import all_frames
from engine.takes.facts import Receipt, TakeError
from engine.takes.names import SUFFIX
from engine.types import DepthFrame, LumbricalError, Side

if TYPE_CHECKING:
    from app.runtime.recorder import Recorder, RecorderStatus
    from app.runtime.session import LiveSession

_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's own options."""
    parser.add_argument("source", metavar="SOURCE", help="a camera as `doctor` lists it, or a recording to convert")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR|FILE.mcap", help="the take, or the folder it goes to"
    )
    parser.add_argument("--seconds", type=seconds, help="stop after this long (default: until Ctrl-C, or the end)")
    parser.add_argument("--user", default="", metavar="NAME", help="whose hand it is")
    parser.add_argument("--name", default="", help="a title; part of the file's name")
    parser.add_argument("--notes", default="", metavar="TEXT", help="anything worth knowing later")
    parser.add_argument(
        "--hand-only", action="store_true", help="store the hand's pixels only; nothing while no hand is tracked"
    )
    parser.add_argument("--no-track", action="store_true", help="images only, without poses")
    parser.add_argument(
        "--color",
        action="store_true",
        help="colour too, where the source has it (`convert` takes it without being asked)",
    )
    parser.add_argument(
        "--side", choices=("right", "left", "either"), help="the hand to look for (default: as SOURCE says)"
    )
    parser.add_argument("--hand", type=Path, metavar="FILE", help="your own hand's mesh, as for `track`")
    add_runner(parser, default=HEADLESS_RUNNER)
    parser.add_argument("--json", action="store_true", help="print the receipt as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Record until it is over; 0 when the take is closed and whole. Told to end (SIGTERM, SIGHUP), it closes the take
    as after Ctrl-C and returns 143 or 129."""
    from app.runtime.sources import open_any

    if args.no_track and args.hand_only:
        raise LumbricalError("--hand-only needs the tracker to know where the hand is: leave --no-track out")
    if args.no_track and args.runner is not None:
        raise LumbricalError("--runner says what computes poses, of which --no-track makes none: leave one of them out")
    _check_out(args.out)
    # What comes while the take is written waits until it is closed and its receipt told.
    with terminated_in_order(), HeldInterrupts() as interrupts:
        sensor = open_any(args.source, color=args.color)
        record = _convert if not sensor.is_live else _record_images if args.no_track else _record_live
        path, receipt, trouble = record(sensor, args, interrupts)
        if receipt is None:
            raise TakeError(trouble or f"{path} was not closed in time; it can still be opened")
        _tell(path, receipt, args.json)
        if trouble:
            raise TakeError(f"{trouble} ({path} was closed and can be played)")
        return interrupts.exit_status


def _check_out(out: Path) -> None:
    """Raise LumbricalError for a new name that looks like another kind of file: it would become a folder."""
    if out.suffix and out.suffix.lower() != SUFFIX and not out.exists():
        raise LumbricalError(
            f"--out {out} must end in {SUFFIX}, or name a folder; one with a dot in its name must exist already"
        )


def _wishes(args: argparse.Namespace) -> TakeContents:
    return TakeContents(
        track=not args.no_track, hand_only=args.hand_only, side=args.side, hand=args.hand,
        runner=args.runner or FIRST_RUNNER, user=args.user, name=args.name, notes=args.notes,
    )  # fmt: skip


def _convert(sensor: Sensor, args: argparse.Namespace, interrupts: HeldInterrupts) -> tuple[Path, Receipt | None, str]:
    """Every frame of a file, each tracked; what was written until it ends, is interrupted or fails is kept."""
    from tqdm import tqdm

    from engine.takes.names import take_path
    from engine.takes.writer import STOPPED, TakeWriter

    path, wishes = take_path(args.out, args.name), _wishes(args)
    with sensor:
        tracker = tracker_for(sensor, wishes)
        weights = tracker.runner.version if tracker is not None else ""
        # Between frames only: a chunk that is half written would spoil the file.
        interrupts.hold()
        writer = TakeWriter(path, wishes.info(sensor, wishes.side_in(sensor), weights), by_device_clock=True)
        reason, trouble = STOPPED, ""
        try:
            frames = _FirstSeconds(all_frames(sensor), args.seconds, interrupts)
            with tqdm(frames, total=sensor.frame_count, unit="frame", desc="record", leave=False, disable=None) as bar:
                write_tracked(writer, bar, tracker, args.hand_only)
            reason = frames.ended
        except TakeError as error:
            reason, trouble = error.reason, str(error)
        except KeyboardInterrupt:
            reason = "interrupted"
        except LumbricalError as error:
            reason, trouble = "the source failed", str(error)
        finally:
            receipt = writer.close(reason)
        return writer.path, receipt, trouble


class _FirstSeconds:
    """The frames of a recording's first seconds (None: all of it), until it is interrupted. ended: why there are no
    more."""

    def __init__(self, frames: Iterable[DepthFrame], seconds: float | None, interrupts: HeldInterrupts) -> None:
        self._frames, self._seconds, self._interrupts = frames, seconds, interrupts
        self.ended = "the recording was over"

    def __iter__(self) -> Iterator[DepthFrame]:
        from app.runtime.recording import TIME_OVER

        first_s = None
        for frame in self._frames:
            self._interrupts.raise_now()
            first_s = frame.device_time_s if first_s is None else first_s
            if self._seconds is not None and frame.device_time_s - first_s >= self._seconds:
                self.ended = TIME_OVER
                return
            yield frame


def _recorder() -> Recorder:
    from app.runtime.recorder import Recorder
    from app.runtime.recording import RecorderConfig

    # Who asks for a recording now has no use for what was before.
    return Recorder(RecorderConfig(preroll_s=0.0))


def _record_images(
    sensor: Sensor, args: argparse.Namespace, interrupts: HeldInterrupts
) -> tuple[Path, Receipt | None, str]:
    """A camera without the tracker."""
    from app.runtime.interfaces import CapturedFrame

    recorder = _recorder()
    with sensor:
        wishes = _wishes(args)
        interrupts.hold()
        recorder.start(args.out, wishes.info(sensor, wishes.side_in(sensor)), seconds=args.seconds)
        trouble = ""

        def step() -> None:
            frame = sensor.read(_POLL_S)
            if frame is not None:
                recorder.put_frame(CapturedFrame(frame, 0))

        try:
            _watch(recorder, step, interrupts)
        except SensorDisconnected as error:
            trouble = str(error)
        finally:
            recorder.stop()
        return _close(recorder, trouble)


def _record_live(
    sensor: Sensor, args: argparse.Namespace, interrupts: HeldInterrupts
) -> tuple[Path, Receipt | None, str]:
    """A camera with the tracker, as the app runs them; the take begins with the tracker's first frame, so that tracking
    it again gives the same poses."""
    from app.runtime.interfaces import FrameTracker
    from app.runtime.session import LiveSession
    from app.runtime.tuning import low_latency

    recorder, wishes = _recorder(), _wishes(args)
    side = None if args.side in (None, "either") else Side(args.side)

    def tracker() -> FrameTracker:
        nonlocal wishes
        found, runner = suited_tracker(sensor, lambda name: make_tracker(args.hand, runner=name), args.runner)
        wishes = replace(wishes, runner=runner)
        made = cast(FrameTracker, found)
        made.side = side
        made.reset()
        return made

    session = LiveSession(lambda _: sensor, args.source, tracker)
    recorder.attach(session)
    with sensor, low_latency():
        session.tracking.start()
        try:
            _wait_until_ready(session)
            interrupts.hold()
            recorder.start(args.out, wishes.info(sensor, side), seconds=args.seconds)
            session.capture.start()
            _watch(recorder, lambda: time.sleep(_POLL_S), interrupts, session)
            return _close(recorder, session.failure() or _unplugged(session))
        finally:
            session.stop()
            recorder.stop()


def _wait_until_ready(session: LiveSession) -> None:
    from app.runtime.worker import WorkerState

    while session.tracking.state is not WorkerState.RUNNING:
        if session.failure():
            raise LumbricalError(session.failure())
        time.sleep(_POLL_S)


def _watch(
    recorder: Recorder, step: Callable[[], None], interrupts: HeldInterrupts, session: LiveSession | None = None
) -> None:
    """Repeat step until the recording ends, by itself, by Ctrl-C, or because the program is told to end."""
    from app.runtime.recorder import RecorderState

    told_s = 0.0
    try:
        while (status := recorder.status()).state is RecorderState.RECORDING:
            if session is not None and (session.failure() or _unplugged(session)):
                return
            if sys.stderr.isatty() and time.monotonic() - told_s > 1:
                told_s = time.monotonic()
                print(f"\r\033[K{_line(status)}", end="", file=sys.stderr, flush=True)
            step()
            interrupts.raise_now()
    except KeyboardInterrupt:
        return
    finally:
        if told_s:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _unplugged(session: LiveSession) -> str:
    """Why the camera is gone, or nothing; one that only sends no pictures for a while is still open."""
    from app.runtime.worker import WorkerState

    capture = session.capture
    return capture.message if capture.state is WorkerState.WAITING and not capture.source_name else ""


def _line(status: RecorderStatus) -> str:
    left = f"{status.disk_left_s / 60:.0f} min of disk left" if status.disk_left_s is not None else ""
    dropped = sum(status.dropped.values())
    return (
        f"recording {status.elapsed_s:.0f} s, {status.size_bytes / 1e6:.0f} MB, {status.frames_written} frames, "
        f"{dropped} dropped, {left} (Ctrl-C ends it)"
    )


def _close(recorder: Recorder, trouble: str) -> tuple[Path, Receipt | None, str]:
    receipt = recorder.stop()
    status = recorder.status()
    assert status.path is not None
    return status.path, receipt, trouble or status.message


def _tell(path: Path, receipt: Receipt, as_json: bool) -> None:
    size = path.stat().st_size
    if as_json:
        print(json.dumps({"path": str(path), "bytes": size} | asdict(receipt), indent=2))
        return
    print(f"{path}: {size / 1e6:.1f} MB, {receipt.duration_s:.1f} s; {receipt.sentence()}")
    if receipt.full_size_bytes:
        share = 100 * receipt.size_bytes / receipt.full_size_bytes
        print(
            f"only the hand is in it: {receipt.size_bytes / 1e6:.1f} MB instead of about "
            f"{receipt.full_size_bytes / 1e6:.1f} MB ({share:.0f} %)"
        )
