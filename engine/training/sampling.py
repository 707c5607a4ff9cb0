"""Random hands: shape, pose and view. All batched torch, on the generator's device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.geometry.rotations import rotation_about_axis
from engine.hand.anthropometry import METACARPAL_SPLAY_RAD
from engine.hand.limits import ARTICULATION_LIMITS
from engine.hand.skeleton import Skeleton, SkeletonPose
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.training.poses import (
    FINGER_POSE_WEIGHTS,
    FINGER_POSES,
    FIST_FLEXION,
    FIST_THUMB_POSE_WEIGHTS,
    THUMB_POSE_WEIGHTS,
    THUMB_POSES,
    PoseBank,
    load_pose_bank,
)
from engine.training.ranges import WIDEST_SPREAD, check_fractions, check_range, check_rising, check_spreads
from engine.types import BETA_SIZE

#: How much of the jitter each angle of a finger takes: flexion, abduction, flexion, flexion.
_ANGLE_JITTER = (1.0, 0.25, 1.0, 0.7)
#: How far the fingers spread at most from lying side by side, radians (Ntelı Chatzıoğlou et al. 2024: 17, 14 and
#: 32 degrees between neighbours), index to little.
_WIDEST_SPREAD = (-0.30, 0.0, 0.25, 0.81)
#: How a finger that opens or closes by itself turns its joints.
_CURL = (0.6, 0.0, 1.0, 0.6)
#: By how much of itself a recorded PIP bends further at most, where it is already well bent.
_TIGHTER = 0.35
#: Ranges that a freely bent thumb's angles are drawn from: CMC flexion and abduction, MCP, IP.
_FREE_THUMB = ((-0.35, 0.8), (-0.6, 0.35), (-0.1, 0.9), (-0.3, 1.4))

#: Beyond any depth camera's range.
_FARTHEST_MM = 10_000.0


@dataclass(frozen=True)
class SamplingConfig:
    """How wide the random hands range. Spreads are standard deviations; radians and mm.

    bank_fraction of the hands take a recorded pose and `bank_jitter`; curl_fraction of the others' fingers and thumbs
    bend their joints freely, uniform_pose_fraction of the others take any angles; together_fraction of the others hold
    their fingers side by side. followed_fraction of all hands are seen as while tracking, by a camera that the last
    result has turned upright to within followed_roll_spread. Raises ValueError for what cannot be drawn.
    """

    beta_spread: float = 1.0
    size_spread: float = 1.3
    thickness_mean_mm: float = 0.8
    thickness_whole_mm: float = 1.4
    thickness_palm_mm: float = 2.5
    thickness_part_mm: float = 0.8
    angle_jitter: float = 0.2
    bank_fraction: float = 0.4
    bank_jitter: float = 0.08
    curl_fraction: float = 0.3
    uniform_pose_fraction: float = 0.12
    same_pose_fraction: float = 0.5
    together_fraction: float = 0.4
    roll_spread: float = 0.9
    tilt_spread: float = 0.6
    uniform_view_fraction: float = 0.3
    followed_fraction: float = 0.65
    followed_roll_spread: float = 0.2
    distance_range_mm: tuple[float, float] = (200.0, 1100.0)

    def __post_init__(self) -> None:
        check_spreads(self)
        check_fractions(self)
        check_range(self, 0, WIDEST_SPREAD, "thickness_whole_mm", "thickness_palm_mm", "thickness_part_mm")
        check_range(self, -WIDEST_SPREAD, WIDEST_SPREAD, "thickness_mean_mm")
        # Nearer, the camera would be inside the crop's cube.
        check_rising(self, "distance_range_mm", HALF_CUBE_MM, _FARTHEST_MM)


@dataclass(frozen=True)
class HandSample:
    """A batch of random hands: rotation (B, 3, 3), articulation (B, 20), beta (B, 20), thickness (B, 6) mm.

    camera_roll: (B,) radians that the crop is turned about its axis against the sensor; 0 for hands not followed yet.
    followed: (B,) bool, seen as while tracking.
    """

    rotation: Tensor
    articulation: Tensor
    beta: Tensor
    thickness: Tensor
    camera_roll: Tensor
    followed: Tensor


class HandSampler:
    """Draws plausible hands. Of two candidates for each, the one whose fingers pass through each other less is kept.

    That makes self-intersections rare, not impossible: with configs/encoder.toml the middle lines of two fingers come
    within 6 mm of each other in about 1 hand in 40, within 8 mm in 1 in 25 (touching fingers are some 14 mm apart).

    bank: recorded poses; the shipped ones when None and the configuration uses any.
    """

    def __init__(
        self, config: SamplingConfig, skeleton: Skeleton, generator: torch.Generator, bank: PoseBank | None = None
    ) -> None:
        self.config, self._skeleton, self._generator = config, skeleton, generator
        self.device = generator.device
        #: 0 to 1: how far the views have widened from the easy ones to all of the configuration's (a curriculum).
        self.width = 1.0
        self._limits = torch.as_tensor(ARTICULATION_LIMITS, dtype=torch.float32, device=self.device)
        if bank is None and config.bank_fraction > 0:
            bank = load_pose_bank(device=self.device)
        self._bank = bank

    def draw(self, count: int) -> HandSample:
        """`count` random hands."""
        beta, thickness = self._shape(count)
        # Both candidates jitter the same pose, so that open hands do not win over closed ones.
        candidates = self._articulation(count)
        if self._bank is not None:
            recorded = self._jittered(self._bank.draw(count, self._generator).repeat(2, 1))
            use_recorded = (self._uniform(count, 1) < self.config.bank_fraction).repeat(2, 1)
            candidates = torch.where(use_recorded, recorded, candidates)
        depth = self._penetration(candidates, beta.repeat(2, 1), thickness.repeat(2, 1))
        # The better of two costs the same for every batch; drawing until none intersects would not.
        keep_second = depth[:count] > depth[count:]
        articulation = torch.where(keep_second.unsqueeze(1), candidates[count:], candidates[:count])
        followed = self._uniform(count) < self.config.followed_fraction
        rotation, camera_roll = self._view(count, followed)
        return HandSample(rotation, articulation, beta, thickness, camera_roll, followed)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self.device)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, device=self.device)

    def _choice(self, weights: tuple[float, ...], count: int) -> Tensor:
        return torch.multinomial(
            torch.tensor(weights, device=self.device), count, replacement=True, generator=self._generator
        )

    def _shape(self, count: int) -> tuple[Tensor, Tensor]:
        beta = self._normal(count, BETA_SIZE)
        beta[:, :1] *= self.config.size_spread
        beta[:, 1:] *= self.config.beta_spread
        config = self.config
        # Bone lengths say nothing of a hand's breadth, which differs by some 6 mm from one to the next (Greiner 1991):
        # the palm's flesh makes up for it.
        spread = self._row((config.thickness_palm_mm,) + (config.thickness_part_mm,) * 5)
        whole = config.thickness_mean_mm + config.thickness_whole_mm * self._normal(count, 1)
        return beta.clamp(-3.5, 3.5), whole + spread * self._normal(count, 6)

    def _articulation(self, count: int) -> Tensor:
        """Two differently jittered poses (2 * count, 20) of each of `count` hands, the second ones after the first."""
        angles = torch.empty(count, 5, 4, device=self.device)
        fingers = self._two_poses(FINGER_POSES, FINGER_POSE_WEIGHTS, (count, 4))
        curled = self._uniform(count, 4, 1) < self.config.curl_fraction
        fingers = torch.where(curled, self._curls(count), fingers)
        alike = self._uniform(count) < self.config.same_pose_fraction
        fingers = torch.where(alike[:, None, None], fingers[:, :1], fingers)
        angles[:, 1:, [0, 2, 3]] = fingers
        angles[:, 0] = self._thumbs(fingers[..., 1].mean(1) > FIST_FLEXION)
        angles[:, 1:, 1] = self._spread(fingers[..., 0])
        angles = angles.repeat(2, 1, 1)
        angles = angles + self.config.angle_jitter * self._normal(2 * count, 5, 4) * self._row(_ANGLE_JITTER)
        low, high = self._limits[:, 0], self._limits[:, 1]
        anywhere = low + (high - low) * self._uniform(2 * count, 20)
        use_anywhere = (self._uniform(count, 1) < self.config.uniform_pose_fraction).repeat(2, 1)
        flat = torch.where(use_anywhere, anywhere, angles.flatten(1))
        return torch.minimum(torch.maximum(flat, low), high)

    def _spread(self, flexion: Tensor) -> Tensor:
        """Abductions (B, 4) of fingers whose knuckles bend by flexion (B, 4): side by side in many hands, fanned out in
        the others, and closing as they bend."""
        count = len(flexion)
        together = self._row(tuple((-METACARPAL_SPLAY_RAD).tolist()))
        apart = self._row(_WIDEST_SPREAD) * self._uniform(count, 1)
        beside = self._uniform(count, 1) < self.config.together_fraction
        own = self._normal(count, 4) * torch.where(beside, 0.03, 0.08)
        fan = torch.where(beside, 0.0, apart) + own
        return together + fan * (1 - 0.8 * (flexion / 1.4).clamp(0, 1))

    def _jittered(self, recorded: Tensor) -> Tensor:
        """Recorded poses (B, 20) with every angle moved a little, and some fingers opened or closed further."""
        count = len(recorded)
        moved = self.config.bank_jitter * self._normal(count, 5, 4) * self._row(_ANGLE_JITTER)
        alone = (self._uniform(count, 5, 1) < 0.15).float()
        moved = moved + 0.3 * alone * self._normal(count, 5, 1) * self._row(_CURL)
        bent = recorded.reshape(count, 5, 4)[:, 1:, 2]
        # The recording trackers end at 80 to 100 degrees of PIP flexion where fists reach 110 and more (limits.py).
        moved[:, 1:, 2] += _TIGHTER * self._uniform(count, 1) * bent * (bent / 1.5).clamp(0, 1)
        low, high = self._limits[:, 0], self._limits[:, 1]
        return torch.minimum(torch.maximum(recorded + moved.reshape(count, 20), low), high)

    def _curls(self, count: int) -> Tensor:
        """Fingers (B, 4, 3) whose knuckle and middle joint bend freely and whose end joint follows the middle one, as
        its tendon makes it (DIP between 0.25 and 0.7 of PIP, on average about half)."""
        knuckle = -0.2 + 1.7 * self._uniform(count, 4)
        middle = 2.1 * self._uniform(count, 4)
        return torch.stack((knuckle, middle, middle * (0.25 + 0.45 * self._uniform(count, 4))), -1)

    def _row(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=self.device)

    def _thumbs(self, fist: Tensor) -> Tensor:
        """Thumbs (B, 4) of hands that are fists or not (B,)."""
        count = len(fist)
        low, high = torch.tensor(_FREE_THUMB, device=self.device).unbind(1)
        free = low + (high - low) * self._uniform(count, 4)
        open_, closed = (
            self._two_poses(THUMB_POSES, weights, (count,)) for weights in (THUMB_POSE_WEIGHTS, FIST_THUMB_POSE_WEIGHTS)
        )
        posed = torch.where(fist.unsqueeze(1), closed, open_)
        return torch.where(self._uniform(count, 1) < self.config.curl_fraction, free, posed)

    def _two_poses(
        self, poses: tuple[tuple[float, ...], ...], weights: tuple[float, ...], shape: tuple[int, ...]
    ) -> Tensor:
        """Somewhere on the way from one pose to another, mostly near an end."""
        table = torch.tensor(poses, device=self.device)
        count = int(torch.tensor(shape).prod())
        first, second = (table[self._choice(weights, count)] for _ in range(2))
        way = self._uniform(count, 1) ** 3
        return ((1 - way) * first + way * second).reshape(*shape, -1)

    def _view(self, count: int, followed: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (count, 3, 3), and the roll (count,) by which the crops of followed hands are turned upright."""
        config = self.config
        tilt = config.tilt_spread * (0.6 + 0.4 * self.width)
        roll = self._normal(count) * config.roll_spread * (0.6 + 0.4 * self.width)
        pitch = self._normal(count) * tilt
        back = torch.pi * (self._uniform(count) < 0.4).float()
        yaw = back + self._normal(count) * tilt
        held = rotation_about_axis(2, roll) @ rotation_about_axis(0, pitch) @ rotation_about_axis(1, yaw)
        anywhere = random_rotations(self._normal(count, 4))
        use_anywhere = self._uniform(count) < config.uniform_view_fraction * self.width
        seen = torch.where(use_anywhere[:, None, None], anywhere, held)
        aim = upright_roll(seen) + config.followed_roll_spread * self._normal(count)
        camera_roll = torch.where(followed, aim, 0.0)
        return rotation_about_axis(2, -camera_roll) @ seen, camera_roll

    def distances(self, count: int) -> Tensor:
        """Distances of the hand from the camera (count,) mm, log-uniform."""
        low, high = (torch.tensor(bound).log() for bound in self.config.distance_range_mm)
        return (low + (high - low) * self._uniform(count)).exp()

    def _penetration(self, articulation: Tensor, beta: Tensor, thickness: Tensor) -> Tensor:
        """How deep (mm, summed, every pair twice) spheres along different fingers, and fingers and palm, enter each
        other: (B,). Good for comparing poses of one hand only: neighbours at rest already touch."""
        count = len(articulation)
        identity = torch.eye(3, device=self.device).expand(count, 3, 3)
        pose = self._skeleton.pose(
            torch.zeros(count, 3, device=self.device), identity, articulation, self._skeleton.bone_lengths(beta)
        )
        centres, owners = finger_spheres(pose)
        radius = 7.0 + thickness.mean(1)
        gaps = torch.cdist(centres, centres)
        different = owners.unsqueeze(0) != owners.unsqueeze(1)
        overlap = (2 * radius[:, None, None] - gaps).clamp(min=0) * different.to(self.device)
        return overlap.sum((1, 2))


def upright_roll(rotation: Tensor) -> Tensor:
    """How far (B,) radians a camera must turn about its axis to see hands of these rotations (B, 3, 3) with the forearm
    downwards: the Euler angle about z."""
    return torch.atan2(-rotation[:, 0, 1], rotation[:, 1, 1])


def finger_spheres(pose: SkeletonPose) -> tuple[Tensor, Tensor]:
    """Sphere centres (B, S, 3) along the fingers and the palm, and which of them belong together (S,)."""
    joints = pose.joints[:, 1:].reshape(-1, 5, 4, 3)
    ways = torch.tensor([0.35, 0.7, 1.0], device=joints.device)[:, None]
    segments = [joints[:, :, i, None] + ways * (joints[:, :, i + 1, None] - joints[:, :, i, None]) for i in range(3)]
    fingers = torch.cat(segments, 2)
    knuckles, wrist = joints[:, 1:, 0], pose.joints[:, :1]
    palm = torch.cat([wrist + way * (knuckles - wrist) for way in (0.35, 0.6, 0.8)], 1)
    centres = torch.cat((fingers.flatten(1, 2), palm), 1)
    owners = torch.cat((torch.arange(5).repeat_interleave(9), torch.full((palm.shape[1],), 5)))
    return centres, owners


def batch_seed(seed: int, index: int) -> int:
    """A generator's seed for batch `index` of `seed`: both mixed into the 32 bits that torch's CPU generator keeps."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def random_rotations(normals: Tensor) -> Tensor:
    """Uniform rotations (B, 3, 3) from standard normals (B, 4), by unit quaternions."""
    w, x, y, z = torch.nn.functional.normalize(normals, dim=1).unbind(1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, 1).reshape(-1, 3, 3)
