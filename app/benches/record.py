"""`python main.py bench record`: whether the recorder keeps up with the fastest camera while tracking runs."""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.interrupts import end_at_once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from app.runtime.recorder import Recorder
    from app.runtime.session import LiveSession
    from engine.takes.facts import Receipt
    from engine.types import DepthFrame

#: What a RealSense D400 delivers at most: 73 MB/s.
WIDTH, HEIGHT, FPS = 848, 480, 90.0
_FRAMES = 60
_SETTLE_S = 2.0
_ALONE_S = 5.0
_START_LIMIT_S = 90.0
_POLL_S = 0.1
#: The wall behind the hand, its distance's error and how much of it is not measured.
_WALL_MM, _NOISE_MM, _HOLES = 1500.0, 4.0, 0.08
#: No camera's images were packed less than this.
_LEAST_RATIO = 1.5


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    record = kinds.add_parser("record", help="frames lost in the recorder at 73 MB/s", description=run.__doc__)
    record.add_argument("--json", action="store_true", help="print one JSON object")
    record.add_argument("--minutes", type=float, default=10.0, help="how long to record (default: 10)")
    record.add_argument("--fps", type=float, default=FPS, help=f"frames a second to feed (default: {FPS:g})")
    record.add_argument("--out", type=Path, metavar="DIR", help="the disk to measure (default: the temporary folder)")
    record.add_argument("--keep", action="store_true", help="do not remove the take afterwards")


def run(args: argparse.Namespace) -> int:
    """Record 848 x 480 16-bit depth at 90 frames/s while the tracker runs on the same frames, without a window.

    The frames are those of the demo take, put before a wall, with noise and holes like a stereo camera's, so that they
    pack no better than real ones; they come out of memory at a fixed rate, one copy each. The tracker is measured for
    5 s without the recorder, then with it. Every frame that the recorder receives and does not write counts as lost;
    frames that the feeding thread came too late for are counted apart.
    """
    from app.config import AppConfig
    from app.runtime.tracker_factory import limit_threads
    from engine.types import LumbricalError

    if not 0.01 <= args.minutes <= 600 or not 1 <= args.fps <= 1000:
        raise LumbricalError("--minutes must be from 0.01 to 600 and --fps from 1 to 1000")
    folder = Path(tempfile.gettempdir()) if args.out is None else args.out
    if not folder.is_dir():
        raise LumbricalError(f"--out {folder}: there is no such folder; make it first")
    _check_room(folder, args)
    end_at_once()
    limit_threads(AppConfig().tracking.threads)

    from app.runtime.tuning import low_latency

    work = Path(tempfile.mkdtemp(prefix="lumbrical-bench-", dir=folder))
    try:
        with low_latency():
            report = _measure(make_frames(_FRAMES), work, args.minutes * 60, args.fps)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    if args.keep:
        report["take"] = str(next(work.glob("*.mcap"), ""))
    print(json.dumps(report, indent=2) if args.json else _as_table(report))
    return 0


def _check_room(folder: Path, args: argparse.Namespace) -> None:
    from engine.types import LumbricalError

    needed = int(2 * WIDTH * HEIGHT * args.fps * args.minutes * 60 / _LEAST_RATIO) + (512 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LumbricalError(
            f"{folder} has {free >> 30} GB free, {needed >> 30} GB may be needed: shorten --minutes or give --out"
        )


def make_frames(count: int) -> list[DepthFrame]:
    """Frames of the demo take at 848 x 480 before a wall, with a stereo camera's noise."""
    import numpy as np

    from app.config import DEMO_SOURCE
    from app.runtime.preloaded import load_frames
    from app.runtime.sources import open_recording
    from engine.types import Intrinsics

    source = load_frames(open_recording(str(DEMO_SOURCE)), count)
    rng = np.random.default_rng(0)
    camera = source[0].intrinsics
    wide = Intrinsics(WIDTH, HEIGHT, camera.fx, camera.fy, camera.cx + (WIDTH - camera.width) / 2, camera.cy)
    return [replace(frame, depth=_widened(frame.depth, frame.depth_unit_mm, rng), intrinsics=wide) for frame in source]


def _widened(
    depth: NDArray[np.uint16], unit_mm: float, rng: np.random.Generator
) -> NDArray[np.uint16]:  # fmt: skip
    import cv2
    import numpy as np

    image = np.full((HEIGHT, WIDTH), _WALL_MM / unit_mm, np.float32)
    image += np.linspace(-200, 200, WIDTH, dtype=np.float32) / unit_mm
    left = (WIDTH - depth.shape[1]) // 2
    inside = image[:, left : left + depth.shape[1]]
    np.copyto(inside, depth[:HEIGHT], where=depth[:HEIGHT] > 0)
    # A stereo camera's errors grow with the square of the distance, and neighbouring pixels err together.
    coarse = rng.normal(0, 1, (HEIGHT // 2, WIDTH // 2)).astype(np.float32)
    noise = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    image += noise * (_NOISE_MM / unit_mm) * (image * unit_mm / _WALL_MM) ** 2
    holes = cv2.resize(rng.random((HEIGHT // 6, WIDTH // 6)).astype(np.float32), (WIDTH, HEIGHT)) < _HOLES
    image[holes] = 0
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def _measure(frames: list[DepthFrame], work: Path, seconds: float, fps: float) -> dict[str, Any]:
    from app.config import AppConfig
    from app.runtime.preloaded import PreloadedSource
    from app.runtime.recorder import Recorder
    from app.runtime.recording import RecorderConfig
    from app.runtime.session import LiveSession
    from app.runtime.statistics import LiveStatistics
    from app.runtime.tracker_factory import make_tracker
    from engine.runners.choose import cpu_runner
    from engine.takes.facts import TakeInfo

    config, runner = AppConfig(), cpu_runner()
    session = LiveSession(
        lambda _: PreloadedSource(frames, fps),
        "frames in memory",
        lambda: make_tracker(config.tracking, runner=runner),
        LiveStatistics(horizon_s=math.inf),
    )
    recorder = Recorder(RecorderConfig(preroll_s=0.0))
    recorder.attach(session)
    session.start()
    try:
        _wait_for_results(session)
        alone = _track(session, _ALONE_S if seconds >= _ALONE_S else seconds)
        path = recorder.start(work, TakeInfo(sensor="frames in memory", fps=fps))
        tracked, most_backlog_s, most_waiting = _watch(session, recorder, seconds)
        receipt = recorder.stop()
        cpu_s = recorder.cpu_s
    finally:
        session.stop()
    report = _report(frames, receipt, recorder, path, fps)
    return report | {
        "runner": runner,
        "recorder_cpu_share": round(cpu_s / seconds, 3),
        "most_backlog_s": round(most_backlog_s, 3),
        "most_waiting_mb": round(most_waiting / 1e6, 1),
        "peak_memory_mb": round(_peak_bytes() / 1e6),
        "tracking_alone": alone,
        "tracking_while_recording": tracked,
    }


def _wait_for_results(session: LiveSession) -> None:
    from engine.types import LumbricalError

    deadline_s = time.monotonic() + _START_LIMIT_S
    while session.statistics.snapshot().results == 0:
        if session.trouble() or time.monotonic() > deadline_s:
            raise LumbricalError(session.trouble() or f"no results came within {_START_LIMIT_S:g} s")
        time.sleep(_POLL_S)
    time.sleep(_SETTLE_S)


def _track(session: LiveSession, seconds: float) -> dict[str, float]:
    session.statistics.reset()
    time.sleep(seconds)
    return _tracking(session)


def _tracking(session: LiveSession) -> dict[str, float]:
    numbers = session.statistics.snapshot()
    return {
        "results_per_s": round(numbers.results_per_s, 1),
        "latency_p50_ms": round(numbers.latency.p50, 2),
        "latency_p95_ms": round(numbers.latency.p95, 2),
    }


def _watch(session: LiveSession, recorder: Recorder, seconds: float) -> tuple[dict[str, float], float, int]:
    """Let it record; how tracking went, and how far writing lagged behind at most, in seconds and bytes."""
    from tqdm import tqdm

    from app.runtime.recorder import RecorderState

    session.statistics.reset()
    start_s = time.monotonic()
    most_s, most_bytes = 0.0, 0
    with tqdm(
        total=seconds, desc="recording", disable=None, leave=False, bar_format="{desc} |{bar:30}| {n:.0f} s"
    ) as bar:
        while (passed_s := time.monotonic() - start_s) < seconds:
            status = recorder.status()
            if status.state is not RecorderState.RECORDING:
                break
            most_s, most_bytes = max(most_s, status.backlog_s), max(most_bytes, status.backlog_bytes)
            bar.update(passed_s - bar.n)
            time.sleep(min(_POLL_S, max(0.0, seconds - passed_s)))
    return _tracking(session), most_s, most_bytes


def _report(
    frames: list[DepthFrame], receipt: Receipt | None, recorder: Recorder, path: Path, fps: float
) -> dict[str, Any]:
    from engine.takes.reader import Take
    from engine.types import LumbricalError

    if receipt is None:
        raise LumbricalError(recorder.status().message or "the take could not be closed in time")
    raw = receipt.frames_written * frames[0].depth.nbytes
    with Take(path) as take:
        whole, readable = take.complete, take.frame_count
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "input_fps": fps,
        "seconds": round(receipt.duration_s, 2),
        "frames_received": receipt.frames_received,
        "frames_written": receipt.frames_written,
        "frames_lost_in_recorder": receipt.frames_dropped,
        "lost_by_reason": dict(receipt.dropped),
        "frames_fed_too_late": receipt.camera_gaps,
        "ended": receipt.reason,
        "take_is_whole": whole and readable == receipt.frames_written,
        "raw_mb_per_s": round(raw / 1e6 / max(receipt.duration_s, 1e-9), 1),
        "disk_mb_per_s": round(receipt.size_bytes / 1e6 / max(receipt.duration_s, 1e-9), 1),
        "packed_to_one_in": round(raw / max(1, receipt.size_bytes), 2),
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _as_table(report: dict[str, Any]) -> str:
    alone, tracked = report["tracking_alone"], report["tracking_while_recording"]
    lost = ", ".join(f"{count} {reason}" for reason, count in report["lost_by_reason"].items())
    state = "whole" if report["take_is_whole"] else "NOT WHOLE"
    return "\n".join(
        (
            f"{report['width']} x {report['height']} at {report['input_fps']:g} frames/s, {report['seconds']:g} s, "
            f"ended: {report['ended']}; the take is {state}",
            f"  received    {report['frames_received']:8d} frames ({report['frames_fed_too_late']} were fed too late)",
            f"  lost        {report['frames_lost_in_recorder']:8d} in the recorder {lost}",
            f"  raw         {report['raw_mb_per_s']:8.1f} MB/s; to disk {report['disk_mb_per_s']:.1f} MB/s "
            f"(one in {report['packed_to_one_in']:g})",
            f"  recorder    {100 * report['recorder_cpu_share']:8.0f} % of a core; at most "
            f"{report['most_backlog_s']:.2f} s and {report['most_waiting_mb']:g} MB behind",
            f"  memory      {report['peak_memory_mb']:8d} MB at its peak, the frames that are fed included",
            f"  tracking    {tracked['results_per_s']:8.1f} results/s while recording, {alone['results_per_s']:.1f} "
            f"without; latency {tracked['latency_p50_ms']:.1f} ms median, {alone['latency_p50_ms']:.1f} without",
        )
    )
