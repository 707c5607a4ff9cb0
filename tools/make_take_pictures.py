"""Makes the pictures of docs/takes.md again, in docs/images: records the demo take into a temporary folder, lists it,
and replays it.

    python tools/make_take_pictures.py

This needs a display; without one: `xvfb-run -a -s "-screen 0 1600x1000x24" python tools/make_take_pictures.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.config import DEMO_SOURCE, AppConfig  # noqa: E402
from app.display import require_display  # noqa: E402
from app.runtime.interfaces import FrameTracker  # noqa: E402
from app.runtime.session import LiveSession  # noqa: E402
from app.runtime.sources import open_source  # noqa: E402
from app.runtime.tracker_choice import TrackerChoice, TrackerWish  # noqa: E402
from app.runtime.tracker_factory import limit_threads, make_tracker  # noqa: E402
from tools.window_steps import until, wait  # noqa: E402

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

IMAGES = ROOT / "docs" / "images"
_TAKES = (("Opening and closing", "Ann", "thumb last", 5.0), ("", "", "", 2.0), ("Pinch", "Ben", "", 3.0))
#: Where the demo take's hand moves fast enough for two smoothings to differ, seconds after its start.
_MOVING_S = 3.0


def main() -> int:
    """Make both pictures; 0 when they are written."""
    require_display()
    limit_threads(0)
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"], os.environ["XDG_CACHE_HOME"] = home, f"{home}/cache"
        _make(Path(home) / "takes")
    return 0


def _make(folder: Path) -> None:
    from app.ui.application import dispose, get_application, save_picture
    from app.ui.main_window import MainWindow
    from app.ui.settings import Memory

    get_application()
    config = AppConfig(source=str(DEMO_SOURCE), takes_folder=str(folder))

    def make(wish: TrackerWish) -> FrameTracker:
        return make_tracker(config.tracking, None, wish.weights, wish.method, wish.source)

    session = LiveSession(open_source, str(DEMO_SOURCE), lambda: make(TrackerWish()))
    window = MainWindow(session, config, Memory.forgetful(), [], TrackerChoice(session, make))
    session.start()
    window.show()
    try:
        until(lambda: window.view.shows_result, "the first picture")
        # The seconds before a start are recorded too: all of them shall have poses.
        wait(config.recording.preroll_s)
        for name, user, notes, seconds in _TAKES:
            _record(window, name, user, notes, seconds)
        window.toggle_library()
        until(lambda: _listed(window), "the list of takes")
        window.library.list.setCurrentIndex(window.library.list.model().index(len(_TAKES) - 1, 0))
        wait(1.0)
        save_picture(window, IMAGES / "takes-library.png")
        window.library.open_selected()
        until(window.replay.switch.isEnabled, "the recorded poses")
        window.controls.set_smoothing(1.0)
        window.replay.switch.setChecked(True)
        session.capture.seek(0)
        session.capture.play()
        wait(_MOVING_S)
        session.capture.pause()
        wait(1.5)
        save_picture(window, IMAGES / "takes-compared.png")
    finally:
        window.end()
        dispose(window)
        session.stop()


def _record(window: MainWindow, name: str, user: str, notes: str, seconds: float) -> None:
    panel, finished = window.recording.panel, window.recording.view.finished
    panel.name.setText(name)
    panel.user.setText(user)
    panel.notes.setPlainText(notes)
    window.recording.toggle()
    wait(seconds)
    window.recording.toggle()
    until(lambda: window.recording.view.finished > finished, "the end of a take")
    wait(1.0)


def _listed(window: MainWindow) -> bool:
    rows = window.library.list.model().rowCount()
    return rows == len(_TAKES) and all(entry.done for entry in window.takes.view.entries)


if __name__ == "__main__":
    sys.exit(main())
