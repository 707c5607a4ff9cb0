"""Makes the pictures of docs/calibration.md again, in docs/images: a rendered hand follows the wizard.

    python tools/make_calibration_pictures.py [FOLDER]

With a FOLDER, the pictures of all steps go there instead. This needs a display; without one:
`xvfb-run -a -s "-screen 0 1600x1000x24" python tools/make_calibration_pictures.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.config import AppConfig  # noqa: E402
from app.display import require_display  # noqa: E402
from app.runtime.calibration_worker import CalibrationView, Phase  # noqa: E402
from app.runtime.profile_choice import ProfileChoice  # noqa: E402
from app.runtime.session import LiveSession  # noqa: E402
from app.runtime.tracker_factory import limit_threads, make_tracker  # noqa: E402
from engine.types import FloatArray, Intrinsics, LumbricalError  # noqa: E402
from tools.window_steps import until, wait  # noqa: E402

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow
    from engine.sensors.synthetic import SyntheticSensor

IMAGES = ROOT / "docs" / "images"
_CAMERA = Intrinsics(240, 180, 225.0, 225.0, 119.5, 89.5)
_SHEET_COLUMNS, _SHEET_CELL = 6, (160, 190)
_SHEET_GROUND, _SHEET_TEXT = (21, 24, 29), (196, 204, 214)
#: Poses that have passed when the picture of them is taken.
_SHOWN = 3
_FPS = 8.0
#: Seconds from one pose to the next, and how far a hand that is held sways, radians and mm.
_MOVE_S, _SWAY_RAD, _SWAY_MM = 0.8, 0.03, 2.0
_PEOPLE_SEED, _NOISE_MM = 3, 0.8


class ObedientHand:
    """A rendered hand of another surface than the tracker's, that takes the pose it is asked for."""

    def __init__(self, asked: Callable[[], CalibrationView | None]) -> None:
        from calibration.frames import Build
        from calibration.poses import CATALOGUE, posed_hand
        from engine.evaluation.second_hand import SECOND_SURFACE, person
        from engine.hand.hand import HandModel
        from engine.hand.imports import load_hand

        self._asked = asked
        shape = person(_PEOPLE_SEED)
        self._build = Build(shape.beta.numpy().astype(float), shape.thickness.numpy().astype(float), np.zeros(100))
        self._model = HandModel(load_hand(SECOND_SURFACE))
        self._pose = posed_hand
        self._from = self._to = CATALOGUE[0]
        self._since_s = 0.0
        self._random = np.random.default_rng(0)

    def sensor(self) -> SyntheticSensor:
        """A live camera that shows it."""
        from engine.sensors.synthetic import SyntheticSensor
        from engine.types import Side

        return SyntheticSensor(self._render, _CAMERA, _FPS, live=True, side=Side.RIGHT)

    def _render(self, time_s: float) -> FloatArray:
        import torch

        from engine.geometry.rotations import matrix_to_euler
        from engine.rendering.mesh_depth import render_depth
        from engine.types import HandParameters

        view = self._asked()
        pose = view.guide.pose if view is not None and view.guide is not None else None
        if pose is not None and pose is not self._to:
            self._from, self._to, self._since_s = self._to, pose, time_s
        share = min(1.0, (time_s - self._since_s) / _MOVE_S)
        share = share * share * (3 - 2 * share)
        start, end = (self._pose(one, self._build) for one in (self._from, self._to))
        turn = _between(start.rotation, end.rotation, share)
        euler = matrix_to_euler(torch.from_numpy(turn)).numpy()
        sway = np.sin(1.7 * time_s + np.arange(20))
        angles = (1 - share) * start.articulation + share * end.articulation + _SWAY_RAD * sway
        place = (1 - share) * start.translation + share * end.translation + _SWAY_MM * sway[:3]
        theta = np.concatenate((place, euler + 0.5 * _SWAY_RAD * sway[3:6], angles)).astype(np.float32)
        shape = self._build.beta.astype(np.float32), self._build.thickness.astype(np.float32)
        surface = self._model(HandParameters(theta, *shape, 1.0)).surface
        depth = render_depth(surface.vertices, self._model.faces, _CAMERA)
        noisy = depth + _NOISE_MM * self._random.normal(size=depth.shape)
        return np.where(depth > 0, noisy, 0)


def _between(start: FloatArray, end: FloatArray, share: float) -> FloatArray:
    import cv2

    turn = cv2.Rodrigues(end @ start.T)[0]
    return np.asarray(cv2.Rodrigues(share * turn)[0] @ start)


def main(arguments: list[str]) -> int:
    """Make the pictures; 0 when they are written."""
    require_display()
    limit_threads(0)
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"], os.environ["XDG_CACHE_HOME"], os.environ["XDG_DATA_HOME"] = home, f"{home}/c", f"{home}/d"
        folder = Path(arguments[0]) if arguments else None
        _make_catalogue((folder or IMAGES) / "calibration-poses.png")
        _make(Path(home) / "profiles", folder)
    return 0


def _make_catalogue(path: Path) -> None:
    """All poses that can be asked for, with their names."""
    from app.viewer.hand_picture import HandPainter
    from calibration.poses import CATALOGUE

    painter, rows = HandPainter(), -(-len(CATALOGUE) // _SHEET_COLUMNS)
    width, height = _SHEET_CELL
    sheet = Image.new("RGB", (width * _SHEET_COLUMNS, height * rows), _SHEET_GROUND)
    for index, pose in enumerate(CATALOGUE):
        left, top = index % _SHEET_COLUMNS * width, index // _SHEET_COLUMNS * height
        picture = Image.fromarray(painter.pose(pose, width))
        sheet.paste(picture, (left, top), picture)
        place = (left + width // 2, top + width + 6)
        ImageDraw.Draw(sheet).text(place, pose.name, _SHEET_TEXT, ImageFont.load_default(13), anchor="mt")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG", optimize=True)


def _make(profiles: Path, folder: Path | None) -> None:
    from app.ui.application import dispose, get_application
    from app.ui.main_window import MainWindow
    from app.ui.settings import Memory
    from calibration.profiles import ProfileStore

    get_application()
    config = AppConfig()
    windows: list[MainWindow] = []
    hand = ObedientHand(lambda: windows[0].calibration.view if windows else None)
    session = LiveSession(lambda _: hand.sensor(), "synthetic", lambda: make_tracker(config.tracking))
    window = MainWindow(
        session, config, Memory.forgetful(), [], profiles=ProfileChoice(session, ProfileStore(profiles))
    )
    windows.append(window)
    session.start()
    window.show()
    try:
        until(lambda: window.view.shows_result, "the first picture")
        _lead(window, folder)
    finally:
        window.end()
        dispose(window)
        session.stop()


def _lead(window: MainWindow, folder: Path | None) -> None:
    from calibration.guide import Stage

    part, shots = window.calibration, _Shots(window, folder)

    def view() -> CalibrationView:
        now = part.view
        if now is None or now.phase is Phase.FAILED:
            raise LumbricalError(now.trouble if now is not None else "the calibration ended")
        return now

    part.toggle()
    part.page.name.setText("Ann")
    wait(0.5)
    shots.take("begin")
    part.page.begin()
    until(lambda: (guide := view().guide) is not None and guide.stage is Stage.COUNTDOWN, "the first pose")
    wait(0.6)
    shots.take("countdown")
    until(lambda: (guide := view().guide) is not None and guide.held > 0.5, "a pose that is held")
    shots.take("hold")
    until(lambda: (guide := view().guide) is not None and guide.stage is Stage.JUDGED, "a verdict")
    shots.take("judged")
    until(
        lambda: (guide := view().guide) is not None and len(guide.passed) >= _SHOWN and guide.held > 0.4, "some poses"
    )
    shots.take("poses", "calibration-wizard.png")
    window.calibration.page.finish_wanted.emit()
    until(lambda: view().phase is Phase.SOLVING, "solving")
    wait(0.3)
    shots.take("solving")
    until(lambda: view().phase is Phase.COMPARING, "the outcome")
    wait(0.3)
    shots.take("compare", "calibration-compared.png")
    part.page.accept_wanted.emit()
    until(lambda: view().phase is Phase.SAVED, "the profile")
    wait(0.5)
    shots.take("saved")
    part.page.take_back_wanted.emit()
    until(lambda: view().phase is Phase.TAKEN_BACK, "taking it back")
    wait(0.5)
    shots.take("taken-back")


class _Shots:
    """Pictures of the window: of all steps in a folder, or those for docs/."""

    def __init__(self, window: MainWindow, folder: Path | None) -> None:
        self._window, self._folder = window, folder

    def take(self, step: str, name: str | None = None) -> None:
        from app.ui.application import save_picture

        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_picture(self._window, self._folder / f"{step}.png")
        elif name is not None:
            save_picture(self._window, IMAGES / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
