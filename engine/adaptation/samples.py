"""Frames that adaptation learns from: small, checked, and chosen so that poses differ as much as the room allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.adaptation.observed import result_window
from engine.geometry.rotations import euler_to_matrix
from engine.localise.crop import CropWindow, cut
from engine.methods.gaussian.encoder import CROP_SIZE, HALF_CUBE_MM
from engine.types import DepthFrame, FloatArray, HandGeometry, Side, TrackingResult

#: A cube this near would reach the camera.
_NEAREST_MM = HALF_CUBE_MM + 10.0
#: Samples a second while nothing is known of a hand, and then.
UNKNOWN_HZ, KNOWN_HZ = 30.0, 10.0
#: What is measured this much nearer than the hand's surface lies before it; what is further off is not the hand's.
_BEFORE_MM = 25.0
#: Of a pose's descriptor: how much a radian of an angle counts, and a unit of a rotation matrix's entry.
_ANGLE_SAY, _TURN_SAY = 1.0, 0.6


@dataclass(frozen=True)
class Sample:
    """One frame's hand. crop: (128, 128) float16 in [-1, 1], its centre `distance` mm away. pose: (26,) what poses are
    told apart by. residual_mm, confidence: the tracker's. covered, hidden: see `seen_share`. whole: the crop's middle
    lies inside the picture. time_s: the frame's own. side: a left hand's crop is mirrored."""

    crop: NDArray[np.float16]
    distance: float
    pose: NDArray[np.float32]
    residual_mm: float
    confidence: float
    covered: float
    hidden: float
    whole: bool
    time_s: float
    side: Side = Side.RIGHT

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return self.crop.nbytes + self.pose.nbytes + 200

    def depth(self) -> NDArray[np.float32]:
        """The crop (128, 128) as an encoder takes it."""
        return self.crop.astype(np.float32)


@dataclass(frozen=True)
class SampleGate:
    """What a frame must be to be learnt from. covered: least share of the hand that was measured; hidden: most that
    something lies before."""

    min_confidence: float = 0.7
    max_residual_mm: float = 9.0
    covered: float = 0.8
    hidden: float = 0.5

    def objection(self, sample: Sample) -> str:
        """Why a sample is not taken, in words; nothing when it is."""
        if not sample.confidence >= self.min_confidence:
            return "no hand is seen clearly"
        if not sample.residual_mm <= self.max_residual_mm:
            return "the hand is not followed well"
        if not sample.whole:
            return "the hand is not whole in the picture"
        if not sample.covered >= self.covered:
            return "part of the hand was not measured"
        if not sample.hidden <= self.hidden:
            return "something lies before the hand"
        return ""


def sample_of(result: TrackingResult) -> Sample | None:
    """A result's sample; None where there is no hand, or one too near."""
    window = result_window(result)
    if window is None or window.distance < _NEAREST_MM or result.parameters is None or result.geometry is None:
        return None
    crop = cut(result.frame, window)
    covered, hidden = result_share(result.geometry, window, crop)
    return Sample(
        crop.astype(np.float16),
        window.distance,
        _descriptor(result, window),
        result.residual_mm,
        result.confidence,
        covered,
        hidden,
        _inside(window, result.frame),
        result.frame.device_time_s,
        result.side,
    )


def result_share(hand: HandGeometry, window: CropWindow, crop: FloatArray) -> tuple[float, float]:
    """`seen_share` of a tracked hand in the crop (128, 128) of a window around it."""
    surface = hand.surface.vertices * (-1.0 if window.mirrored else 1.0, 1.0, 1.0) @ window.rotation.T
    return seen_share(surface.astype(np.float32), window.distance, crop)


def seen_share(surface: FloatArray, distance: float, crop: FloatArray) -> tuple[float, float]:
    """Of the hand's surface (P, 3) mm, in the crop's camera, that faces it: the share over which anything was measured,
    and the share of that before which something else lies."""
    z = np.maximum(surface[:, 2], 1.0)
    pixels = np.rint(surface[:, :2] / z[:, None] * (distance * CROP_SIZE / (2 * HALF_CUBE_MM)) + (CROP_SIZE - 1) / 2)
    column, row = pixels.astype(np.int64).T
    inside = (column >= 0) & (column < CROP_SIZE) & (row >= 0) & (row < CROP_SIZE)
    if not inside.any():
        return 0.0, 1.0
    place, z = row[inside] * CROP_SIZE + column[inside], z[inside]
    nearest = np.full(CROP_SIZE * CROP_SIZE, np.inf)
    np.minimum.at(nearest, place, z)
    drawn = np.nonzero(np.isfinite(nearest))[0]
    observed = crop.reshape(-1)[drawn]
    measured = observed < 1.0
    before = nearest[drawn] - (observed * HALF_CUBE_MM + distance) > _BEFORE_MM
    whole = len(drawn) / max(1, len(drawn) + int((~inside).sum()))
    hidden = float(before[measured].mean()) if measured.any() else 1.0
    return float(measured.mean()) * whole, hidden


class SamplePace:
    """Which results are sampled. known: whether something was learnt of the hand already; until then they are taken
    more often, so that it soon is."""

    def __init__(self) -> None:
        self.known = False
        self._next_s = -math.inf

    @property
    def rate_hz(self) -> float:
        """Samples a second, at most."""
        return KNOWN_HZ if self.known else UNKNOWN_HZ

    def due(self, time_s: float) -> bool:
        """Whether the result of that moment is one; time must not go back."""
        if time_s < self._next_s:
            return False
        # A little early, or frames that come at just this rate would be taken every other time.
        self._next_s = time_s + 0.9 / self.rate_hz
        return True


class FrozenWatch:
    """Tells a camera that repeats its last picture: noise never gives the same one twice."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint16] | None = None

    def repeats(self, frame: DepthFrame) -> bool:
        """Whether the frame shows exactly what the last one did."""
        seen = frame.depth[::4, ::4].copy()
        last, self._last = self._last, seen
        return last is not None and last.shape == seen.shape and bool((last == seen).all())


class SampleBuffer:
    """Keeps samples within `bytes_` of memory, those whose poses differ most (greedy farthest points).

    While there is room, a sample is taken when its pose is `spacing` from all held; when full, it replaces the elder of
    the two that are most alike, where it is further from all others than they are from each other.
    """

    def __init__(self, bytes_: int = 16 << 20, spacing: float = 0.5) -> None:
        self._bytes, self._spacing = bytes_, spacing
        self._samples: list[Sample] = []
        self._poses = np.empty((0, 26), np.float32)
        self.taken = 0

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def size_bytes(self) -> int:
        """What is held."""
        return sum(sample.size_bytes for sample in self._samples)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """In the order in which they were taken."""
        return tuple(self._samples)

    def offer(self, sample: Sample) -> bool:
        """Whether it was taken."""
        if sample.size_bytes > self._bytes:
            return False
        apart = np.linalg.norm(self._poses - sample.pose, axis=1)
        nearest = float(apart.min()) if len(apart) else math.inf
        if nearest < self._spacing:
            return False
        if self.size_bytes + sample.size_bytes > self._bytes:
            crowded, gap = self._most_alike()
            if nearest <= gap:
                return False
            self._drop(crowded)
        self._samples.append(sample)
        self._poses = np.concatenate((self._poses, sample.pose[None]))
        self.taken += 1
        return True

    def spread(self, count: int) -> list[Sample]:
        """Up to `count` samples, farthest points first chosen, in the order of time."""
        if len(self._samples) <= count:
            return list(self._samples)
        chosen = [len(self._samples) - 1]
        apart = np.linalg.norm(self._poses - self._poses[chosen[0]], axis=1)
        while len(chosen) < count:
            chosen.append(int(apart.argmax()))
            apart = np.minimum(apart, np.linalg.norm(self._poses - self._poses[chosen[-1]], axis=1))
        return [self._samples[index] for index in sorted(chosen)]

    def clear(self) -> None:
        """Forget all: what was held is of another hand."""
        self._samples, self._poses = [], self._poses[:0]

    def _most_alike(self) -> tuple[int, float]:
        """The elder of the two nearest samples, and how far apart they are."""
        if len(self._samples) < 2:
            return 0, 0.0
        square = (self._poses**2).sum(1)
        apart = square[:, None] + square - 2 * self._poses @ self._poses.T
        np.fill_diagonal(apart, np.inf)
        first, second = divmod(int(apart.argmin()), len(apart))
        return min(first, second), math.sqrt(max(0.0, float(apart[first, second])))

    def _drop(self, index: int) -> None:
        del self._samples[index]
        self._poses = np.delete(self._poses, index, 0)


def _descriptor(result: TrackingResult, window: CropWindow) -> NDArray[np.float32]:
    """(26,) articulation, and the first two columns of the hand's rotation in the crop's camera."""
    assert result.parameters is not None
    theta = result.parameters.theta
    rotation = window.rotation @ euler_to_matrix(torch.from_numpy(theta[None, 3:6]))[0].numpy()
    return np.concatenate((_ANGLE_SAY * theta[6:], _TURN_SAY * rotation[:, :2].reshape(-1))).astype(np.float32)


def _inside(window: CropWindow, frame: DepthFrame) -> bool:
    """Whether the middle half of the crop, where the hand is, lies in the picture."""
    corners = window.corners_uv(frame)
    middle = corners.mean(0)
    near = middle + 0.5 * (corners - middle)
    size = (frame.intrinsics.width - 1, frame.intrinsics.height - 1)
    return bool(((near >= 0) & (near <= size)).all())
