"""What the 3D view shows, as plain arrays: surfaces, points and lines with their colours. No Open3D."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.viewer import shapes
from app.viewer.camera import CameraPose
from app.viewer.palette import (
    BACKGROUND_CENTER,
    BACKGROUND_EDGE,
    FINGER_COLORS,
    RECORDED_COLOR,
    SKIN_COLOR,
    WRIST_COLOR,
    depth_colors,
    interval_colors,
    joint_colors,
)
from app.viewer.shapes import F32, I32
from engine.metrics import INTERVAL_SHARE, interval_radius
from engine.types import JOINT_PARENTS, DepthFrame, HandGeometry, Intrinsics, Side

#: Points that are not to be seen are put beyond the far plane: arrays keep their sizes, so nothing is added anew.
OUT_OF_SIGHT = 1e7
FAR_MM = 12_000.0
NEAR_MM = 5.0

#: Layers are pulled towards the viewer along the lines of sight: the picture stays the same, but what is inside the
#: hand shows through what is around it, as on an X-ray.
_PULL = {"mesh": 0.985, "gaussians": 0.75, "recorded": 0.5, "skeleton": 0.5, "uncertainty": 0.46}
_JOINT_RADII_MM = np.array([5.0] + [4.4, 4.0, 3.7, 3.4] * 5, np.float32)
_BONE_RADIUS_MM = 2.1
_RECORDED_GIRTH = 0.8
_TUBE_SEGMENTS = 10
_RING_SEGMENTS = 40
#: Of a ring's band, as a share of the distance: two pixels and a half in a picture 600 pixels high.
_RING_WIDTH = 0.0031
#: Bones while the joints' colours say how sure they are.
_PLAIN_BONE = np.array((0.42, 0.46, 0.52), np.float32)
_BACKDROP_MM = 9000.0
_BACKDROP_CELLS = 10
#: The cloud fades out towards the far end of this range.
_CLOUD_RANGE_MM = (200.0, 1600.0)
#: Seen from within it, the outline of the sensor would only be in the way.
_SENSOR_SHOWN_FROM_MM = 260.0
_THING_DEPTH_MM = 150.0
_LINE_COLOR = np.array((0.16, 0.19, 0.23), np.float32)


@dataclass(frozen=True)
class Layers:
    """Which layers are switched on."""

    skeleton: bool = True
    gaussians: bool = False
    mesh: bool = True
    cloud: bool = True
    uncertainty: bool = False


@dataclass(frozen=True)
class SceneInput:
    """Everything one picture of the 3D view depends on.

    depth: (H, W) uint16, usually reduced (see reduced_depth), with the intrinsics that fit it; geometry: the hand in
    the camera frame, or None while there is none; joint_sigma_mm: (21,) of its joints, as in TrackingResult, or None
    where it is not known; recorded_joints: (21, 3) of a take's own pose, to be drawn beside it, or None.
    """

    camera: CameraPose
    layers: Layers
    depth: NDArray[np.uint16] | None = None
    depth_unit_mm: float = 1.0
    intrinsics: Intrinsics | None = None
    geometry: HandGeometry | None = None
    side: Side = Side.RIGHT
    joint_sigma_mm: NDArray[np.floating] | None = None
    recorded_joints: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Surface:
    """Triangles with a colour per vertex."""

    vertices: F32
    triangles: I32
    colors: F32


@dataclass(frozen=True)
class Points:
    """Single points."""

    points: F32
    colors: F32


@dataclass(frozen=True)
class Lines:
    """Segments between points, a colour per segment."""

    points: F32
    segments: I32
    colors: F32


Drawable = Surface | Points | Lines


def reduced_depth(frame: DepthFrame, max_points: int) -> tuple[NDArray[np.uint16], Intrinsics]:
    """Every n-th pixel of a frame so that at most max_points are left, as a copy, with the intrinsics that fit it."""
    height, width = frame.depth.shape
    stride = max(1, int(np.ceil(np.sqrt(height * width / max_points))))
    depth = frame.depth[::stride, ::stride].copy()
    old = frame.intrinsics
    scaled = (value / stride for value in (old.fx, old.fy, old.cx, old.cy))
    return depth, Intrinsics(depth.shape[1], depth.shape[0], *scaled)


def nearest_thing(depth: NDArray[np.uint16], unit_mm: float, intrinsics: Intrinsics) -> NDArray[np.float64] | None:
    """The middle (3,) mm, camera frame, of what stands nearest to the sensor; None where nothing was measured."""
    step = max(1, depth.shape[1] // 80)
    rows, columns = (step * places for places in np.nonzero(depth[::step, ::step]))
    if not len(rows):
        return None
    z = depth[rows, columns].astype(np.float64) * unit_mm
    # A few stray pixels do not count as the nearest thing.
    near = z < np.percentile(z, 3) + _THING_DEPTH_MM
    u, v, z = columns[near], rows[near], z[near]
    x, y = (u - intrinsics.cx) / intrinsics.fx * z, (v - intrinsics.cy) / intrinsics.fy * z
    return np.array([np.median(x), np.median(y), np.median(z)])


@dataclass
class _GaussianLook:
    """Colours and triangles of the Gaussians, worked out when their number changes."""

    colors: F32
    triangles: I32


@dataclass
class SceneBuilder:
    """Turns a SceneInput into named drawables; keeps what does not change between pictures.

    faces: (F, 3) triangles of the hand mesh, of a right hand, outwards.
    """

    faces: I32 = field(default_factory=lambda: np.zeros((0, 3), np.int32))

    def __post_init__(self) -> None:
        self._sphere = shapes.unit_sphere(7, 12)
        self._bead = shapes.unit_sphere(5, 9)
        sphere_count = len(self._sphere[0])
        joints = shapes.repeat_triangles(self._sphere[1], sphere_count, 21)
        bones = shapes.repeat_triangles(shapes.tube_triangles(_TUBE_SEGMENTS), 2 * _TUBE_SEGMENTS, 20)
        self._skeleton_triangles = np.concatenate((joints, bones + 21 * sphere_count)).astype(np.int32)
        colors = joint_colors()
        self._skeleton_colors = np.concatenate(
            (np.repeat(colors, sphere_count, axis=0), np.repeat(colors[1:] * 0.92, 2 * _TUBE_SEGMENTS, axis=0))
        )
        self._ring_triangles = shapes.repeat_triangles(shapes.tube_triangles(_RING_SEGMENTS), 2 * _RING_SEGMENTS, 21)
        self._depth_colors = depth_colors()
        self._normals: dict[Side, tuple[int, I32, shapes.NormalTable]] = {}
        self._gaussian_look: _GaussianLook | None = None
        self._ground = _ground_lines()
        self._sensor = _sensor_lines()

    def build(self, scene: SceneInput) -> dict[str, Drawable]:
        """The drawables of one picture; a layer that is off or empty is left out."""
        drawables: dict[str, Drawable] = {"backdrop": _backdrop(scene.camera), "ground": self._ground}
        if np.linalg.norm(scene.camera.eye) > _SENSOR_SHOWN_FROM_MM:
            drawables["sensor"] = self._sensor
        if scene.layers.cloud and scene.depth is not None and scene.intrinsics is not None:
            drawables["cloud"] = self._cloud(scene.depth, scene.depth_unit_mm, scene.intrinsics)
        if scene.recorded_joints is not None:
            drawables["recorded"] = self._recorded(scene.recorded_joints, scene.camera)
        hand = scene.geometry
        if hand is None:
            return drawables
        if scene.layers.mesh and len(self.faces) and self.faces.max() < len(hand.surface.vertices):
            drawables["mesh"] = self._mesh(hand, scene)
        if scene.layers.gaussians and len(hand.surface.gaussian_means):
            drawables["gaussians"] = self._gaussians(hand, scene)
        intervals = _interval_radii(scene)
        if scene.layers.skeleton:
            drawables["skeleton"] = self._skeleton(hand, scene, intervals)
        if intervals is not None:
            drawables["uncertainty"] = self._rings(hand, intervals, scene.camera)
        return drawables

    def _mesh(self, hand: HandGeometry, scene: SceneInput) -> Surface:
        triangles, table = self._mesh_tables(scene.side, len(hand.surface.vertices))
        vertices = hand.surface.vertices.astype(np.float32)
        return _lit("mesh", vertices, table.normals(vertices), triangles, SKIN_COLOR, scene.camera)

    def _mesh_tables(self, side: Side, vertex_count: int) -> tuple[I32, shapes.NormalTable]:
        known = self._normals.get(side)
        if known is None or known[0] != vertex_count:
            triangles = np.ascontiguousarray(self.faces if side is Side.RIGHT else self.faces[:, ::-1])
            known = (vertex_count, triangles, shapes.NormalTable(triangles, vertex_count))
            self._normals[side] = known
        return known[1], known[2]

    def _gaussians(self, hand: HandGeometry, scene: SceneInput) -> Surface:
        means, sigmas = hand.surface.gaussian_means, hand.surface.gaussian_sigmas
        count, bead_count = len(means), len(self._bead[0])
        look = self._gaussian_look
        if look is None or len(look.colors) != count * bead_count:
            colors = np.repeat(_nearest_bone_colors(means, hand.joints), bead_count, axis=0)
            look = _GaussianLook(colors, shapes.repeat_triangles(self._bead[1], bead_count, count))
            self._gaussian_look = look
        # Over the mesh they are beads that leave it visible; on their own they show how far each one reaches.
        reach = 0.7 if scene.layers.mesh else 1.0
        points, normals = shapes.spheres(self._bead, means, sigmas * np.float32(reach))
        return _lit("gaussians", points, normals, look.triangles, look.colors, scene.camera, rim=0.55)

    def _rings(self, hand: HandGeometry, radii: F32, camera: CameraPose) -> Surface:
        """The outlines of balls that hold the joints with probability INTERVAL_SHARE."""
        eye = camera.eye.astype(np.float32)
        points = shapes.rings(hand.joints.astype(np.float32), radii, _RING_WIDTH, eye, _RING_SEGMENTS)
        colors = np.repeat(interval_colors(radii), 2 * _RING_SEGMENTS, axis=0)
        return Surface(_pulled("uncertainty", points, eye), self._ring_triangles, colors)

    def _skeleton(self, hand: HandGeometry, scene: SceneInput, intervals: F32 | None) -> Surface:
        # Thinner before the Gaussians, which it would otherwise hide.
        points, normals = self._bones(hand.joints, 0.6 if scene.layers.gaussians else 1.0)
        colors = self._skeleton_colors if intervals is None else self._surety_colors(intervals)
        return _lit("skeleton", points, normals, self._skeleton_triangles, colors, scene.camera)

    def _recorded(self, joints: NDArray[np.floating], camera: CameraPose) -> Surface:
        """A skeleton of one colour: not to be taken for the one that is tracked now."""
        points, normals = self._bones(joints, _RECORDED_GIRTH)
        return _lit("recorded", points, normals, self._skeleton_triangles, RECORDED_COLOR, camera, rim=0.2)

    def _bones(self, joints: NDArray[np.floating], girth: float) -> tuple[F32, F32]:
        """Points and normals of balls at the joints, and of tubes between them."""
        joints = joints.astype(np.float32)
        points, normals = shapes.spheres(self._sphere, joints, _JOINT_RADII_MM * np.float32(girth))
        radii = np.full(20, _BONE_RADIUS_MM * girth, np.float32)
        parents = joints[list(JOINT_PARENTS[1:])]
        tube_points, tube_normals = shapes.tubes(parents, joints[1:], 1.25 * radii, radii, _TUBE_SEGMENTS)
        return np.concatenate((points, tube_points)), np.concatenate((normals, tube_normals))

    def _surety_colors(self, intervals: F32) -> F32:
        """The skeleton's, when its joints show how sure they are."""
        joints = np.repeat(interval_colors(intervals), len(self._sphere[0]), axis=0)
        return np.concatenate((joints, np.broadcast_to(_PLAIN_BONE, (20 * 2 * _TUBE_SEGMENTS, 3))))

    def _cloud(self, depth: NDArray[np.uint16], unit_mm: float, intrinsics: Intrinsics) -> Points:
        z = depth.astype(np.float32) * np.float32(unit_mm)
        u = (np.arange(depth.shape[1], dtype=np.float32) - intrinsics.cx) / np.float32(intrinsics.fx)
        v = (np.arange(depth.shape[0], dtype=np.float32) - intrinsics.cy) / np.float32(intrinsics.fy)
        points = np.stack((z * u, z * v[:, None], z), -1).reshape(-1, 3)
        points[z.ravel() == 0] = OUT_OF_SIGHT
        nearest, farthest = _CLOUD_RANGE_MM
        shade = np.clip((z - nearest) * (255 / (farthest - nearest)), 0, 255).astype(np.uint8)
        return Points(points, self._depth_colors[shade.ravel()])


def _lit(
    layer: str, points: F32, normals: F32, triangles: I32, base: F32, camera: CameraPose, rim: float = 0.35
) -> Surface:
    rotation, eye = camera.rotation.astype(np.float32), camera.eye.astype(np.float32)
    colors = shapes.shade(base, points, normals, rotation, eye, rim=rim)
    return Surface(_pulled(layer, points, eye), triangles, colors)


def _pulled(layer: str, points: F32, eye: F32) -> F32:
    return eye + (points - eye) * np.float32(_PULL[layer])


def _interval_radii(scene: SceneInput) -> F32 | None:
    """(21,) mm of the joints' intervals, None when they are not to be drawn or not known."""
    if not scene.layers.uncertainty or scene.joint_sigma_mm is None:
        return None
    return np.asarray(interval_radius(INTERVAL_SHARE) * scene.joint_sigma_mm, np.float32)


def _nearest_bone_colors(points: F32, joints: F32) -> F32:
    """(N, 3): the colour of the finger whose bone is nearest; paler at the metacarpals, which are the palm."""
    start, end = joints[list(JOINT_PARENTS[1:])], joints[1:]
    along = end - start
    share = ((points[:, None] - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-6)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    bone = np.linalg.norm(points[:, None] - nearest, axis=-1).argmin(1)
    colors = FINGER_COLORS[bone // 4]
    return np.where((bone % 4 == 0)[:, None], 0.45 * colors + 0.55 * WRIST_COLOR, colors).astype(np.float32)


def _backdrop(camera: CameraPose) -> Surface:
    """A soft vignette far behind everything, always square to the viewer."""
    cells = _BACKDROP_CELLS
    across = np.linspace(-1, 1, cells + 1, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    reach = np.float32(_BACKDROP_MM * np.tan(0.5 * camera.field_of_view))
    local = np.stack((2.2 * reach * x, reach * y, np.full_like(x, _BACKDROP_MM)), -1).reshape(-1, 3)
    radius = np.clip(np.hypot(1.5 * x, y + 0.1).ravel(), 0, 1)[:, None]
    blend = radius * radius * (3 - 2 * radius)
    a = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    b, c, d = a + 1, a + cells + 1, a + cells + 2
    triangles = np.concatenate((np.stack((a, c, b), -1), np.stack((b, c, d), -1))).astype(np.int32)
    world = (local @ camera.rotation + camera.eye).astype(np.float32)
    return Surface(world, triangles, BACKGROUND_CENTER * (1 - blend) + BACKGROUND_EDGE * blend)


def _ground_lines() -> Lines:
    """A faint grid below the hand, fading outwards."""
    level, step, count, middle = 260.0, 100.0, 6, 480.0
    spots: list[tuple[float, float, float]] = []
    strengths: list[float] = []
    for i in range(-count, count + 1):
        for j in range(-count, count):
            strength = 0.8 * (1.0 - float(np.hypot(i, j + 0.5)) / count)
            if strength <= 0:
                continue
            spots += [(i * step, level, middle + j * step), (i * step, level, middle + (j + 1) * step)]
            spots += [(j * step, level, middle + i * step), ((j + 1) * step, level, middle + i * step)]
            strengths += [strength, strength]
    return _lines(spots, strengths)


def _sensor_lines() -> Lines:
    """The outline of the sensor, a small pyramid open to where it looks."""
    corners = [(sx * 26.0, sy * 19.5, 42.0) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    spots: list[tuple[float, float, float]] = []
    for k in range(4):
        spots += [(0.0, 0.0, 0.0), corners[k], corners[k], corners[(k + 1) % 4]]
    return _lines(spots, [1.6] * 8)


def _lines(spots: list[tuple[float, float, float]], strengths: list[float]) -> Lines:
    segments = np.arange(len(spots), dtype=np.int32).reshape(-1, 2)
    colors = BACKGROUND_CENTER + np.array(strengths, np.float32)[:, None] * _LINE_COLOR
    return Lines(np.array(spots, np.float32), segments, colors)
