"""The sensor's own picture: depth in colours, the crop's outline and the skeleton projected onto it. No Qt.

OpenCV draws it, outside the interpreter's lock, which the tracking thread needs at the same time.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from app.viewer.palette import BACKGROUND_EDGE, RECORDED_COLOR, depth_colors, joint_colors
from engine.types import Intrinsics, TrackingResult

Picture = NDArray[np.uint8]

#: Colours span this much depth behind the nearest hundredth of the pixels.
_SPAN_MM = 900.0
#: Of the colours, what was not measured.
_UNKNOWN = 255
#: OpenCV takes coordinates in these parts of a pixel.
_SHIFT = 4
#: How much of the crop's outline is white, the rest is what lies under it.
_CROP_SHARE = 0.6
_FINGERS = [[0, *range(first, first + 4)] for first in range(1, 21, 4)]


def depth_in_colors(depth: NDArray[np.uint16], unit_mm: float, near_mm: float, span_mm: float) -> Picture:
    """(H, W, 3) BGR: depth (H, W) in units of unit_mm, bright where it is near_mm or less, dark span_mm behind that."""
    near = np.uint16(np.clip(near_mm / unit_mm, 0, 65535))
    shade = np.asarray(cv2.convertScaleAbs(np.maximum(depth, near) - near, alpha=255 * unit_mm / span_mm), np.uint8)
    np.minimum(shade, _UNKNOWN - 1, out=shade)
    np.copyto(shade, _UNKNOWN, where=depth == 0)
    return np.asarray(cv2.applyColorMap(shade, _table()), np.uint8)


def nearest_mm(depth: NDArray[np.uint16], unit_mm: float) -> float | None:
    """How far away the nearest hundredth of the pixels is that were measured; None where none was."""
    measured = depth[depth > 0]
    if not measured.size:
        return None
    # np.percentile takes five times as long, and the interpreter's lock.
    rank = measured.size // 100
    return float(np.partition(measured, rank)[rank]) * unit_mm


class DepthPainter:
    """Paints results; the colours' range follows the scene slowly, so that noise does not make the picture flicker."""

    _EVERY = 8
    _JUMP_MM = 300.0

    def __init__(self) -> None:
        self._near_mm = 300.0

    def paint(
        self, result: TrackingResult, recorded: NDArray[np.floating] | None, size: tuple[int, int], ratio: float = 1.0
    ) -> Picture:
        """(height, width, 4) B, G, R, X of a result's frame in this size (width, height), pixels, of which `ratio` are
        as wide as one on an ordinary screen; recorded: joints (21, 3) mm that a take has for the frame."""
        frame = result.frame
        step = max(1, frame.depth.shape[1] // max(1, size[0]))
        small = frame.depth[::step, ::step]
        self._follow(nearest_mm(small[:: self._EVERY, :: self._EVERY], frame.depth_unit_mm))
        colors = depth_in_colors(small, frame.depth_unit_mm, self._near_mm, _SPAN_MM)
        picture = np.asarray(cv2.resize(colors, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        scale = size[0] / frame.intrinsics.width
        if result.crop_corners_uv is not None:
            _outline(picture, _placed(result.crop_corners_uv, scale), ratio)
        if recorded is not None and np.all(recorded[:, 2] > 1):
            colors_of = np.repeat(RECORDED_COLOR[None], len(recorded), 0)
            _bones(picture, _projected(recorded, scale, frame.intrinsics), colors_of, 1.2 * ratio)
        if result.geometry is not None and np.all(result.geometry.joints[:, 2] > 1):
            places = _projected(result.geometry.joints, scale, frame.intrinsics)
            _bones(picture, places, joint_colors(), 1.4 * ratio)
            _beads(picture, places, joint_colors(), 2.5 * ratio)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), np.uint8)

    def _follow(self, near_mm: float | None) -> None:
        if near_mm is not None:
            apart = near_mm - self._near_mm
            self._near_mm += apart * (0.1 if abs(apart) < self._JUMP_MM else 1.0)


@cache
def _table() -> Picture:
    """(256, 1, 3) BGR, near first, what is unknown last."""
    colors = np.concatenate((depth_colors(_UNKNOWN), BACKGROUND_EDGE[None]))
    return np.ascontiguousarray(np.rint(255 * np.clip(colors, 0, 1)).astype(np.uint8)[:, None, ::-1])


def _placed(uv: NDArray[np.floating], scale: float) -> NDArray[np.int32]:
    """(N, 2) places in a picture scaled by `scale`, as OpenCV takes them; whole numbers are pixels' centres in both."""
    return np.rint(((uv + 0.5) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _projected(joints: NDArray[np.floating], scale: float, camera: Intrinsics) -> NDArray[np.int32]:
    uv = joints[:, :2] / joints[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return _placed(uv, scale)


def _bgr(color: NDArray[np.floating]) -> tuple[float, float, float]:
    red, green, blue = (255.0 * float(part) for part in color)
    return blue, green, red


def _outline(picture: Picture, corners: NDArray[np.int32], ratio: float) -> None:
    white = picture.copy()
    cv2.polylines(white, [corners], True, (255, 255, 255), max(1, round(ratio)), cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(white, _CROP_SHARE, picture, 1 - _CROP_SHARE, 0.0, picture)


def _bones(picture: Picture, places: NDArray[np.int32], colors: NDArray[np.floating], width: float) -> None:
    for finger in _FINGERS:
        line = places[finger]
        cv2.polylines(picture, [line], False, _bgr(colors[finger[-1]]), max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _beads(picture: Picture, places: NDArray[np.int32], colors: NDArray[np.floating], radius: float) -> None:
    size = round(radius * (1 << _SHIFT))
    for (u, v), color in zip(places.tolist(), colors, strict=True):
        cv2.circle(picture, (u, v), size, _bgr(color), cv2.FILLED, cv2.LINE_AA, _SHIFT)
