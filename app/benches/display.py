"""`python main.py bench display`: from a frame's arrival to its picture on the screen, read back from there."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.benches.as_run import add_runner_as_run, tracker_as_run
from app.benches.flips import Flip, FlippingSource, Read, seen_after, shifted
from app.display import require_display
from app.interrupts import end_at_once

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.runtime.interfaces import LiveResult
    from app.runtime.session import LiveSession
    from app.ui.main_window import MainWindow
    from app.ui.view3d import ShownPicture
    from engine.types import DepthFrame

INPUT_FPS = 90.0
#: Not in step with frames, results or pictures.
_PAUSE_S = (0.45, 0.75)
#: Of the demo take: an open hand that nothing covers.
_FRAME = 16
_START_LIMIT_S = 90.0
_SETTLE_S = 3.0
_POLL_S = 0.05
#: Rows of pixels that are read, across the middle of each picture: the whole would take milliseconds.
_BAND_ROWS = 24


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    display = kinds.add_parser(
        "display", help="end to end: from a frame's arrival to its picture on the screen", description=run.__doc__
    )
    display.add_argument("--flips", type=int, default=100, help="how often the hand moves: 2 to 1000 (default: 100)")
    display.add_argument("--source", metavar="SPEC", help="the recording the hand is of (default: the demo take)")
    display.add_argument("--fps", type=float, default=INPUT_FPS, help=f"frames a second to feed ({INPUT_FPS:g})")
    add_runner_as_run(display)
    display.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """End-to-end latency: a camera made of one frame moves its hand 40 mm aside and back at random moments, in the
    window as `run` opens it. Each time the depth panel or the 3D view has been painted, pixels across its middle are
    read back from the screen; the first that differ show the move. Counted from the arrival of the first frame with
    the move in the sensor thread. The view's camera rests, as after a drag with the right button.
    """
    from app.config import DEMO_SOURCE, AppConfig
    from app.runtime.sources import is_demo
    from app.runtime.tracker_factory import limit_threads
    from engine.types import LumbricalError

    if not 2 <= args.flips <= 1000 or not 1 <= args.fps <= 1000:
        raise LumbricalError("--flips must be from 2 to 1000 and --fps from 1 to 1000")
    spec = str(DEMO_SOURCE) if args.source is None else args.source
    states = _states(spec)
    require_display()
    end_at_once()
    config = AppConfig()
    limit_threads(config.tracking.threads)

    from app.runtime.session import LiveSession
    from app.ui.application import WindowRun, run_window
    from app.ui.settings import Memory

    source = FlippingSource(states, args.fps, _PAUSE_S)
    make, runner = tracker_as_run(config.tracking, args.runner)
    session = LiveSession(lambda _: source, spec, make)
    watch = _Watch(session, source, args.flips)
    with tempfile.TemporaryDirectory(prefix="lumbrical-bench-") as folder:
        run_window(session, replace(config, takes_folder=folder), [], WindowRun(), Memory.forgetful(), watch.begin)
    if watch.trouble or len(source.flips) <= args.flips:
        raise LumbricalError(watch.trouble or "the window was closed before the measurement was over")
    report = {"source": "demo" if is_demo(spec) else spec, "input_fps": args.fps, "runner": runner}
    report |= watch.report()
    print(json.dumps(report, indent=2) if args.json else _as_table(report))
    return 0


def _states(spec: str) -> tuple[DepthFrame, DepthFrame]:
    """A frame of the recording, and the same with its hand aside. LumbricalError when the frame is empty."""
    from app.runtime.preloaded import load_frames
    from app.runtime.sources import open_recording
    from app.viewer.scene import nearest_thing
    from engine.types import LumbricalError

    frame = load_frames(open_recording(spec), _FRAME)[-1]
    nearest = nearest_thing(frame.depth, frame.depth_unit_mm, frame.intrinsics)
    if nearest is None:
        raise LumbricalError(f"{spec}: frame {_FRAME} is empty; give a recording of a hand")
    return frame, shifted(frame, float(nearest[2]))


class _Watch:
    """Waits until all is at rest, lets the picture flip, reads the screen after each painting, closes the window.

    put() belongs to the tracking thread, the rest to the window's.
    """

    def __init__(self, session: LiveSession, source: FlippingSource, flips: int) -> None:
        self._session, self._source, self._flips = session, source, flips
        self._waited_s = 0.0
        self._results: list[tuple[int, float, float]] = []
        self._pictures: list[ShownPicture] = []
        self._reads: dict[str, list[Read]] = {"depth panel": [], "3D view": []}
        self.trouble = ""

    def put(self, live: LiveResult) -> bool:
        """A result is out: its frame, when, and where the wrist is (not a number without a hand)."""
        geometry = live.result.geometry
        wrist = float(geometry.joints[0, 0]) if geometry is not None else math.nan
        self._results.append((live.result.frame.number, live.finished_s, wrist))
        return True

    def close(self) -> None:
        """Nobody waits here."""

    def begin(self, window: MainWindow) -> None:
        """Called when the window is up."""
        self._window = window
        # Not at once: a window that closes before Qt's loop begins would not end the loop.
        self._later(_POLL_S, self._wait_for_start)

    def _later(self, seconds: float, action: Any) -> None:
        from PySide6.QtCore import QTimer

        QTimer.singleShot(max(0, round(1000 * seconds)), self._window, action)

    def _wait_for_start(self) -> None:
        self._waited_s += _POLL_S
        self.trouble = self._session.trouble() or self._window.view.trouble
        shown = self._window.view.shown
        if not self.trouble and self._waited_s > _START_LIMIT_S:
            self.trouble = f"no picture of a tracked hand came within {_START_LIMIT_S:g} s"
        if self.trouble:
            self._window.close()
        elif shown is not None and shown.with_hand:
            self._later(_SETTLE_S, self._start)
        else:
            self._later(_POLL_S, self._wait_for_start)

    def _start(self) -> None:
        view, panel = self._window.view, self._window.depth_panel
        view.camera.following = False
        self._session.tracking.add_listener(self)
        view.painted.connect(self._view_painted)
        panel.painted.connect(self._panel_painted)
        self._later(_SETTLE_S, self._flip)

    def _flip(self) -> None:
        self._source.begin()
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        self.trouble = self._session.trouble() or self._window.view.trouble
        if self.trouble or len(self._source.flips) > self._flips:
            self._window.close()
        else:
            self._later(_POLL_S, self._wait_for_end)

    def _view_painted(self) -> None:
        shown = self._window.view.shown
        if shown is not None and shown.frame is not None:
            if not self._pictures or self._pictures[-1] is not shown:
                self._pictures.append(shown)
            # What was painted reaches the screen when Qt is done with this event.
            self._later(0, lambda: self._read("3D view", self._window.view, shown.frame))

    def _panel_painted(self) -> None:
        frame = self._window.depth_panel.frame
        if frame is not None:
            self._later(0, lambda: self._read("depth panel", self._window.depth_panel, frame))

    def _read(self, name: str, widget: QWidget, frame: int | None) -> None:
        if frame is None or self.trouble:
            return
        pixels = read_screen(widget)
        if pixels is None:
            self.trouble = "the screen cannot be read back here: this bench needs X11"
            self._window.close()
            return
        self._reads[name].append(Read(pixels, time.monotonic(), frame))

    def report(self) -> dict[str, Any]:
        """What was measured."""
        return summary(self._source.flips, self._results, self._pictures, self._reads)


def read_screen(widget: QWidget) -> NDArray[np.uint8] | None:
    """Every other pixel of every third row across the middle of a widget, as the screen shows it: its green, (rows,
    columns) uint8. None where the system does not let the screen be read."""
    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QImage

    window = widget.window()
    corner = widget.mapTo(window, QPoint(0, max(0, (widget.height() - _BAND_ROWS) // 2)))
    picture = window.screen().grabWindow(
        window.winId(), corner.x(), corner.y(), widget.width(), min(_BAND_ROWS, widget.height())
    )
    image = picture.toImage().convertToFormat(QImage.Format.Format_RGB32)
    if image.isNull():
        return None
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return pixels[::3, : image.width() : 2, 1].copy()


def summary(
    flips: Sequence[Flip],
    results: Sequence[tuple[int, float, float]],
    pictures: Sequence[ShownPicture],
    reads: dict[str, list[Read]],
) -> dict[str, Any]:
    """Milliseconds from the arrival of each flip to its result and to both of its pictures, and what the 3D view's are
    made of. results: a frame's number, when its result was out, and the x of its wrist, mm."""
    measured = flips[:-1]
    finished = [next((one for one in results if one[0] >= flip.number), None) for flip in measured]
    drawn = [next((one for one in pictures if one.frame is not None and one.frame >= flip.number), None)
             for flip in measured]  # fmt: skip
    seen = {name: seen_after(flips, found) for name, found in reads.items()}
    rows = [
        (flip, result, picture, read)
        for flip, result, picture, read in zip(measured, finished, drawn, seen["3D view"], strict=True)
        if result is not None and picture is not None and read is not None
    ]
    return {
        "flips": len(measured),
        "unseen": {name: sum(read is None for read in found) for name, found in seen.items()},
        # A picture that shows the move though the app made it of an older frame: pixels were misread.
        "too_early": sum(read.frame < flip.number for found in seen.values()
                         for flip, read in zip(measured, found, strict=True) if read is not None),
        "moved_mm": _moved(measured, results),
        "latency_ms": {
            "result": _times(r[1] - f.arrived_s for f, r in zip(measured, finished, strict=True) if r is not None),
            **{
                name: _times(r.read_s - f.arrived_s for f, r in zip(measured, found, strict=True) if r is not None)
                for name, found in seen.items()
            },
        },
        "view_stages_ms": {
            "tracked": _times(result[1] - flip.arrived_s for flip, result, _, _ in rows),
            "waits": _times(picture.asked_s - result[1] for _, result, picture, _ in rows),
            "drawn": _times(picture.received_s - picture.asked_s for _, _, picture, _ in rows),
            "painted, read": _times(read.read_s - picture.received_s for _, _, picture, read in rows),
        },
    }  # fmt: skip


def _moved(flips: Sequence[Flip], results: Sequence[tuple[int, float, float]]) -> float | None:
    """How far the tracked wrist went to the side, mm: median over the flips, at the end of each state."""
    ends = [max((one for one in results if one[0] < flip.number), default=None) for flip in flips]
    places = [one[2] for one in ends if one is not None and not math.isnan(one[2])]
    steps = [abs(after - before) for before, after in pairwise(places)]
    return round(statistics.median(steps), 1) if steps else None


def _times(seconds: Iterable[float]) -> dict[str, float | None]:
    values = [1000 * value for value in seconds]
    if not values:
        return {"mean": None, "p50": None, "p95": None, "max": None}
    p50, p95 = np.percentile(values, (50, 95))
    mean = statistics.fmean(values)
    return {
        "mean": round(mean, 1),
        "p50": round(float(p50), 1),
        "p95": round(float(p95), 1),
        "max": round(max(values), 1),
    }


def _as_table(report: dict[str, Any]) -> str:
    from engine.runners.choose import RUNNERS

    def row(name: str, times: dict[str, float | None]) -> str:
        return f"  {name:26}" + " ".join("       –" if one is None else f"{one:8.1f}" for one in times.values())

    lines = [
        f"{report['source']} at {report['input_fps']:g} frames/s, encoder by {RUNNERS[report['runner']].title}: "
        f"the hand moved aside {report['flips']} times, by {report['moved_mm']} mm as tracked",
        f"  ms since the frame came   {'mean':>8} {'median':>8} {'p95':>8} {'slowest':>8}",
        *(row(name, times) for name, times in report["latency_ms"].items()),
        "  of which the 3D view's",
        *(row(f"  {name}", times) for name, times in report["view_stages_ms"].items()),
    ]
    unseen = sum(report["unseen"].values())
    if unseen or report["too_early"]:
        lines.append(f"  not seen: {unseen}, misread: {report['too_early']}")
    return "\n".join(lines)
