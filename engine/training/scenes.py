"""Rendered whole scenes with their truth: what the hand detector is trained and tested on.

Scenes are rendered at the detector's own input size, in the camera that such a downsampled frame has: pixels are
sampled, not averaged, so what is drawn is what nearest-pixel downsampling of a full frame gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.geometry.rotations import rotation_about_axis
from engine.hand.model import sample_surface
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.hand.template import HandTemplate, load_template
from engine.localise.frames import INPUT_HEIGHT, INPUT_WIDTH, PALM_JOINTS
from engine.rendering.closed_splat import splat_closed
from engine.rendering.primitives import box_depth, plane_depth
from engine.rendering.quadrics import Quadrics, limb_between, quadric_depth
from engine.training.clutter import Clutter
from engine.training.noise import SensorNoise
from engine.training.people import PeopleSampler
from engine.training.ranges import check_fractions, check_range, check_rising
from engine.training.sampling import HandSample, HandSampler, SamplingConfig, batch_seed, random_rotations

_FAR = float("inf")
_PIXELS = INPUT_HEIGHT * INPUT_WIDTH
#: Rows that a 4:3 and a 16:9 frame fill; the rest of the input is padding.
_FRAME_ROWS = (120, 90)
_BODY_FROM_MM = 330.0
#: What the noise model takes a pixel for; the size at 700 mm in a common camera.
_NOISE_PIXEL_MM = 6.0
#: A hand of which more than this fraction is seen is to be found; below the second figure it is background.
_SEEN_ENOUGH, _SEEN_HARDLY = 0.4, 0.12


@dataclass(frozen=True)
class SceneConfig:
    """What is rendered. Fractions are of scenes; distances are of the palm, mm. Raises ValueError for nonsense."""

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    hand_points: int = 6000
    distance_range_mm: tuple[float, float] = (200.0, 1300.0)
    field_of_view_deg: tuple[float, float] = (45.0, 90.0)
    no_hand_fraction: float = 0.08
    person_fraction: float = 0.7
    wide_frame_fraction: float = 0.25
    held_fraction: float = 0.3
    wall_fraction: float = 0.4
    table_fraction: float = 0.25
    things_fraction: float = 0.5
    cut_away_fraction: float = 0.45
    noise_fraction: float = 0.65

    def __post_init__(self) -> None:
        check_range(self, 1, 1_000_000, "hand_points")
        check_fractions(self)
        check_rising(self, "distance_range_mm", 50, 10_000)
        check_rising(self, "field_of_view_deg", 5, 170)


@dataclass(frozen=True)
class SceneBatch:
    """Scenes and truth; two hands a scene at most: the one in front, then the person's other one.

    depth: (B, 128, 160) mm, infinite where nothing was measured. focal: (B,) and principal: (B, 2), pixels.
    palm: (B, 2, 3) mean of joints 0, 5, 9, 13, 17 and centre: (B, 2, 3) mean of all joints, mm, camera frame.
    seen: (B, 2) how much of the hand is seen, 0 to 1. size_px: (B, 2) how many pixels 100 mm at the hand take.
    """

    depth: Tensor
    focal: Tensor
    principal: Tensor
    palm: Tensor
    centre: Tensor
    seen: Tensor
    size_px: Tensor

    @property
    def found(self) -> Tensor:
        """(B, 2) bool: hands that a detector should find."""
        return self.seen > _SEEN_ENOUGH

    @property
    def doubtful(self) -> Tensor:
        """(B, 2) bool: hands that it may find or not."""
        return (self.seen > _SEEN_HARDLY) & ~self.found


@dataclass(frozen=True)
class _Camera:
    """focal (B,), principal (B, 2), rays (B, N, 2) as tangents, rows (B,): how many input rows the frame fills."""

    focal: Tensor
    principal: Tensor
    rays: Tensor
    rows: Tensor

    def project(self, points: Tensor) -> Tensor:
        """(B, P, 3) mm -> (B, P, 2) pixels."""
        tangents = points[..., :2] / points[..., 2:].clamp(min=1.0)
        return tangents * self.focal[:, None, None] + self.principal.unsqueeze(1)


class SceneRenderer:
    """Makes batches of scenes on one device: batch number `index` of a seed is always the same."""

    def __init__(
        self, config: SceneConfig, seed: int, device: str = "cpu", template: HandTemplate | None = None
    ) -> None:
        self.config = config
        self._generator = torch.Generator(device)
        self._seed = seed
        self.skeleton = Skeleton().to(device)
        self._sampler = HandSampler(config.sampling, self.skeleton, self._generator)
        self._surface = sample_surface(template or load_template(), config.hand_points, Skeleton()).to(device)
        self._people = PeopleSampler(self._generator)
        self._clutter = Clutter(self._generator)
        self._clutter.held_chance = config.held_fraction
        self._noise = SensorNoise(self._generator)

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._generator, device=self._generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)

    def _chance(self, count: int, chance: float) -> Tensor:
        return self._uniform(count) < chance

    @torch.no_grad()
    def batch(self, count: int, index: int = 0) -> SceneBatch:
        """Render `count` scenes."""
        self._generator.manual_seed(batch_seed(self._seed, index))
        camera = self._camera(count)
        has_hand = ~self._chance(count, self.config.no_hand_fraction)
        place = self._palm_place(camera)
        # Nobody holds the hand and the whole body a foot from the camera.
        near = (place[:, 2] < _BODY_FROM_MM) & self._chance(count, 0.75)
        has_body = self._chance(count, self.config.person_fraction) & ~near
        hands = self._sampler.draw(2 * count)
        first = self._pose(hands.rotation[:count], hands, slice(0, count), place, joint="palm")
        forearm = -(hands.rotation[:count] @ self._wrist_bend(count))[..., 1]
        person = self._people.draw(first.joints[:, 0], forearm, has_hand, has_body)
        other = self._second_pose(person.other_wrist, person.other_forearm, hands, count)
        layers = (
            self._hand(camera, first, hands.thickness[:count], has_hand),
            self._hand(camera, other, hands.thickness[count:], has_body),
        )
        surroundings = self._surroundings(camera, person.parts, person.hair, first, place[:, 2])
        nearest = torch.minimum(torch.minimum(layers[0][0], layers[1][0]), surroundings)
        seen = torch.stack([self._seen(camera, layer, full, nearest) for layer, full in layers], 1)
        depth = self._measured(nearest, camera, place[:, 2])
        return self._mirrored(depth, camera, (first, other), seen)

    def _camera(self, count: int) -> _Camera:
        low, high = (torch.deg2rad(torch.tensor(angle)) for angle in self.config.field_of_view_deg)
        focal = INPUT_WIDTH / 2 / torch.tan((low + (high - low) * self._uniform(count)) / 2)
        wide = self._chance(count, self.config.wide_frame_fraction)
        rows = torch.where(wide, float(_FRAME_ROWS[1]), float(_FRAME_ROWS[0]))
        middle = torch.stack((torch.full_like(rows, (INPUT_WIDTH - 1) / 2), (rows - 1) / 2), 1)
        principal = middle + 3.0 * self._normal(count, 2)
        v, u = torch.meshgrid(
            torch.arange(INPUT_HEIGHT, device=rows.device), torch.arange(INPUT_WIDTH, device=rows.device), indexing="ij"
        )
        pixels = torch.stack((u.flatten(), v.flatten()), 1).float()
        return _Camera(focal, principal, (pixels - principal.unsqueeze(1)) / focal[:, None, None], rows)

    def _palm_place(self, camera: _Camera) -> Tensor:
        """Where the palm's centre is (B, 3): anywhere in the picture, rarer near and beyond its edges."""
        count = len(camera.focal)
        low, high = (torch.tensor(bound).log() for bound in self.config.distance_range_mm)
        distance = (low + (high - low) * self._uniform(count)).exp()
        way = self._uniform(2, count, 2).mean(0) * 1.1 - 0.05
        pixel = way * torch.stack((torch.full_like(camera.rows, INPUT_WIDTH), camera.rows), 1)
        tangents = (pixel - camera.principal) / camera.focal.unsqueeze(1)
        return torch.cat((tangents, torch.ones_like(tangents[:, :1])), 1) * distance.unsqueeze(1)

    def _wrist_bend(self, count: int) -> Tensor:
        return rotation_about_axis(0, 0.4 * self._normal(count)) @ rotation_about_axis(2, 0.2 * self._normal(count))

    def _pose(self, rotation: Tensor, hands: HandSample, rows: slice, place: Tensor, joint: str) -> SkeletonPose:
        """Hands `rows` of the sample with the palm's centre, or the wrist, at `place`."""
        lengths = self.skeleton.bone_lengths(hands.beta[rows])
        at_origin = self.skeleton.pose(torch.zeros_like(place), rotation, hands.articulation[rows], lengths)
        shift = place - at_origin.joints[:, PALM_JOINTS].mean(1) if joint == "palm" else place
        return self.skeleton.pose(shift, rotation, hands.articulation[rows], lengths)

    def _second_pose(self, wrist: Tensor, forearm: Tensor, hands: HandSample, count: int) -> SkeletonPose:
        """The person's other hand, in line with its forearm."""
        _, along, _ = limb_between(wrist, wrist - forearm)
        roll = rotation_about_axis(1, self._uniform(count, high=2 * torch.pi))
        rotation = along @ roll @ self._wrist_bend(count)
        return self._pose(rotation, hands, slice(count, 2 * count), wrist, joint="wrist")

    def _hand(self, camera: _Camera, pose: SkeletonPose, thickness: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Depth layer (B, N) of a hand, and how many pixels it would cover were nothing cut or hidden (B,)."""
        points, normals = self._surface(pose, thickness)
        facing = ((points * normals).sum(-1) < 0) & (points[..., 2] > 60.0) & shown.unsqueeze(1)
        pixel_mm = pose.joints[..., 2].mean(1) / camera.focal
        pixels = camera.project(points)
        layer, inside = splat_closed(points[..., 2], pixels, facing, pixel_mm, (INPUT_HEIGHT, INPUT_WIDTH))
        inside = inside & (pixels[..., 1] < camera.rows.unsqueeze(1))
        return layer, inside.float().sum(1) / facing.float().sum(1).clamp(min=1.0)

    def _seen(self, camera: _Camera, layer: Tensor, inside: Tensor, nearest: Tensor) -> Tensor:
        """How much of a hand is in the picture and in front, (B,)."""
        drawn = layer.isfinite()
        front = (drawn & (layer <= nearest)).float().sum(1) / drawn.float().sum(1).clamp(min=1.0)
        return torch.where(drawn.any(1), front * inside, 0.0)

    def _surroundings(
        self, camera: _Camera, body: Quadrics, hair: Quadrics, pose: SkeletonPose, distance: Tensor
    ) -> Tensor:
        """Everything but hands, (B, N)."""
        count = len(distance)
        people, scalp = [], quadric_depth(camera.rays, hair)[:, 0]
        for i in range(count):
            # One scene at a time, and only the parts it shows: what stays in the cache is cast twice as fast.
            people.append(quadric_depth(camera.rays[i : i + 1], _shown(body, i)).amin(1))
        person = self._cloth(torch.cat(people))
        bald = self._chance(count, 0.5).unsqueeze(1)
        # Dark hair is often not measured at all: a hole where a head should be.
        hole = bald & (scalp < person)
        person = torch.where(hole, _FAR, torch.minimum(person, scalp))
        depth = torch.minimum(person, self._clutter.held(camera.rays, pose))
        return torch.minimum(depth, self._room(camera, distance, hole))

    def _cloth(self, person: Tensor) -> Tensor:
        """Folds, and patches too dark to be measured."""
        count = len(person)
        amount = 9.0 * self._uniform(count, 1) ** 2
        folded = person + amount * self._field(count, 14) + 0.7 * amount * self._field(count, 32)
        limit = torch.where(self._chance(count, 0.35), self._uniform(count, low=0.5, high=2.2), 9.0)
        return torch.where(self._field(count, 10) > limit.unsqueeze(1), _FAR, folded)

    def _field(self, count: int, cells: int) -> Tensor:
        """Smooth unit noise (B, N)."""
        coarse = self._normal(count, 1, cells, cells)
        size = (INPUT_HEIGHT, INPUT_WIDTH)
        return torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True).flatten(1)

    def _room(self, camera: _Camera, distance: Tensor, hole: Tensor) -> Tensor:
        """Wall, table and boxes about the person, (B, N)."""
        count, config = len(distance), self.config
        depth = torch.full((count, _PIXELS), _FAR, device=distance.device)
        walls = self._some(count, config.wall_fraction)
        if len(walls):
            point = torch.zeros(len(walls), 3, device=distance.device)
            point[:, 2] = distance[walls] + self._uniform(len(walls), low=250, high=2200)
            normal = 0.25 * self._normal(len(walls), 3)
            normal[:, 2] = -1.0
            depth[walls] = plane_depth(camera.rays[walls], point, torch.nn.functional.normalize(normal, dim=-1))
        tables = self._some(count, config.table_fraction)
        if len(tables):
            turn = rotation_about_axis(0, 0.25 * self._normal(len(tables))) @ rotation_about_axis(
                1, self._normal(len(tables))
            )
            half = self._uniform(len(tables), 3, low=150, high=700)
            half[:, 1] = 12.0
            centre = torch.zeros(len(tables), 3, device=distance.device)
            centre[:, 0] = 250 * self._normal(len(tables))
            centre[:, 1] = self._uniform(len(tables), low=120, high=420)
            centre[:, 2] = distance[tables] + self._uniform(len(tables), low=-250, high=500)
            depth[tables] = torch.minimum(depth[tables], box_depth(camera.rays[tables], centre, turn, half))
        for _ in range(3):
            self._add_thing(camera, distance, depth)
        return torch.where(hole & self._chance(count, 0.7).unsqueeze(1), _FAR, depth)

    def _some(self, count: int, chance: float) -> Tensor:
        return torch.nonzero(self._chance(count, chance)).flatten()

    def _add_thing(self, camera: _Camera, distance: Tensor, depth: Tensor) -> None:
        """A box, ball or stick somewhere in the picture, in a part of the scenes; changes `depth`."""
        some = self._some(len(distance), self.config.things_fraction / 2)
        count = len(some)
        if count == 0:
            return
        away = (distance[some] + self._uniform(count, low=-100, high=700)).clamp(min=150)
        pixel = self._uniform(count, 2) * torch.tensor([float(INPUT_WIDTH), float(_FRAME_ROWS[0])], device=depth.device)
        tangents = (pixel - camera.principal[some]) / camera.focal[some].unsqueeze(1)
        centre = torch.cat((tangents, torch.ones(count, 1, device=depth.device)), 1) * away.unsqueeze(1)
        half = (2.7 + 2.6 * self._uniform(count, 3)).exp()
        turn = random_rotations(self._normal(count, 4))
        box = box_depth(camera.rays[some], centre, turn, half)
        round_half = torch.where(self._chance(count, 0.5).unsqueeze(1), half.sort(1).values[:, [0, 2, 1]], half)
        ball = Quadrics(
            centre.unsqueeze(1),
            turn.unsqueeze(1),
            round_half.unsqueeze(1),
            torch.zeros(count, 1, device=depth.device),
            torch.zeros(1, dtype=torch.bool, device=depth.device),
            torch.ones(count, 1, dtype=torch.bool, device=depth.device),
        )
        thing = torch.where(self._chance(count, 0.5).unsqueeze(1), box, quadric_depth(camera.rays[some], ball)[:, 0])
        depth[some] = torch.minimum(depth[some], thing)

    def _measured(self, nearest: Tensor, camera: _Camera, distance: Tensor) -> Tensor:
        """What a sensor makes of it: (B, H, W)."""
        count = len(nearest)
        depth = nearest.reshape(count, INPUT_HEIGHT, INPUT_WIDTH)
        cut = distance + self._uniform(count, low=110, high=900)
        cut = torch.where(self._chance(count, self.config.cut_away_fraction), cut, 3500.0)
        depth = torch.where(depth > cut[:, None, None], _FAR, depth)
        some = self._some(count, self.config.noise_fraction)
        # The noise model knows square images only.
        square = torch.full((len(some), INPUT_WIDTH, INPUT_WIDTH), _FAR, device=depth.device)
        square[:, :INPUT_HEIGHT] = depth[some]
        depth[some] = self._noise(square, distance[some], _NOISE_PIXEL_MM)[:, :INPUT_HEIGHT]
        row = torch.arange(INPUT_HEIGHT, device=depth.device)
        beyond = (row >= camera.rows.unsqueeze(1)).unsqueeze(2) | (depth < 60)
        return torch.where(beyond, _FAR, depth)

    def _mirrored(self, depth: Tensor, camera: _Camera, poses: tuple[SkeletonPose, ...], seen: Tensor) -> SceneBatch:
        """Half of the scenes as a mirror shows them: left hands in front."""
        left = self._chance(len(depth), 0.5)
        joints = torch.stack([pose.joints for pose in poses], 1)
        sign = torch.where(left, -1.0, 1.0)
        joints = torch.cat((joints[..., :1] * sign[:, None, None, None], joints[..., 1:]), -1)
        principal = camera.principal.clone()
        principal[:, 0] = torch.where(left, INPUT_WIDTH - 1 - principal[:, 0], principal[:, 0])
        palm = joints[:, :, PALM_JOINTS].mean(2)
        return SceneBatch(
            depth=torch.where(left[:, None, None], depth.flip(2), depth),
            focal=camera.focal,
            principal=principal,
            palm=palm,
            centre=joints.mean(2),
            seen=seen,
            size_px=100.0 * camera.focal.unsqueeze(1) / palm[..., 2].clamp(min=60.0),
        )


def _shown(parts: Quadrics, scene: int) -> Quadrics:
    """The parts that one scene shows, at least one part."""
    some = torch.nonzero(parts.shown[scene]).flatten()
    some = some if len(some) else torch.zeros(1, dtype=torch.long, device=some.device)
    one = slice(scene, scene + 1)
    return Quadrics(
        parts.centre[one, some],
        parts.rotation[one, some],
        parts.half[one, some],
        parts.taper[one, some],
        parts.limb[some],
        parts.shown[one, some],
    )
