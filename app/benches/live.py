"""`python main.py bench live`: how fast the whole live path runs on this machine, with the window open."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import minutes
from app.benches.as_run import add_runner_as_run, tracker_as_run
from app.benches.flame import FlameGraph
from app.benches.memory import CollectorWatch, MemoryLog
from app.benches.steadiness import computations_ms
from app.benches.whole_run import WholeRunStatistics
from app.display import require_display
from app.interrupts import end_at_once
from app.whole_file import check_new_file

if TYPE_CHECKING:
    from app.config import AppConfig
    from app.runtime.session import LiveSession
    from app.runtime.statistics import LiveStatistics, Percentiles, StatisticsSnapshot
    from app.ui.main_window import MainWindow

#: As fast as a RealSense D400 delivers depth at 640 x 480.
INPUT_FPS = 90.0
MAX_FRAMES = 120
MAX_SECONDS = 7200
#: Results may come a little faster than asked for.
_SPARE_ROOM = 1.1
_WARM_UP_S = 2.0
_START_LIMIT_S = 90.0
_POLL_S = 0.05
_PROGRESS_S = 0.25
#: Whether a take is recorded: in turn, because other programs' load drifts.
_PHASES = (False, True, False, True)
_BAR = "{desc} |{bar:30}| {n:.0f} of {total:.0f} s"


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    live = kinds.add_parser("live", help="results a second, latency and picture rate", description=run.__doc__)
    live.add_argument("--json", action="store_true", help="print one JSON object")
    length = live.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: 10)")
    length.add_argument(
        "--minutes", type=minutes, help="the same in minutes; from one on, memory tells whether it grows"
    )
    live.add_argument("--source", metavar="SPEC", help="the recording to play (default: the demo take)")
    live.add_argument("--fps", type=float, default=INPUT_FPS, help=f"frames a second to feed (default: {INPUT_FPS:g})")
    add_runner_as_run(live)
    live.add_argument(
        "--record", action="store_true", help="measure twice without and twice while recording, in turn, and compare"
    )
    live.add_argument(
        "--flame", type=Path, metavar="FILE", help="afterwards, where a second goes: a flame graph in SVG (with py-spy)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure the live path: sensor thread, tracking thread, window with 3D view and depth panel, as `run` opens them,
    and with the runner that `run` comes to by itself.

    Frames of a recording are decoded into memory first and then arrive, one copy each, at a fixed rate, as from a
    camera; so reading and decoding files are not measured. Latency runs from the moment a frame is there to be read to
    its finished result, waiting for either thread included. The first seconds are left out. Before and after, while
    nothing else runs, a fixed computation is timed: how steady the machine is.
    """
    from app.config import DEMO_SOURCE, AppConfig
    from app.runtime.preloaded import PreloadedSource, load_frames
    from app.runtime.sources import is_demo, open_recording
    from app.runtime.tracker_factory import limit_threads
    from engine.types import LumbricalError

    seconds = args.seconds if args.minutes is None else 60 * args.minutes
    if not 0.5 <= seconds <= MAX_SECONDS:
        raise LumbricalError(f"--seconds must be from 0.5 to {MAX_SECONDS}, --minutes up to {MAX_SECONDS // 60}")
    if not 1 <= args.fps <= 1000:
        raise LumbricalError("--fps must be from 1 to 1000")
    if args.flame is not None:
        check_new_file("--flame", args.flame, (".svg",), force=True)
    spec = str(DEMO_SOURCE) if args.source is None else args.source
    frames = load_frames(open_recording(spec), MAX_FRAMES)
    require_display()
    end_at_once()
    config = AppConfig()
    limit_threads(config.tracking.threads)

    from app.runtime.session import LiveSession
    from app.runtime.statistics import Percentiles

    alone_ms = computations_ms()
    statistics = WholeRunStatistics(round(_SPARE_ROOM * seconds * args.fps) + 1000)
    make, runner = tracker_as_run(config.tracking, args.runner)
    session = LiveSession(lambda _: PreloadedSource(frames, args.fps), spec, make, statistics)
    height, width = frames[0].depth.shape
    report = {"source": "demo" if is_demo(spec) else spec, "width": width, "height": height, "input_fps": args.fps}
    report["runner"] = runner
    with tempfile.TemporaryDirectory(prefix="lumbrical-bench-") as folder:
        flame = FlameGraph(args.flame, Path(folder)) if args.flame is not None else None
        watch = _Stopwatch(session, statistics.whole, seconds, _PHASES if args.record else _PHASES[:1], flame)
        report |= _measure(watch, session, replace(config, takes_folder=folder))
        report["machine_ms"] = _rounded(Percentiles.of([*alone_ms, *computations_ms()]))
        if flame is not None:
            flame.write()
    print(json.dumps(report, indent=2) if args.json else _as_table(report))
    return 0


def _measure(watch: _Stopwatch, session: LiveSession, config: AppConfig) -> dict[str, Any]:
    from app.ui.application import WindowRun, run_window
    from app.ui.settings import Memory
    from engine.types import LumbricalError

    run_window(session, config, [], WindowRun(), Memory.forgetful(), watch.begin)
    if watch.report is None:
        raise LumbricalError(watch.trouble or "the window was closed before the measurement was over")
    return watch.report


class _Stopwatch:
    """Waits until results and pictures come, lets them settle, measures, closes the window. phases: for each
    measurement, whether a take is recorded meanwhile; flame: sampled in the end."""

    def __init__(
        self,
        session: LiveSession,
        statistics: LiveStatistics,
        seconds: float,
        phases: tuple[bool, ...],
        flame: FlameGraph | None,
    ) -> None:
        self._session, self._statistics, self._seconds = session, statistics, seconds
        self._phases, self._reports = phases, list[dict[str, Any]]()
        self._flame = flame
        self._waited_s = 0.0
        self.report: dict[str, Any] | None = None
        self.trouble = ""

    def begin(self, window: MainWindow) -> None:
        """Called when the window is up."""
        self._window = window
        # Not at once: a window that closes before Qt's loop begins would not end the loop.
        self._later(_POLL_S, self._wait_for_start)

    def _later(self, seconds: float, action: Any) -> None:
        from PySide6.QtCore import QTimer

        QTimer.singleShot(max(1, round(1000 * seconds)), self._window, action)

    def _wait_for_start(self) -> None:
        self._waited_s += _POLL_S
        self.trouble = self._session.trouble() or self._window.view.trouble
        if self.trouble or self._waited_s > _START_LIMIT_S:
            self.trouble = self.trouble or f"no results and pictures came within {_START_LIMIT_S:g} s"
            self._window.close()
        elif self._session.statistics.snapshot().results > 0 and self._window.view.has_picture:
            self._later(_WARM_UP_S, self._start)
        else:
            self._later(_POLL_S, self._wait_for_start)

    def _start(self) -> None:
        from tqdm import tqdm

        # Silent where stderr is no terminal.
        self._bar = tqdm(total=self._seconds, desc="measuring", unit="s", disable=None, bar_format=_BAR)
        self._session.statistics.reset()
        self._memory, self._collector = MemoryLog(), CollectorWatch()
        self._collector.begin()
        self._began_s = time.monotonic()
        self._go_on()

    def _go_on(self) -> None:
        passed = time.monotonic() - self._began_s
        self._bar.update(min(passed, self._seconds) - self._bar.n)
        self._memory.sample(self._window.view.process_id)
        if passed < self._seconds and not self._session.failure():
            self._later(min(_PROGRESS_S, self._seconds - passed), self._go_on)
            return
        numbers = self._statistics.snapshot()
        pauses = self._collector.end()
        self._bar.close()
        self.trouble = self._session.trouble() or self._window.recording.alarm()
        if not numbers.results or self.trouble:
            self._window.close()
            return
        self._reports.append(_as_report(numbers, passed) | {"memory": self._memory.report(), "collector": pauses})
        recording = self._phases[len(self._reports) - 1]
        if recording:
            status = self._window.recording.view.status
            self._reports[-1]["frames_lost"] = sum(status.dropped.values())
        if len(self._reports) == len(self._phases):
            self._end(self._reports[0] if len(self._phases) == 1 else compared(self._reports))
            return
        if recording != self._phases[len(self._reports)]:
            self._window.recording.toggle()
        self._wait_for_recorder()

    def _end(self, report: dict[str, Any]) -> None:
        """Close the window, once a second more has been sampled if that is asked for."""
        if self._flame is not None and not self._flame.sampled():
            self._later(_POLL_S, lambda: self._end(report))
            return
        self.report = report
        self._window.close()

    def _wait_for_recorder(self) -> None:
        """Go on once the take has begun, or is closed."""
        from app.runtime.record_control import RecordPhase

        wanted = RecordPhase.RECORDING if self._phases[len(self._reports)] else RecordPhase.READY
        if self._window.recording.view.phase is wanted or self._window.recording.alarm():
            self._later(_WARM_UP_S, self._start)
        else:
            self._later(_POLL_S, self._wait_for_recorder)


def _as_report(numbers: StatisticsSnapshot, seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 2),
        "results_per_s": round(numbers.results_per_s, 1),
        "latency_ms": _rounded(numbers.latency),
        "stages_ms": {stage: _rounded(times) for stage, times in numbers.stages.items()},
        "draw_ms": _rounded(numbers.draw),
        "viewer_fps": round(numbers.viewer_fps, 1),
        "dropped": numbers.dropped + numbers.lost_by_sensor,
        "overtaken": numbers.dropped,
        "missed_by_capture": numbers.lost_by_sensor,
        "results": numbers.results,
    }


def _rounded(times: Percentiles) -> dict[str, float]:
    return {name: round(value, 2) for name, value in vars(times).items()}


def compared(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The first report of two that were made without recording, and what the two made while recording are as shares of
    those before them, the mean of both pairs."""
    pairs = list(zip(reports[::2], reports[1::2], strict=True))

    def share(value: Callable[[dict[str, Any]], float]) -> float | None:
        shares = [value(during) / value(before) for before, during in pairs if value(before) > 0]
        return round(sum(shares) / len(shares), 3) if shares else None

    return reports[0] | {
        "while_recording": {
            "results_per_s": share(lambda one: one["results_per_s"]),
            "viewer_fps": share(lambda one: one["viewer_fps"]),
            "latency_p50": share(lambda one: one["latency_ms"]["p50"]),
            "latency_p95": share(lambda one: one["latency_ms"]["p95"]),
            "frames_lost": sum(during["frames_lost"] for _, during in pairs),
        },
        "measurements": reports,
    }


def _as_table(report: dict[str, Any]) -> str:
    lines = [_numbers(report)]
    if (shares := report.get("while_recording")) is not None:
        words = ", ".join(f"{name} x {shares[name]}" for name in shares if name != "frames_lost")
        lines.append(f"  recording   {words}; {shares['frames_lost']} frames lost")
    return "\n".join(lines)


def _numbers(report: dict[str, Any]) -> str:
    from engine.runners.choose import RUNNERS

    latency, machine = report["latency_ms"], report["machine_ms"]
    return "\n".join(
        (
            f"{report['source']}: {report['width']} x {report['height']} at {report['input_fps']:g} frames/s, "
            f"{report['seconds']:g} s, encoder by {RUNNERS[report['runner']].title}",
            f"  results     {report['results_per_s']:8.1f} /s",
            f"  latency     {latency['p50']:8.2f} ms median, {latency['p95']:.2f} ms p95, {latency['p99']:.2f} ms p99",
            f"  3D view     {report['viewer_fps']:8.1f} pictures/s",
            f"  dropped     {report['dropped']:8d} of {report['dropped'] + report['results']} frames",
            f"  machine     {machine['p50']:8.2f} ms median, {machine['p95']:.2f} ms p95, {machine['p99']:.2f} ms p99 "
            "for a fixed computation, alone",
            *_memory(report["memory"]),
            *_stages(report),
        )
    )


def _memory(memory: dict[str, Any]) -> list[str]:
    """Of runs that last long enough for a slope."""
    return [
        f"  memory      {one['mb'][-1]:8.1f} MB in the {name} process, {one['mb_a_minute']:+.2f} MB a minute"
        for name, one in memory.items()
        if one["mb_a_minute"] is not None
    ]


def _stages(report: dict[str, Any]) -> list[str]:
    """Where the time goes; a picture is drawn beside the tracking, not after it."""
    rows = report["stages_ms"] | {"draw": report["draw_ms"]}
    return [f"  {'stage, ms':14}{'median':>6} {'p95':>6} {'p99':>6}"] + [
        f"    {name:12}{times['p50']:6.2f} {times['p95']:6.2f} {times['p99']:6.2f}" for name, times in rows.items()
    ]
