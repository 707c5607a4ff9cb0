"""Makes the pictures of README.md and docs/ again, in docs/images:

    python tools/make_pictures.py                    all of them
    python tools/make_pictures.py hand-poses.png     the ones that are named

They are taken of the app and the hand model as they are now, so this needs a display; without one:
`xvfb-run -a -s "-screen 0 1600x1000x24" python tools/make_pictures.py`.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.config import DEMO_SOURCE, AppConfig  # noqa: E402
from app.display import require_display  # noqa: E402
from app.runtime.session import LiveSession  # noqa: E402
from app.runtime.sources import open_source  # noqa: E402
from app.runtime.tracker_factory import limit_threads, make_tracker  # noqa: E402
from app.viewer.camera import CameraPose  # noqa: E402
from app.viewer.scene import Layers, SceneBuilder, SceneInput  # noqa: E402
from engine.types import BETA_SIZE, THETA_SIZE, THICKNESS_SIZE, FloatArray, HandParameters, LumbricalError  # noqa: E402

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow

IMAGES = ROOT / "docs" / "images"
#: A recording of a real hand that may not be shipped; its picture is left as it is where the recording is absent.
OPEN_HAND = ROOT.parent / "shared" / "data" / "real" / "open-hand"

#: Articulations of the four poses in degrees: a row per finger, thumb to little, as in engine.types.HandParameters.
POSES = {
    "open": ((-14, 3, 0, -3), (-5, -9, 2, 0), (-4, -1, 2, 0), (-5, 8, 2, 0), (-5, 15, 2, 0)),
    "fist": ((18, 23, 36, 58), (84, -2, 102, 50), (86, 0, 104, 60), (88, 2, 104, 60), (90, 6, 102, 58)),
    "pinch": ((25, 7, 9, 12), (55, 0, 34, 33), (30, 0, 30, 14), (20, 4, 24, 10), (12, 10, 16, 8)),
    "point": ((18, 23, 36, 58), (2, -3, 3, 1), (86, 0, 104, 60), (88, 2, 104, 60), (90, 6, 102, 58)),
}
#: Where a hand is looked at from, degrees about the vertical from its palm, and from above.
VIEWS = (("palm", 0.0, 8.0), ("thumb side", 78.0, 8.0), ("back", 180.0, 8.0))
_CELL = (400, 430)
#: Drawn larger by this and then reduced: smooth edges, also where OpenGL runs on the processor.
_OVERSAMPLING = 3
_HAND_DISTANCE_MM = 400.0
_MIDDLE_MM = np.array([0.0, -72.0, 0.0])
_CAPTION = (196, 204, 214)

#: The window's pictures are taken this long after the first tracked frame, for the view to have settled on the hand.
_SETTLE_S = 4.0
_START_LIMIT_S = 90.0
#: From going to a frame to the picture, for the tracker to find the hand again and the view to follow.
_LEAD_S = 1.5
#: The animation: pictures a second, their size, and how far the view swings to either side, radians.
_PICTURES_PER_S = 10.0
_ANIMATION_SIZE = (880, 550)
_SWING_RAD = 0.25


def hand_poses(path: Path) -> None:
    """The mesh in four poses, each from three sides."""
    from app.viewer.open3d_view import Open3DView
    from engine.hand.hand import HandModel

    model = HandModel()
    builder = SceneBuilder(model.faces)
    width, height = _CELL
    sheet = Image.new("RGB", (width * len(POSES), height * len(VIEWS)))
    view = Open3DView(point_size=2.0, soften_edges=False)
    view.resize(width * _OVERSAMPLING, height * _OVERSAMPLING)
    for column, (pose, degrees) in enumerate(POSES.items()):
        theta = np.zeros(THETA_SIZE, np.float32)
        theta[6:] = np.deg2rad(np.array(degrees, np.float32)).ravel()
        shape = np.zeros(BETA_SIZE, np.float32), np.zeros(THICKNESS_SIZE, np.float32)
        geometry = model(HandParameters(theta, *shape, confidence=1.0))
        for row, (side, turn, above) in enumerate(VIEWS):
            scene = SceneInput(_looking_at_hand(turn, above), Layers(skeleton=False), geometry=geometry)
            drawables = {name: drawn for name, drawn in builder.build(scene).items() if name in ("backdrop", "mesh")}
            pixels = view.draw(drawables, scene.camera)
            cell = Image.fromarray(np.ascontiguousarray(pixels[..., 2::-1])).resize(_CELL, Image.Resampling.BOX)
            ImageDraw.Draw(cell).text((16, 12), f"{pose} · {side}", _CAPTION, ImageFont.load_default(17))
            sheet.paste(cell, (column * width, row * height))
    view.close()
    _write(path, lambda file: sheet.save(file, "PNG", optimize=True))


def _looking_at_hand(turn_deg: float, above_deg: float) -> CameraPose:
    yaw, pitch = np.deg2rad((turn_deg, above_deg))
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    rotation = nod @ turn
    return CameraPose(rotation, _MIDDLE_MM - rotation.T @ np.array([0, 0, _HAND_DISTANCE_MM]))


def app_on_demo(path: Path) -> None:
    """The window on the demo take, as `make run` shows it where there is no camera."""
    shots = _filmed(str(DEMO_SOURCE), _Film(start_at=225))
    _write(path, lambda file: shots[0].picture.save(file, "PNG", optimize=True))


def app_on_open_hand(path: Path) -> None:
    """The window on a recording of a real hand. Its depth pictures are not ours to show: that panel is left empty."""
    if not (OPEN_HAND / "sequence.json").is_file():
        print(f"{path.name}: left as it is, because {os.path.relpath(OPEN_HAND, ROOT)} is not here")
        return
    shots = _filmed(str(OPEN_HAND), _Film(show_depth=False, start_at=16, hold=True))
    _write(path, lambda file: shots[0].picture.save(file, "PNG", optimize=True))


def animation(path: Path) -> None:
    """The window while the demo take plays once through, in real time."""
    shots = _filmed(str(DEMO_SOURCE), _Film(whole_take=True))
    small = [shot.picture.resize(_ANIMATION_SIZE, Image.Resampling.LANCZOS) for shot in shots]
    times = [shot.time_s for shot in shots]
    shown_ms = [round(1000 * (after - before)) for before, after in pairwise(times)]
    options: dict[str, Any] = {"duration": [*shown_ms, shown_ms[-1]], "loop": 0, "quality": 60, "method": 4}
    _write(path, lambda file: small[0].save(file, "WEBP", save_all=True, append_images=small[1:], **options))


@dataclass(frozen=True)
class _Film:
    """What to take of the window: one picture, or many of the whole take. show_depth: the depth panel is not empty;
    start_at: the frame from which the recording plays on, or at which it is held, before the only picture."""

    whole_take: bool = False
    start_at: int = 0
    hold: bool = False
    show_depth: bool = True


@dataclass(frozen=True)
class _Shot:
    """A picture of the window and when it was taken."""

    time_s: float
    picture: Image.Image


def _filmed(source: str, film: _Film) -> list[_Shot]:
    """Open the app's own window on a recording, take the pictures, and close it."""
    from app.ui.application import WindowRun, run_window
    from app.ui.settings import Memory

    config = AppConfig(source=source)
    session = LiveSession(open_source, source, lambda: make_tracker(config.tracking))
    photographer = _Photographer(session, film)
    run_window(session, config, [], WindowRun(), Memory.forgetful(), photographer.begin)
    if not photographer.done:
        raise LumbricalError(photographer.trouble or "the window was closed before its pictures were taken")
    return photographer.shots


class _Photographer:
    """Waits until a hand is tracked and drawn and the view has settled, then takes the pictures and closes the window.

    While it films a whole take the view swings to both sides, so that one sees that the scene is solid.
    """

    def __init__(self, session: LiveSession, film: _Film) -> None:
        self._session, self._film = session, film
        self._results = session.listen(capacity=8)
        self._began_s = time.monotonic()
        self._tracked_s: float | None = None
        self._started_s: float | None = None
        self._joints: FloatArray | None = None
        self._position, self._played, self._swing = -1, 0, 0.0
        self.shots: list[_Shot] = []
        self.done = False
        self.trouble = ""

    def begin(self, window: MainWindow) -> None:
        """Called when the window is up."""
        from PySide6.QtCore import QTimer

        self._window = window
        self._timer = QTimer(window, interval=round(1000 / _PICTURES_PER_S))
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.monotonic()
        self.trouble = self._session.trouble() or self._window.view.trouble
        if not self.trouble and self._tracked_s is None and now - self._began_s > _START_LIMIT_S:
            self.trouble = f"no hand was tracked within {_START_LIMIT_S:g} s"
        tracking = self._look()
        if self._tracked_s is None and tracking and self._window.view.has_picture:
            self._tracked_s = now
        if self._tracked_s is not None and now - self._tracked_s > _SETTLE_S:
            self._start_or_take(now)
        if self.done or self.trouble:
            self._timer.stop()
            self._window.close()

    def _look(self) -> bool:
        """Whether a hand is tracked, by the last result; a still picture's view is turned to it at once."""
        while (live := self._results.get()) is not None:
            self._joints = live.result.geometry.joints if live.result.geometry is not None else None
        if self._joints is not None and not self._film.whole_take:
            self._window.view.camera.follow(self._joints.mean(0), math.inf)
            self._window.view.touch()
        return self._joints is not None

    def _start_or_take(self, now: float) -> None:
        if self._started_s is None:
            self._started_s = now
            if self._film.whole_take:
                return
            if self._film.hold:
                self._session.capture.pause()
            self._session.capture.seek(self._film.start_at)
        elif self._film.whole_take or now - self._started_s > _LEAD_S:
            self._take(now)

    def _take(self, now: float) -> None:
        if not self._film.show_depth:
            self._window.depth_panel.clear()
        self.shots.append(_Shot(now, _picture_of(self._window)))
        playback = self._session.capture.playback
        if not self._film.whole_take or playback is None:
            self.done = True
            return
        if self._position >= 0:
            self._played += (playback.position - self._position) % playback.frame_count
        self._position = playback.position
        self.done = self._played >= playback.frame_count
        swing = _SWING_RAD * math.sin(2 * math.pi * self._played / playback.frame_count)
        self._window.view.camera.yaw += swing - self._swing
        self._swing = swing
        self._window.view.touch()


def _picture_of(window: MainWindow) -> Image.Image:
    from PySide6.QtGui import QImage

    image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return Image.fromarray(lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy())


def _write(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Write a picture, whole or not at all, and say so."""
    buffer = io.BytesIO()
    save(buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(buffer.getvalue())
    os.replace(part, path)
    print(f"{path.relative_to(ROOT)}: {len(buffer.getvalue()) / 1e3:.0f} kB", flush=True)


PICTURES: dict[str, Callable[[Path], None]] = {
    "hand-poses.png": hand_poses,
    "app-demo.png": app_on_demo,
    "app-open-hand.png": app_on_open_hand,
    "demo.webp": animation,
}


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures that are named, or all: 0, or 2 after one line on what went wrong."""
    parser = argparse.ArgumentParser(
        description="Make the pictures of README.md and docs/ again, of the app as it is now. Needs a display."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PICTURES)} (default: all)")
    names: list[str] = parser.parse_args(arguments).names or list(PICTURES)
    try:
        for name in names:
            if name not in PICTURES:
                raise LumbricalError(f"there is no picture {name}; known are {', '.join(PICTURES)}")
        require_display()
        limit_threads(0)
        if len(names) == 1:
            PICTURES[names[0]](IMAGES / names[0])
            return 0
    except (LumbricalError, OSError) as error:
        print(f"make_pictures: {error}", file=sys.stderr)
        return 2
    # Each in a process of its own: a window of Open3D's and one of Qt's do not share one gladly.
    command = (sys.executable, str(Path(__file__).resolve()))
    statuses = [subprocess.run((*command, name), cwd=ROOT, check=False).returncode for name in names]
    return 2 if any(statuses) else 0


if __name__ == "__main__":
    raise SystemExit(main())
