"""A rendered user who moves a hand before a camera, of another surface and noise than training's, with full truth.

What adaptation is measured on: hands of a chosen length, and frames that follow each other as a camera's do. The hand
goes from pose to pose and turns, holding each for a moment; nothing is held and nothing else is in view but a forearm,
whose build is drawn anew for each frame, as the renderer draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.evaluation.rendered import frames_of
from engine.evaluation.second_hand import SECOND_SURFACE, FilteredStereo, person
from engine.hand.imports import load_hand
from engine.hand.skeleton import Skeleton
from engine.training.renders import HandRenderer, HandShape, RenderConfig
from engine.training.sampling import HandSample, SamplingConfig
from engine.types import DepthFrame, FloatArray

FPS = 30.0
#: How long a pose, a view and a distance last, seconds; the last part of it is the way to the next.
_POSE_S, _VIEW_S, _DISTANCE_S, _WAY = 0.8, 2.4, 4.0, 0.6
_IMAGE_SIZE = 192
_PART = 16
_MIDDLE_FINGER = slice(8, 12)


def user_of_length(seed: int, deviations: float) -> HandShape:
    """A person of second_hand.person whose hand, wrist to middle finger's tip, is so many of people's standard
    deviations longer than the mean; in all else the person stays as drawn."""
    lengthening = Skeleton().bone_length_basis[_MIDDLE_FINGER].sum(0)
    along = lengthening / lengthening.norm()
    drawn = person(seed)
    return replace(drawn, beta=drawn.beta + (deviations - drawn.beta @ along) * along)


@dataclass(frozen=True)
class TrueFrame:
    """A frame and the true joints (21, 3) mm in its camera."""

    frame: DepthFrame
    joints: FloatArray


class RenderedUser:
    """Renders one person's frames. Each call of frames() with one seed gives the same ones."""

    def __init__(self, shape: HandShape) -> None:
        self._shape = shape

    def frames(self, seconds: float, seed: int, fps: float = FPS, start_s: float = 0.0) -> Iterator[TrueFrame]:
        """The frames of `seconds`, their clock beginning at start_s; the camera always looks at the hand, so that its
        focal length changes with the distance."""
        times = np.arange(round(seconds * fps)) / fps
        renderer = _Moving(self._shape, times, seed)
        for first in range(0, len(times), _PART):
            count = min(_PART, len(times) - first)
            batch = renderer.batch(count, first)
            joints = batch.joints.numpy() + batch.distance.numpy()[:, None, None] * np.array([0.0, 0.0, 1.0])
            for index, frame in enumerate(frames_of(batch)):
                at = start_s + float(times[first + index])
                stamped = replace(frame, number=first + index, device_time_s=at, host_time_s=at)
                yield TrueFrame(stamped, joints[index])


class _Moving(HandRenderer):
    """Draws the poses of a motion instead of random ones; batches must be asked for from the first frame on."""

    def __init__(self, shape: HandShape, times: NDArray[np.float64], seed: int) -> None:
        sampling = SamplingConfig(
            uniform_view_fraction=0.0, uniform_pose_fraction=0.0, followed_fraction=0.0, roll_spread=0.4,
            tilt_spread=0.45,
        )  # fmt: skip
        config = RenderConfig(
            sampling=sampling, centre_jitter_mm=0.0, followed_jitter_mm=0.0, empty_fraction=0.0, left_fraction=0.0,
            clutter=False,
        )  # fmt: skip
        super().__init__(
            config, seed, template=load_hand(SECOND_SURFACE), size=_IMAGE_SIZE, shape=shape, noise=FilteredStereo
        )
        self._generator.manual_seed(seed)
        count = int(times[-1] / _POSE_S) + 3 if len(times) else 3
        keys = self._sampler.draw(count)
        self._angles, self._turns = keys.articulation.double().numpy(), keys.rotation.double().numpy()
        self._places = np.log(300.0) + torch.rand(count, generator=self._generator).numpy() * np.log(750.0 / 300.0)
        self._times, self._at = times, 0

    def _draw(self, count: int) -> HandSample:
        times = self._times[self._at : self._at + count]
        hands = super()._draw(count)
        angles, turns = zip(*(self._pose(time_s) for time_s in times), strict=True)
        self._sampler.distances = self._distances  # type: ignore[method-assign]
        return replace(hands, articulation=_tensor(angles), rotation=_tensor(turns), camera_roll=torch.zeros(count))

    def _pose(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        pose, way = _stage(time_s, _POSE_S)
        view, turn = _stage(time_s, _VIEW_S)
        first, second = self._turns[view], self._turns[view + 1]
        vector = cv2.Rodrigues(first.T @ second)[0]
        return (
            (1 - way) * self._angles[pose] + way * self._angles[pose + 1],
            first @ cv2.Rodrigues(turn * vector)[0],
        )

    def _distances(self, count: int) -> Tensor:
        times = self._times[self._at : self._at + count]
        self._at += count
        stages = [_stage(time_s, _DISTANCE_S) for time_s in times]
        logs = [(1 - way) * self._places[number] + way * self._places[number + 1] for number, way in stages]
        return _tensor([math.exp(value) for value in logs])


def _stage(time_s: float, lasting_s: float) -> tuple[int, float]:
    """The number of the pose that is held or left at a time, and how far the way to the next one is gone."""
    number, part = divmod(time_s / lasting_s, 1.0)
    way = max(0.0, (part - (1 - _WAY)) / _WAY)
    return int(number), way * way * (3 - 2 * way)


def _tensor(values: object) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
