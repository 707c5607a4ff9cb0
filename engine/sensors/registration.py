"""Laying a colour image over a depth image of another camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.geometry.camera import pixel_rays
from engine.sensors.undistort import Distort
from engine.types import Intrinsics

#: Files keep a camera's place in single precision; what is nearer to none at all than this is no move of a pixel.
_SAME_TURN = 1e-6
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class ColorCamera:
    """Where the colour camera is and how it sees.

    rotation (3, 3) and translation_mm (3,) take points from the depth camera's frame into the colour camera's;
    distort maps straight rays to those of its lens (None: straight already).
    """

    intrinsics: Intrinsics
    rotation: NDArray[np.float64]
    translation_mm: NDArray[np.float64]
    distort: Distort | None = None

    def is_same(self, depth_camera: Intrinsics) -> bool:
        """Whether it is the depth camera itself, or one that sees every pixel as that does."""
        unmoved = np.allclose(self.rotation, np.eye(3), rtol=0, atol=_SAME_TURN)
        unmoved = unmoved and np.allclose(self.translation_mm, 0, rtol=0, atol=_SAME_PLACE_MM)
        return unmoved and self.distort is None and self.intrinsics == depth_camera


class Registration:
    """Colour for every pixel of a depth camera; what does not change from frame to frame is worked out once."""

    def __init__(self, camera: ColorCamera, depth_camera: Intrinsics) -> None:
        rays = pixel_rays(depth_camera)
        turned = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) @ camera.rotation.T.astype(np.float32)
        self._x, self._y, self._z = (np.ascontiguousarray(turned[..., i]) for i in range(3))
        self._camera = camera
        self._is_same = camera.is_same(depth_camera)

    def __call__(self, color: NDArray[np.uint8], depth_mm: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The colour (H, W, 3) seen at every depth pixel; black where there is no depth or no colour. Where both
        cameras are the same, the colour as it is: it is registered already, and without depth no less.

        color: (h, w, 3) uint8 of the colour camera; depth_mm: (H, W). What the colour camera cannot see, because
        something nearer hides it, gets the nearer thing's colour. Raises ValueError when an image has another size.
        """
        camera = self._camera.intrinsics
        if color.shape != (camera.height, camera.width, 3) or depth_mm.shape != self._z.shape:
            raise ValueError(f"colour {color.shape} or depth {depth_mm.shape} does not fit the cameras")
        if self._is_same:
            return color
        move = self._camera.translation_mm.astype(np.float32)
        z = self._z * depth_mm + move[2]
        valid = (depth_mm > 0) & (z > 0)
        z[~valid] = 1
        x = (self._x * depth_mm + move[0]) / z
        y = (self._y * depth_mm + move[1]) / z
        if self._camera.distort is not None:
            x, y = (bent.astype(np.float32) for bent in self._camera.distort(x.astype(float), y.astype(float)))
        u = x * np.float32(camera.fx) + np.float32(camera.cx)
        v = y * np.float32(camera.fy) + np.float32(camera.cy)
        seen = valid & np.isfinite(u) & np.isfinite(v)
        # remap() fills what lies outside the picture with its border value.
        u[~seen] = v[~seen] = -10
        registered = cv2.remap(color, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
        return np.asarray(registered, np.uint8)
