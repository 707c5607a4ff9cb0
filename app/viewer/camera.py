"""The free camera of the 3D view. The world is the sensor's frame: mm, x right, y down, z forward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Where a hand usually is before anything is known, mm.
RESTING_TARGET = (0.0, 0.0, 480.0)
_START = {"yaw": 0.42, "pitch": 0.22, "distance_mm": 430.0}
_DISTANCE_LIMITS_MM = (90.0, 4000.0)
_PITCH_LIMIT = 1.5
_RADIANS_PER_HEIGHT = 3.6
_ZOOM_PER_NOTCH = 0.88
FIELD_OF_VIEW = 0.72


@dataclass(frozen=True)
class CameraPose:
    """Where the view is from: x_view = rotation @ (x - eye), x right, y down, z forward; vertical field of view."""

    rotation: NDArray[np.float64]
    eye: NDArray[np.float64]
    field_of_view: float = FIELD_OF_VIEW

    def focal_length(self, height: int) -> float:
        """In pixels, of a picture that high."""
        return 0.5 * height / float(np.tan(0.5 * self.field_of_view))

    def extrinsic(self) -> NDArray[np.float64]:
        """(4, 4) world to view."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = -self.rotation @ self.eye
        return matrix


class OrbitCamera:
    """Turns about a target, which follows the hand softly until the user moves it away."""

    def __init__(self) -> None:
        self.target = np.array(RESTING_TARGET)
        self.reset()

    def reset(self) -> None:
        """Back to the starting view, following the hand again."""
        self.yaw = _START["yaw"]
        self.pitch = _START["pitch"]
        self.distance_mm = _START["distance_mm"]
        self.following = True

    def orbit(self, dx: float, dy: float) -> None:
        """Turn by a drag, in fractions of the view's height; the near side goes with the cursor."""
        self.yaw -= dx * _RADIANS_PER_HEIGHT
        self.pitch = float(np.clip(self.pitch + dy * _RADIANS_PER_HEIGHT, -_PITCH_LIMIT, _PITCH_LIMIT))

    def pan(self, dx: float, dy: float) -> None:
        """Shift by a drag, in fractions of the view's height, so that the point dragged stays under the cursor."""
        span = 2 * self.distance_mm * np.tan(0.5 * FIELD_OF_VIEW)
        self.target = self.target - self._rotation().T @ np.array([dx * span, dy * span, 0.0])
        self.following = False

    def zoom(self, notches: float) -> None:
        """Come closer by wheel notches; negative goes away."""
        self.distance_mm = float(np.clip(self.distance_mm * _ZOOM_PER_NOTCH**notches, *_DISTANCE_LIMITS_MM))

    def follow(self, point: NDArray[np.floating], seconds: float) -> None:
        """Move the target towards point, most of the way within half a second."""
        if self.following and np.all(np.isfinite(point)):
            self.target = self.target + (point - self.target) * (1.0 - np.exp(-4.0 * seconds))

    def pose(self) -> CameraPose:
        """The view as of now."""
        rotation = self._rotation()
        return CameraPose(rotation, self.target - rotation.T @ np.array([0.0, 0.0, self.distance_mm]))

    def _rotation(self) -> NDArray[np.float64]:
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        cosine, sine = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ turn
