"""The view asks for a picture of what is newest, at a moment when the tracking waits."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from PySide6.QtWidgets import QWidget

from app.config import ViewerConfig
from app.runtime.interfaces import LiveResult
from app.ui.application import get_application
from app.ui.result_signal import ResultSignal
from app.ui.view3d import View3D
from engine.types import TrackingResult, TrackingState
from tests.app.fakes import make_frame
from tests.app.ui.windows import pump


def test_a_picture_is_of_the_newest_result_when_it_is_asked_for() -> None:
    get_application()
    view = View3D(ViewerConfig(max_fps_software=240.0), lambda _: None)
    asked: list[int] = []
    painted: list[int | None] = []

    def newest() -> None:
        asked.append(len(asked))
        view.show_result(TrackingResult(make_frame(len(asked)), TrackingState.SEARCHING))

    view.due.connect(newest)
    view.painted.connect(lambda: painted.append(view.shown.frame if view.shown is not None else None))
    try:
        view.show()
        assert pump(lambda: len({frame for frame in painted if frame is not None}) >= 3, 60)
        shown = view.shown
        assert shown is not None and not shown.with_hand and 0 < shown.asked_s < shown.received_s
        # No picture shows a result that came after it was asked for; each shows the one that was fetched for it.
        assert shown.frame is not None and shown.frame <= len(asked)
        assert sorted(frame for frame in painted if frame is not None) == [f for f in painted if f is not None]
    finally:
        view.stop()
        view.close()


def test_a_view_that_is_told_of_results_asks_for_pictures_then_and_else_by_itself() -> None:
    get_application()
    view = View3D(ViewerConfig(max_fps_software=240.0), lambda _: None)
    told, due = [False], list[bool]()
    view.due.connect(lambda: due.append(told[0]))
    view.due.connect(view.touch)

    def tell() -> bool:
        told[0] = True
        view.ask()
        told[0] = False
        time.sleep(0.001)
        return len(due) >= 5

    try:
        view.show()
        assert pump(lambda: len(due) >= 3, 60) and not any(due)
        view.ask()
        due.clear()
        assert pump(tell, 60) and all(due)
        due.clear()
        assert pump(lambda: len(due) >= 3, 60) and not any(due)
    finally:
        view.stop()
        view.close()


def test_pictures_that_are_put_off_come_ten_times_a_second() -> None:
    get_application()
    view = View3D(ViewerConfig(max_fps_software=240.0), lambda _: None)
    due: list[float] = []
    view.due.connect(lambda: due.append(time.monotonic()))
    view.due.connect(view.touch)

    def put_off() -> bool:
        view.put_off()
        time.sleep(0.001)
        return len(due) >= 8

    try:
        view.show()
        assert pump(lambda: view.has_picture, 60)
        due.clear()
        assert pump(put_off, 60)
        gaps = [later - sooner for sooner, later in pairwise(due[1:])]
        assert sorted(gaps)[len(gaps) // 2] >= 0.09, gaps
    finally:
        view.stop()
        view.close()


def test_results_of_another_thread_are_told_on_the_windows_thread_once_until_heard() -> None:
    get_application()
    parent = QWidget()
    results, told = ResultSignal(parent), list[threading.Thread]()
    results.came.connect(lambda: told.append(threading.current_thread()))
    live = LiveResult(TrackingResult(make_frame(0), TrackingState.SEARCHING), 0, 0.0, 0.0)

    def put() -> None:
        assert all(results.put(live) for _ in range(3))

    for count in (1, 2):
        thread = threading.Thread(target=put)
        thread.start()
        thread.join()
        assert len(told) == count - 1
        pump(lambda: False, 0.1)
        assert told == [threading.main_thread()] * count
        results.heard()
