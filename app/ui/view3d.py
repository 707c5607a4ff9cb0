"""The 3D view in the window: shows the drawing process's pictures and turns the mouse into camera moves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QSize, QSocketNotifier, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from app.config import ViewerConfig
from app.runtime.pose_comparison import ComparisonView
from app.ui import theme
from app.ui.comparison_legend import paint_comparison_legend
from app.ui.interval_legend import paint_interval_legend
from app.ui.picture import Picture
from app.viewer.camera import OrbitCamera
from app.viewer.render_process import RenderProcess, software_rendering
from app.viewer.scene import Layers, SceneInput, nearest_thing, reduced_depth
from engine.types import TrackingResult, TrackingState

_TICK_MS = 7
#: So long after a result the next one may still come in time to be asked at.
_PATIENCE_S = 0.016
#: No picture is put off for longer.
_LONGEST_S = 0.1
_RESIZE_DELAY_MS = 120
_RESTARTS = 2


@dataclass(frozen=True)
class ShownPicture:
    """What a picture shows: the number of its frame, None of the empty scene; whether a hand is in it; when it was
    asked for and when it came from the drawing process (time.monotonic())."""

    frame: int | None
    with_hand: bool
    asked_s: float
    received_s: float


class View3D(QWidget):
    """Draws the newest result at a bounded rate; a picture is asked for only when something has changed.

    due: sent when a picture may be asked for, so that it can be of what is newest then; painted: sent each time a
    picture has been painted.
    """

    due = Signal()
    painted = Signal()

    def __init__(
        self, config: ViewerConfig, on_drawn: Callable[[float], None], process: RenderProcess | None = None
    ) -> None:
        """on_drawn: told how many seconds each picture took from being asked for; process: one that was started
        before, None to start it now. It is the view's from now on."""
        super().__init__()
        self._config, self._on_drawn = config, on_drawn
        self._faces: NDArray[np.int32] | None = None
        self._software = software_rendering()
        self._camera = OrbitCamera()
        self._scene = SceneInput(self._camera.pose(), Layers())
        self._result: TrackingResult | None = None
        self._recorded: NDArray[np.floating] | None = None
        self._comparison: ComparisonView | None = None
        self._picture = Picture(self, self._paint_over)
        self._picture.painted.connect(self.painted)
        self._shown: ShownPicture | None = None
        self._frame: int | None = None
        self._asked_frame: int | None = None
        self._asked_hand = False
        self._stale = False
        self._changed = True
        self._drag_from: QPointF | None = None
        self._last_result_s = time.monotonic()
        self._restarts_left = _RESTARTS
        self.trouble = ""
        self.setMinimumSize(320, 240)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setToolTipDuration(0)
        self._start_process(process)
        fps = config.max_fps_software if self._software else config.max_fps
        self._interval_s = 1 / fps
        self._asked_s = self._submitted_s = self._told_s = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self._resize_timer = QTimer(self)
        self._resize_timer.setSingleShot(True)
        self._resize_timer.setInterval(_RESIZE_DELAY_MS)
        self._resize_timer.timeout.connect(self._resize_pictures)
        self._needs_resize = True

    @property
    def has_picture(self) -> bool:
        """Whether anything has been drawn yet."""
        return self._shown is not None

    @property
    def shows_result(self) -> bool:
        """Whether what is drawn is of a frame, not of the empty scene before the first one."""
        return self._shown is not None and self._shown.frame is not None

    @property
    def shown(self) -> ShownPicture | None:
        """The picture that is painted now."""
        return self._shown

    @property
    def process_id(self) -> int | None:
        """Of the process that draws."""
        return self._process.pid

    @property
    def camera(self) -> OrbitCamera:
        """The free camera; call touch() after moving it."""
        return self._camera

    def touch(self) -> None:
        """Ask for a new picture: the camera or the layers have changed."""
        self._changed = True

    def set_faces(self, faces: NDArray[np.int32]) -> None:
        """The hand mesh's triangles (F, 3), of a right hand."""
        self._faces = faces
        self._process.set_faces(faces)
        self.touch()

    def set_layers(self, layers: Layers) -> None:
        """Switch layers on and off."""
        self._scene = replace(self._scene, layers=layers)
        self.touch()

    def show_result(self, result: TrackingResult, recorded: NDArray[np.floating] | None = None) -> None:
        """Show this result from the next picture on, with the joints (21, 3) that a take has for its frame, if any."""
        self._result, self._recorded = result, recorded
        self.touch()

    @property
    def stale(self) -> bool:
        """See set_stale."""
        return self._stale

    def set_stale(self, stale: bool) -> None:
        """Whether the result that is shown is old: then the picture is dark, so that nobody takes it for a live one."""
        if stale != self._stale:
            self._stale = stale
            self._picture.paint_over()

    def show_comparison(self, comparison: ComparisonView | None) -> None:
        """Say which skeleton is which and how far they are apart; None: nothing is compared."""
        if comparison != self._comparison:
            self._comparison = comparison
            self._picture.paint_over()

    def _take_result(self) -> None:
        """Turn the newest result into the scene; once a picture, as results come faster than pictures."""
        result, self._result = self._result, None
        if result is None:
            return
        limit = self._config.cloud_points_software if self._software else self._config.cloud_points
        depth, intrinsics = reduced_depth(result.frame, limit)
        geometry = result.geometry
        target: NDArray[np.floating] | None = None
        if geometry is not None:
            target = 0.4 * geometry.joints[0] + 0.6 * geometry.joints[9]
        elif result.state is TrackingState.SEARCHING:
            target = nearest_thing(depth, result.frame.depth_unit_mm, intrinsics)
        now = time.monotonic()
        if target is not None:
            self._camera.follow(target, now - self._last_result_s)
        self._last_result_s = now
        self._scene = replace(
            self._scene,
            depth=depth,
            depth_unit_mm=result.frame.depth_unit_mm,
            intrinsics=intrinsics,
            geometry=geometry,
            side=result.side,
            joint_sigma_mm=result.joint_sigma_mm,
            recorded_joints=self._recorded,
        )
        self._frame = result.frame.number

    def reset_view(self) -> None:
        """Back to the starting view."""
        self._camera.reset()
        self.touch()

    def stop(self) -> None:
        """End the drawing process."""
        self._timer.stop()
        self._resize_timer.stop()
        self._notifier.setEnabled(False)
        self._process.stop()

    def _start_process(self, process: RenderProcess | None = None) -> None:
        self._process = process or RenderProcess()
        if self._faces is not None:
            self._process.set_faces(self._faces)
        self._notifier = QSocketNotifier(self._process.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._receive)
        self._needs_resize = True

    def _picture_size(self) -> QSize:
        ratio = self.devicePixelRatioF()
        width, height = self.width() * ratio, self.height() * ratio
        limit = self._config.max_pixels_software if self._software else math.inf
        shrink = min(1.0, math.sqrt(limit / max(1.0, width * height)), 4000 / width, 4000 / height)
        return QSize(max(2, round(width * shrink)), max(2, round(height * shrink)))

    def _resize_pictures(self) -> None:
        size = self._picture_size()
        self._needs_resize = not self._process.resize(size.width(), size.height())
        self.touch()

    def ask(self) -> None:
        """A good moment to ask for a picture, if one is due. Nobody needs to say so; who does is waited for."""
        self._told_s = time.monotonic()
        self._ask()

    def put_off(self) -> None:
        """A bad moment to ask for a picture: it is asked for at a better one, or when the last one gets old."""
        now = time.monotonic()
        if now - self._asked_s < _LONGEST_S:
            self._told_s = now

    def _tick(self) -> None:
        if time.monotonic() - self._told_s > _PATIENCE_S:
            self._ask()

    def _ask(self) -> None:
        if self._process.failure is not None:
            self._recover()
        if self._needs_resize and not self._resize_timer.isActive():
            self._resize_pictures()
        now = time.monotonic()
        if now - self._asked_s < self._interval_s or self._process.busy or not self.isVisible():
            return
        self.due.emit()
        if not self._changed:
            return
        self._take_result()
        if self._process.submit(replace(self._scene, camera=self._camera.pose())):
            self._submitted_s = now
            # Counted from when it was due, so that the coarse timer does not slow the pictures down.
            self._asked_s = max(self._asked_s + self._interval_s, now - 0.5 * self._interval_s)
            self._changed = False
            self._asked_frame, self._asked_hand = self._frame, self._scene.geometry is not None

    def _receive(self) -> None:
        pixels = self._process.poll()
        if pixels is None:
            if self._process.failure is not None:
                self._notifier.setEnabled(False)
            return
        received_s = time.monotonic()
        self._shown = ShownPicture(self._asked_frame, self._asked_hand, self._submitted_s, received_s)
        self.trouble = ""
        self._on_drawn(received_s - self._submitted_s)
        self._picture.show_pixels(pixels)
        self._tick()

    def _recover(self) -> None:
        failure = self._process.failure
        if failure is None or self.trouble:
            return
        self.trouble = failure.line
        self.update()
        self._picture.paint_over()
        if self._restarts_left > 0:
            self._restarts_left -= 1
            QTimer.singleShot(1000, self, self._restart)

    def _restart(self) -> None:
        self._notifier.setEnabled(False)
        self._process.stop()
        self.trouble = ""
        self._start_process()
        self.touch()

    def paintEvent(self, event: QPaintEvent) -> None:
        """What is seen before the first picture."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(theme.BACKGROUND))
            painter.setPen(QColor(theme.QUIET))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.trouble or "opening the 3D view …")

    def _paint_over(self, painter: QPainter) -> None:
        if self._stale and self.shows_result:
            theme.dim(painter, self.rect())
        if self._scene.layers.uncertainty:
            paint_interval_legend(painter, self.rect())
        if self._comparison is not None:
            paint_comparison_legend(painter, self.rect(), self._comparison)
        if self.trouble:
            painter.setPen(QColor(theme.BAD))
            painter.drawText(self.rect().adjusted(16, 12, -16, -12), Qt.AlignmentFlag.AlignBottom, self.trouble)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._picture.resize(event.size())
        self._needs_resize = True
        self._resize_timer.start()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._drag_from = event.position()
        self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag_from = None
        self.unsetCursor()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag_from is None:
            return
        moved = (event.position() - self._drag_from) / max(1, self.height())
        self._drag_from = event.position()
        panning = event.buttons() & (Qt.MouseButton.RightButton | Qt.MouseButton.MiddleButton)
        if panning or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._camera.pan(moved.x(), moved.y())
        else:
            self._camera.orbit(moved.x(), moved.y())
        self.touch()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.reset_view()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._camera.zoom(event.angleDelta().y() / 120)
        self.touch()
