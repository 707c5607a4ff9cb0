"""`python main.py bench soak`: a camera with random faults, tracked for minutes; what broke, leaked or stuck."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import minutes, whole_number
from app.benches.memory import resident_mb, slope_of
from app.benches.shared_memory import nameless_blocks, unclaimed

if TYPE_CHECKING:
    from app.runtime.interfaces import CapturedFrame, LiveResult
    from app.runtime.session import LiveSession
    from engine.sensors.faults import Fault, FaultControl

#: Without tracking for so long, though no fault is on, the session counts as stuck.
STUCK_S = 20.0
#: What the issue asks for, from the first good frame to the first tracked one.
RESUMED_S = 1.0
#: Memory may grow by this, once everything is loaded, MB a minute.
MAX_SLOPE = 1.0
#: Before that caches and libraries still fill: memory is told, but not judged.
JUDGED_MINUTES = 10.0
_START_S = 120.0
_STOP_S = 2.0
_SAMPLE_S = 1.0
_POLL_S = 0.02
_PEACE_S = (1.0, 3.0)
_SOURCES = ("faulty::demo", "faulty:drop@0+86400:demo", "demo")
#: What of Resources must not be more after the end than before the start. File handles may: a few are the libraries'
#: own, which they keep once they are loaded; whether they become more is looked at between faults.
_NOT_TO_STAY = ("threads", "children", "blocks", "shared")
#: After so many faults, another source.
_SWITCH_EVERY = 6


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    soak = kinds.add_parser(
        "soak", help="random camera faults for minutes: crashes, leaks, stuck states", description=run.__doc__
    )
    soak.add_argument("--minutes", type=minutes, default=3.0, help="how long (default: 3)")
    soak.add_argument("--seed", type=whole_number, default=0, help="of the random faults (default: 0)")
    soak.add_argument("--no-isolate", action="store_true", help="the camera in this process; no hanging drivers then")
    soak.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Track the demo take as a live camera with one random fault after another (docs/faults.md), without a window; now
    and then exchange the source. Exit status 1 when anything crashed, stuck, leaked or came back too late.

    Leaks are looked for between faults, in the last third of them beside the first, and at the end: threads, file
    handles, child processes, shared memory; and, in runs of ten minutes and more, the slope of memory once a quarter of
    the time has passed.
    """
    from app.config import Isolated, TrackingConfig
    from app.runtime.session import LiveSession
    from app.runtime.sources import open_source
    from app.runtime.tracker_factory import limit_threads, make_tracker
    from engine.runners.choose import cpu_runner
    from engine.types import LumbricalError

    if not 0.5 <= args.minutes <= 24 * 60:
        raise LumbricalError(f"--minutes must be from 0.5 to 1440, not {args.minutes:g}")
    tracking = TrackingConfig()
    limit_threads(tracking.threads)
    opener = partial(open_source, isolated=Isolated.NONE if args.no_isolate else Isolated.CAMERAS)
    runner = cpu_runner()
    session = LiveSession(opener, _SOURCES[0], lambda: make_tracker(tracking, runner=runner))
    report = _Soak(session, args.minutes * 60, args.seed, args.no_isolate).run() | {"runner": runner}
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return 0 if report["passed"] else 1


@dataclass
class Resources:
    """What could leak: counts, blocks being shared memory without a name; the names of other such; memory in MB."""

    threads: int
    files: int
    children: int
    blocks: int
    shared: frozenset[str]
    memory_mb: float

    @classmethod
    def now(cls) -> Resources:
        """As it is; what the system does not tell counts as none."""
        return cls(
            threading.active_count(),
            len(_names("/proc/self/fd")),
            len(multiprocessing.active_children()),
            nameless_blocks(),
            unclaimed(),
            resident_mb(),
        )


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if Path(folder).is_dir() else []


@dataclass
class _Findings:
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    resumed: dict[str, list[float]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    quiet: list[Resources] = field(default_factory=list)
    switches: int = 0


@dataclass(frozen=True)
class _Moment:
    """When a frame arrived, and when its result was there; of the result only whether it has a hand."""

    arrived_s: float
    finished_s: float = 0.0
    tracked: bool = False


class _Moments:
    """A listener that keeps when things came and lets their pixels go: they would look like a leak."""

    def __init__(self, moment: Callable[[Any], _Moment]) -> None:
        self._moment = moment
        self._kept: deque[_Moment] = deque(maxlen=10_000)

    def put(self, value: Any) -> bool:
        self._kept.append(self._moment(value))
        return True

    def close(self) -> None:
        """Nobody waits here."""

    def take(self) -> list[_Moment]:
        """What came since the last call."""
        return [self._kept.popleft() for _ in range(len(self._kept))]


def _of_frame(captured: CapturedFrame) -> _Moment:
    return _Moment(captured.frame.host_time_s)


def _of_result(live: LiveResult) -> _Moment:
    return _Moment(live.result.frame.host_time_s, live.finished_s, live.result.state.value == "tracking")


class _Soak:
    """One run: a fault, its end, tracking again, some peace, the next one."""

    def __init__(self, session: LiveSession, seconds: float, seed: int, in_process: bool) -> None:
        from engine.sensors.faults import Fault
        from engine.sensors.faulty import control_of, is_faulty

        for spec in filter(is_faulty, _SOURCES):
            control_of(spec)  # for good, so not while it is looked for what stays
        self._session, self._seconds, self._seed = session, seconds, seed
        self._dice = random.Random(seed)
        hangs = (Fault.HANG, Fault.HANG_OPEN)
        self._kinds = [fault for fault in Fault if not (in_process and fault in hangs)]
        self._bag: list[Fault] = []
        self._found = _Findings()
        self._next_sample_s = 0.0
        self._said_before = ""
        self._frames, self._results = _Moments(_of_frame), _Moments(_of_result)
        session.capture.add_listener(self._frames)
        session.tracking.add_listener(self._results)

    def run(self) -> dict[str, Any]:
        before = Resources.now()
        self._session.start()
        if self._tracked(time.monotonic(), _START_S) is None:
            self._found.stuck.append(f"no tracking within {_START_S:g} s of the start: {self._session.trouble()}")
        self._began_s = time.monotonic()
        faults = 0
        while self._passed() < self._seconds and not (self._found.stuck or self._found.crashes):
            self._one_fault()
            faults += 1
            if faults % _SWITCH_EVERY == 0:
                self._switch()
        lasted_s = self._passed()
        stopping_s = time.monotonic()
        stopped = self._session.stop()
        stop_s = time.monotonic() - stopping_s
        if not stopped or stop_s > _STOP_S:
            self._found.stuck.append(f"the session did not stop within {_STOP_S:g} s ({stop_s:.1f} s)")
        return self._report(before, lasted_s, stop_s)

    def _passed(self) -> float:
        return time.monotonic() - self._began_s

    def _one_fault(self) -> None:
        from engine.sensors.faults import DEFAULT_SECONDS
        from engine.sensors.faulty import control_of, is_faulty

        spec = self._session.capture.spec
        if not is_faulty(spec):
            self._rest(3.0)
            return
        self._bag = self._bag or self._dice.sample(self._kinds, len(self._kinds))
        fault, control = self._bag.pop(), control_of(spec)
        self._said_before = self._said()
        seconds = control.inject(fault, DEFAULT_SECONDS[fault] * self._dice.uniform(0.5, 1.5))
        end_s = time.monotonic() + seconds
        self._rest(seconds, fault.value)
        self._note_recovery(fault, control, end_s)
        self._rest(self._dice.uniform(*_PEACE_S))
        self._found.quiet.append(Resources.now())

    def _note_recovery(self, fault: Fault, control: FaultControl, end_s: float) -> None:
        """Wait until the fault is over, a good frame is there and is tracked; note how long both took."""
        tracked = self._tracked(end_s, STUCK_S, fault.value)
        if tracked is None:
            state = self._session.capture.state.value
            self._found.stuck.append(f"{fault.value}: no tracking for {STUCK_S:g} s: {state}, {self._said()!r}")
            return
        good = (moment.arrived_s for moment in self._frames.take() if moment.arrived_s > end_s)
        good_s = next(good, tracked.arrived_s)
        self._found.recoveries.setdefault(fault.value, []).append(tracked.finished_s - end_s)
        self._found.resumed.setdefault(fault.value, []).append(tracked.finished_s - good_s)

    def _switch(self) -> None:
        others = [spec for spec in _SOURCES if spec != self._session.capture.spec]
        self._session.switch_source(self._dice.choice(others))
        self._found.switches += 1
        if self._tracked(time.monotonic(), STUCK_S) is None:
            self._found.stuck.append(f"no tracking after switching to {self._session.capture.spec}: {self._said()!r}")

    def _rest(self, seconds: float, fault: str = "") -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._look(fault)
            if fault:
                self._results.take()
                self._frames.take()
            time.sleep(_POLL_S)

    def _tracked(self, after_s: float, limit_s: float, fault: str = "") -> _Moment | None:
        """The first frame with a hand that arrived after a moment. fault: one that is over then; a driver that hung is
        told only when it was ended."""
        end_s = max(after_s, time.monotonic()) + limit_s
        while time.monotonic() < end_s and not self._found.crashes:
            self._look("" if fault in self._found.told else fault)
            for moment in self._results.take():
                if moment.tracked and moment.arrived_s > after_s:
                    return moment
            time.sleep(_POLL_S)
        return None

    def _look(self, fault: str) -> None:
        """Once in a while: what is said, whether a worker died, how much memory there is."""
        if fault:
            said = self._said()
            if said and said != self._said_before:  # words of the last fault stay for a while
                self._found.told[fault] = said
        for worker in (self._session.capture, self._session.tracking):
            if worker.traceback is not None and worker.traceback not in self._found.crashes:
                self._found.crashes.append(worker.traceback)
        now_s = time.monotonic()
        if now_s >= self._next_sample_s:
            self._next_sample_s = now_s + _SAMPLE_S
            self._found.memory.append((now_s, resident_mb()))

    def _said(self) -> str:
        capture = self._session.capture
        return self._session.trouble() or next(iter(capture.warnings), "")

    def _report(self, before: Resources, lasted_s: float, stop_s: float) -> dict[str, Any]:
        found = self._found
        slope, since_s = slope_of(found.memory, lasted_s)
        leaks = _leaks(before, found.quiet)
        late = {name: max(times) for name, times in found.resumed.items() if max(times) > RESUMED_S}
        left = _leaks_after(before)
        return {
            "passed": not (found.crashes or found.stuck or leaks or late)
            and _is_clean(left, slope if lasted_s >= 60 * JUDGED_MINUTES else None),
            "minutes": round(lasted_s / 60, 2),
            "seed": self._seed,
            "faults": sum(map(len, found.recoveries.values())),
            "source_switches": found.switches,
            "crashes": found.crashes,
            "stuck": found.stuck,
            "leaks": leaks,
            "late": {name: round(time_s, 3) for name, time_s in late.items()},
            "memory_mb_a_minute": None if slope is None else round(slope, 3),
            "memory_seen_s": round(since_s, 1),
            "memory_mb": [round(found.memory[0][1], 1), round(found.memory[-1][1], 1)],
            "stop_s": round(stop_s, 2),
            "left_after_stop": left,
            "by_fault": {
                name: {
                    "times": len(times),
                    "recovered_s_median": round(statistics.median(times), 3),
                    "recovered_s_max": round(max(times), 3),
                    "from_good_frame_s_max": round(max(found.resumed[name]), 3),
                    "told": found.told.get(name, ""),
                }
                for name, times in sorted(found.recoveries.items())
            },
        }


def _leaks(before: Resources, quiet: list[Resources]) -> list[str]:
    """What grew for good: more of it in every look of the last third than in any of the first."""
    if len(quiet) < 3:
        return []
    third = len(quiet) // 3
    first, last = quiet[:third], quiet[-third:]
    found = []
    for name in ("threads", "files", "children", "blocks"):
        most = max(getattr(one, name) for one in first)
        least = min(getattr(one, name) for one in last)
        if least > most:
            found.append(f"{name}: {most} before, {least} at the end")
    new = frozenset.intersection(*(one.shared for one in last)) - before.shared
    if new:
        found.append(f"shared memory: {', '.join(sorted(new)[:5])}")
    return found


def _leaks_after(before: Resources) -> Counter[str]:
    """What is there after the session has ended that was not there before it was made."""
    now = Resources.now()
    return Counter(
        threads=now.threads - before.threads,
        files=now.files - before.files,
        children=now.children - before.children,
        blocks=now.blocks - before.blocks,
        shared=len(now.shared - before.shared),
    )


def _is_clean(left: Counter[str], slope: float | None) -> bool:
    """Whether nothing stayed that must not, and memory did not grow, as far as that could be told."""
    return not any(left[name] > 0 for name in _NOT_TO_STAY) and (slope is None or slope <= MAX_SLOPE)


def _as_text(report: dict[str, Any]) -> str:
    slope = report["memory_mb_a_minute"]
    lines = [
        f"{report['minutes']:g} minutes, seed {report['seed']}: {report['faults']} faults, "
        f"{report['source_switches']} changes of the source: {'passed' if report['passed'] else 'FAILED'}",
        f"  crashes {len(report['crashes'])}, stuck {len(report['stuck'])}, leaks {len(report['leaks'])}, "
        f"memory {'?' if slope is None else f'{slope:+.2f}'} MB a minute{_judged(report)}, "
        f"stopped in {report['stop_s']:g} s",
    ]
    lines += [f"  {line}" for line in (*report["stuck"], *report["leaks"])]
    lines += [f"  {name}: {time_s:g} s until it was tracked again" for name, time_s in report["late"].items()]
    left = {name: report["left_after_stop"][name] for name in _NOT_TO_STAY if report["left_after_stop"][name] > 0}
    lines += [f"  left over at the end: {count} of {name}" for name, count in left.items()]
    lines += [
        f"  {name:12} {one['times']:3d} x, tracked {one['recovered_s_median']:.2f} s after its end "
        f"(at most {one['recovered_s_max']:.2f}), {one['from_good_frame_s_max']:.2f} s after a good frame; "
        f"{one['told']}"
        for name, one in report["by_fault"].items()
    ]
    for trace in report["crashes"]:
        print(trace, file=sys.stderr)
    return "\n".join(lines)


def _judged(report: dict[str, Any]) -> str:
    if report["minutes"] < JUDGED_MINUTES:
        return f" (judged from {JUDGED_MINUTES:g} minutes on)"
    return f" (at most {MAX_SLOPE:g})"
