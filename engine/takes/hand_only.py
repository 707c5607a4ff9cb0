"""Keeping only the hand's pixels, for recordings that must not show anything else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

from engine.takes.messages import color_message
from engine.types import DepthFrame, FloatArray, TrackingResult

#: What lies within this of the fitted hand's surface counts as the hand.
MARGIN_MM = 18.0
_NOTHING = np.float32(1e6)
#: Every so many frames the whole image is packed too, to tell the difference in size.
_SAMPLE_FRAMES = 10


def hand_mask(frame: DepthFrame, vertices_mm: FloatArray, margin_mm: float = MARGIN_MM) -> NDArray[np.bool_]:
    """(H, W) True where the measured depth lies within about margin_mm of the hand's surface.

    vertices_mm (V, 3): the surface's, camera frame, on the hand's own side; denser than the margin.
    """
    camera = frame.intrinsics
    mask = np.zeros(frame.depth.shape, bool)
    points = vertices_mm[vertices_mm[:, 2] > 1]
    if not len(points):
        return mask
    z = points[:, 2].astype(np.float32)
    reach = camera.fx * margin_mm / float(np.median(z))
    # A cell is a third of the margin, so that rounding to cells does not matter.
    cell = max(1, int(reach / 3))
    columns = np.floor((points[:, 0] / z * camera.fx + camera.cx) / cell).astype(np.int64)
    rows = np.floor((points[:, 1] / z * camera.fy + camera.cy) / cell).astype(np.int64)
    spread = int(np.ceil(reach / cell))
    left, top = max(0, int(columns.min()) - spread), max(0, int(rows.min()) - spread)
    right = min(-(-camera.width // cell), int(columns.max()) + spread + 1)
    bottom = min(-(-camera.height // cell), int(rows.max()) + spread + 1)
    if right <= left or bottom <= top:
        return mask
    near, far = _surface(rows - top, columns - left, z, (bottom - top, right - left), spread)
    window = np.s_[top * cell : bottom * cell, left * cell : right * cell]
    depth = frame.depth[window].astype(np.float32) * np.float32(frame.depth_unit_mm)
    near, far = (np.kron(grid, np.ones((cell, cell), np.float32))[: depth.shape[0], : depth.shape[1]]
                 for grid in (near, far))  # fmt: skip
    mask[window] = (depth > 0) & (depth >= near - margin_mm) & (depth <= far + margin_mm)
    return mask


def _surface(
    rows: NDArray[np.int64], columns: NDArray[np.int64], z: NDArray[np.float32], shape: tuple[int, int], spread: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The nearest and the farthest depth of the surface around each cell, each spread to its neighbours."""
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    near, far = np.full(shape, _NOTHING), np.full(shape, -_NOTHING)
    np.minimum.at(near, (rows[inside], columns[inside]), z[inside])
    np.maximum.at(far, (rows[inside], columns[inside]), z[inside])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * spread + 1, 2 * spread + 1))
    return np.asarray(cv2.erode(near, disc), np.float32), np.asarray(cv2.dilate(far, disc), np.float32)


def keep_hand(result: TrackingResult) -> DepthFrame | None:
    """The result's frame with all but the hand zeroed, in depth and colour; None when no hand was tracked."""
    if result.geometry is None:
        return None
    frame = result.frame
    mask = hand_mask(frame, result.geometry.surface.vertices)
    color = frame.color * mask[..., None] if frame.color is not None else None
    return replace(frame, depth=frame.depth * mask, color=color)


class SavedSize:
    """Estimates how large a take would be with whole images, from a tenth of them. level: zstd's."""

    def __init__(self, level: int) -> None:
        self._packer = zstandard.ZstdCompressor(level=level)
        self._frames = self._samples = self._saved = 0

    def note(self, hand: DepthFrame, whole: DepthFrame) -> None:
        """A frame with and without everything but the hand."""
        self._frames += 1
        if self._frames % _SAMPLE_FRAMES == 1:
            kept, all_of_it = self._size(hand), self._size(whole)
            self._samples += 1
            self._saved += all_of_it - kept

    def _size(self, frame: DepthFrame) -> int:
        color = len(color_message(frame.color, 0)) if frame.color is not None else 0
        return len(self._packer.compress(frame.depth.tobytes())) + color

    def whole_size(self, size: int, frames: int) -> int:
        """What `size` bytes with that many frames would be; 0 when no frame was noted."""
        return size + frames * self._saved // self._samples if self._samples else 0
