"""The one module that imports Open3D: keeps a hidden Open3D window and draws scenes into pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from app.viewer.camera import CameraPose
from app.viewer.palette import BACKGROUND_EDGE
from app.viewer.scene import FAR_MM, NEAR_MM, OUT_OF_SIGHT, Drawable, Lines, Points, Surface
from engine.types import LumbricalError


class Open3DView:
    """Draws drawables with Open3D's legacy visualizer. Must live on its process's main thread, as GLFW demands.

    Geometries are added once and then updated in place; one is added anew only when its number of elements changes.
    """

    def __init__(self, point_size: float, soften_edges: bool) -> None:
        self._point_size = point_size
        self._soften = soften_edges
        self._window: o3d.visualization.Visualizer | None = None
        self._size = (0, 0)
        self._geometries: dict[str, Any] = {}
        self._counts: dict[str, tuple[int, ...]] = {}
        self._triangles: dict[str, NDArray[np.int32]] = {}
        self._hidden: set[str] = set()

    def resize(self, width: int, height: int) -> None:
        """Make pictures of this size in pixels from now on.

        Errors: LumbricalError when no OpenGL window can be made.
        """
        self.close()
        window = o3d.visualization.Visualizer()
        if not window.create_window("Lumbrical view", width, height, visible=False):
            raise LumbricalError("OpenGL gave no window for the 3D view; check the graphics driver and the display")
        options = window.get_render_option()
        options.light_on = False
        options.background_color = BACKGROUND_EDGE.astype(np.float64)
        options.point_size = self._point_size
        self._window, self._size = window, (width, height)

    def close(self) -> None:
        """Destroy the window."""
        if self._window is not None:
            self._window.destroy_window()
            self._window = None
        self._geometries.clear()
        self._counts.clear()
        self._triangles.clear()
        self._hidden.clear()

    def draw(self, drawables: dict[str, Drawable], camera: CameraPose) -> NDArray[np.uint8]:
        """The picture, (height, width, 4) uint8 in the byte order B, G, R, X. resize() must have come before."""
        assert self._window is not None
        for name, drawable in drawables.items():
            self._show(name, drawable)
        for name in self._geometries.keys() - drawables.keys() - self._hidden:
            self._hide(name)
        self._aim(camera)
        # With do_render off, what is read back is undefined for a hidden window; on, it also does the rendering.
        colors = np.asarray(self._window.capture_screen_float_buffer(True))
        # Asked before capturing, this would render the scene a second time.
        self._window.poll_events()
        picture = np.asarray(cv2.cvtColor(cv2.convertScaleAbs(colors, alpha=255.0), cv2.COLOR_RGB2BGRA), np.uint8)
        return soften_edges(picture) if self._soften else picture

    def _show(self, name: str, drawable: Drawable) -> None:
        counts = _counts(drawable)
        if self._counts.get(name) != counts:
            self._add(name, drawable, counts)
            return
        geometry = self._geometries[name]
        _write(geometry, drawable)
        if isinstance(drawable, Surface) and self._triangles[name] is not drawable.triangles:
            np.asarray(geometry.triangles)[:] = drawable.triangles
            self._triangles[name] = drawable.triangles
        assert self._window is not None
        self._window.update_geometry(geometry)
        self._hidden.discard(name)

    def _add(self, name: str, drawable: Drawable, counts: tuple[int, ...]) -> None:
        assert self._window is not None
        if name in self._geometries:
            self._window.remove_geometry(self._geometries[name], reset_bounding_box=False)
        geometry = _new_geometry(drawable)
        # The first geometry sets the bounding box, without which nothing is drawn; the camera is set by hand anyway.
        self._window.add_geometry(geometry, reset_bounding_box=not self._geometries)
        self._geometries[name], self._counts[name] = geometry, counts
        self._hidden.discard(name)
        if isinstance(drawable, Surface):
            self._triangles[name] = drawable.triangles

    def _hide(self, name: str) -> None:
        geometry = self._geometries[name]
        spots = geometry.vertices if isinstance(geometry, o3d.geometry.TriangleMesh) else geometry.points
        np.asarray(spots)[:] = OUT_OF_SIGHT
        assert self._window is not None
        self._window.update_geometry(geometry)
        self._hidden.add(name)

    def _aim(self, camera: CameraPose) -> None:
        assert self._window is not None
        width, height = self._size
        focal = camera.focal_length(height)
        parameters = o3d.camera.PinholeCameraParameters()
        parameters.intrinsic = o3d.camera.PinholeCameraIntrinsic(
            width, height, focal, focal, 0.5 * width - 0.5, 0.5 * height - 0.5
        )
        parameters.extrinsic = camera.extrinsic()
        control = self._window.get_view_control()
        control.convert_from_pinhole_camera_parameters(parameters, allow_arbitrary=True)
        control.set_constant_z_near(NEAR_MM)
        control.set_constant_z_far(FAR_MM)


def soften_edges(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend pixels at steep edges with their neighbours: what multisampling does, for a twentieth of its price here."""
    gray = cv2.cvtColor(picture, cv2.COLOR_BGRA2GRAY)
    steep = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    edges = cv2.threshold(steep, 22, 255, cv2.THRESH_BINARY)[1]
    blurred = cv2.blur(picture, (2, 2))
    cv2.copyTo(blurred, edges, picture)
    return picture


def _counts(drawable: Drawable) -> tuple[int, ...]:
    if isinstance(drawable, Surface):
        return len(drawable.vertices), len(drawable.triangles)
    if isinstance(drawable, Lines):
        return len(drawable.points), len(drawable.segments)
    return (len(drawable.points),)


def _new_geometry(drawable: Drawable) -> Any:
    vector3, vector2 = o3d.utility.Vector3dVector, o3d.utility.Vector2iVector
    if isinstance(drawable, Surface):
        mesh = o3d.geometry.TriangleMesh(
            vector3(drawable.vertices.astype(np.float64)), o3d.utility.Vector3iVector(drawable.triangles)
        )
        mesh.vertex_colors = vector3(drawable.colors.astype(np.float64))
        return mesh
    if isinstance(drawable, Lines):
        lines = o3d.geometry.LineSet(vector3(drawable.points.astype(np.float64)), vector2(drawable.segments))
        lines.colors = vector3(drawable.colors.astype(np.float64))
        return lines
    cloud = o3d.geometry.PointCloud(vector3(drawable.points.astype(np.float64)))
    cloud.colors = vector3(drawable.colors.astype(np.float64))
    return cloud


def _write(geometry: Any, drawable: Drawable) -> None:
    if isinstance(drawable, Surface):
        np.asarray(geometry.vertices)[:] = drawable.vertices
        np.asarray(geometry.vertex_colors)[:] = drawable.colors
    elif isinstance(drawable, Points | Lines):
        np.asarray(geometry.points)[:] = drawable.points
        np.asarray(geometry.colors)[:] = drawable.colors
