"""The guided session: which pose is asked for, the count-down, when it is held, and how it is judged. No window here.

Time is told from outside, so that a session can be replayed. Where poses cannot be asked for, as in a recording, they
are taken as they come.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch

from calibration.collecting import Collection
from calibration.frames import CalibrationFrame
from calibration.poses import CATALOGUE, GuidedPose
from calibration.progress import Progress
from calibration.session import Judgement, Verdict
from engine.geometry.rotations import euler_to_matrix
from engine.types import FloatArray, TrackingResult

#: Flexions of the fingers, and the thumb's angles, among the 20 of a pose.
_FLEXIONS = np.array([4 * finger + angle for finger in range(1, 5) for angle in (0, 2, 3)])
_THUMB = np.arange(4)


class Stage(enum.Enum):
    """What the guide waits for."""

    LOOKING = "looking for a hand"
    COUNTDOWN = "count-down"
    HOLD = "hold"
    JUDGED = "judged"
    WATCHING = "watching"
    ENDED = "ended"


@dataclass(frozen=True)
class GuideConfig:
    """countdown_s: to get into a pose. hold_s: that it is held. still_mm_s: joints that are slower, on average, are at
    rest. patience_s: until a hand that does not come to rest is told so. judged_s: that a verdict is shown. tries: of
    one pose, then another is asked for. rounds: through all poses. turn, fingers, thumb: how far a pose may be off,
    radians: of the whole hand, and on average of flexions and of the thumb's angles. fewest: poses, before it may end.
    enough: frames of a pose, on the way into it or held, that tell something new. hold_frames: that are seen while it
    is held, at least. way_mm_s: a hand on its way that is slower counts too. gone_s: without a hand, it has left.
    """

    countdown_s: float = 2.5
    hold_s: float = 1.0
    still_mm_s: float = 60.0
    patience_s: float = 9.0
    judged_s: float = 1.6
    tries: int = 2
    rounds: int = 2
    turn: float = 0.8
    fingers: float = 0.45
    thumb: float = 0.6
    fewest: int = 4
    enough: int = 2
    hold_frames: int = 4
    way_mm_s: float = 250.0
    gone_s: float = 1.5


@dataclass(frozen=True)
class GuideView:
    """stage. pose: the one that is asked for, None where none is. countdown_s: left. held: 0 to 1 of the time that it
    is to be held. judgement: of the last pose, None before the first. judged: which one that was. passed: poses that
    passed, by name. frames: held to learn from. poses: asked for so far.
    """

    stage: Stage
    pose: GuidedPose | None = None
    countdown_s: float = 0.0
    held: float = 0.0
    judgement: Judgement | None = None
    judged: str = ""
    passed: tuple[str, ...] = ()
    frames: int = 0
    asked: int = 0


@dataclass
class _Try:
    """One pose that is asked for."""

    index: int
    since_s: float
    number: int = 1
    new: int = 0
    still_since_s: float | None = None
    held: list[tuple[CalibrationFrame, TrackingResult]] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)


class Guide:
    """Leads through a session. `asks`: poses are asked for; otherwise frames are taken as they come."""

    def __init__(self, collection: Collection, asks: bool, config: GuideConfig = GuideConfig()) -> None:
        self.collection, self.asks, self.config = collection, asks, config
        self._stage = Stage.LOOKING if asks else Stage.WATCHING
        self._order: tuple[int, ...] = tuple(range(len(CATALOGUE)))
        self._try: _Try | None = None
        self._done: set[int] = set()
        self._round, self._asked = 1, 0
        self._passed: list[str] = []
        self._judgement: Judgement | None = None
        self._judged, self._judged_at_s = "", 0.0
        self._motion = _Motion()
        self._seen_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to ask for."""
        return self._stage is Stage.ENDED

    def view(self, now_s: float) -> GuideView:
        """How it stands."""
        config, asked = self.config, self._try
        left_s, held = 0.0, 0.0
        if asked is not None and self._stage is Stage.COUNTDOWN:
            left_s = max(0.0, asked.since_s + config.countdown_s - now_s)
        if asked is not None and self._stage is Stage.HOLD and asked.still_since_s is not None:
            held = min(1.0, (now_s - asked.still_since_s) / config.hold_s)
        frames = max((len(one) for one in self.collection.sessions.values()), default=0)
        pose = CATALOGUE[asked.index] if asked is not None else None
        return GuideView(
            self._stage, pose, left_s, held, self._judgement, self._judged, tuple(self._passed), frames, self._asked
        )

    def learn(self, progress: Progress) -> None:
        """What the frames say by now: it decides which pose is asked for next, and whether any is."""
        self._order = progress.next_poses
        if len(self._passed) >= self.config.fewest and not progress.undetermined() and progress.frames:
            self.end()

    def end(self) -> None:
        """Ask for no more."""
        self._stage, self._try = Stage.ENDED, None

    def skip(self, now_s: float) -> None:
        """Ask for another pose instead of this one."""
        if self._try is not None:
            self._done.add(self._try.index)
            self._next(now_s)

    def see(self, result: TrackingResult, frame: CalibrationFrame | None, now_s: float) -> None:
        """A frame was tracked; what was read of it, None where there is no hand."""
        if self._stage is Stage.ENDED:
            return
        if frame is not None:
            self._seen_s = now_s
        if not self.asks:
            if frame is not None:
                self._judge_alone(frame, result)
            return
        geometry = result.geometry
        joints = None if geometry is None or frame is None else geometry.joints
        # By the camera's clock: results come late, and not evenly, where the machine is busy.
        speed = self._motion.speed(joints, result.frame.device_time_s)
        if self._stage is Stage.HOLD:
            self._hold(result, frame, speed, now_s)
        elif frame is not None and self._stage is Stage.COUNTDOWN and speed <= self.config.way_mm_s:
            self._count([self.collection.offer(frame, result)])

    def tick(self, now_s: float) -> None:
        """Time goes by, with or without frames."""
        config = self.config
        here = self._seen_s is not None and now_s - self._seen_s < config.gone_s
        if self._stage is Stage.LOOKING and here:
            if self._try is None:
                self._next(now_s)
            else:
                self._again(now_s)
        elif self._stage is Stage.COUNTDOWN and self._try is not None:
            if not here:
                self._stage = Stage.LOOKING
            elif now_s - self._try.since_s >= config.countdown_s:
                self._stage = Stage.HOLD
                self._try.since_s, self._try.still_since_s = now_s, None
        elif self._stage is Stage.HOLD and self._try is not None:
            if now_s - self._try.since_s >= config.patience_s:
                self._say(self._restless(self._try), now_s)
        elif self._stage is Stage.JUDGED and now_s - self._judged_at_s >= config.judged_s:
            self._after_judgement(now_s)

    def _hold(self, result: TrackingResult, frame: CalibrationFrame | None, speed: float, now_s: float) -> None:
        """A pose is to be held: what is still for long enough is judged."""
        asked, config = self._try, self.config
        assert asked is not None
        if frame is None or speed > config.still_mm_s:
            asked.missed["moves" if frame is not None else "gone"] += 1
            asked.still_since_s, asked.held = None, []
            return
        if asked.still_since_s is None:
            asked.still_since_s = now_s
        asked.held.append((frame, result))
        if now_s - asked.still_since_s >= config.hold_s and len(asked.held) >= config.hold_frames:
            self._say(self._judge_pose(asked), now_s)

    def _count(self, given: list[Judgement]) -> None:
        assert self._try is not None
        self._try.new += sum(one.verdict is Verdict.PASS for one in given)

    def _judge_pose(self, asked: _Try) -> Judgement:
        """Of a pose that was held: it must be the one asked for, be seen well, and tell something new."""
        wrong = unlike(CATALOGUE[asked.index], [frame for frame, _ in asked.held], self.config)
        given = [self.collection.offer(frame, result) for frame, result in asked.held]
        self._count(given)
        retakes = Counter(one.reason for one in given if one.verdict is Verdict.RETAKE)
        if retakes.total() > len(given) / 2:
            return Judgement(Verdict.RETAKE, retakes.most_common(1)[0][0])
        if wrong:
            # What it showed counts all the same: any pose that is held tells something.
            return Judgement(Verdict.RETAKE, wrong)
        if asked.new < self.config.enough:
            return Judgement(Verdict.NOT_ENOUGH, "this says little that is new: move on to another pose")
        return Judgement(Verdict.PASS, f"{asked.new} frames that tell something new")

    def _restless(self, asked: _Try) -> Judgement:
        if asked.missed["gone"] > asked.missed["moves"]:
            return Judgement(Verdict.RETAKE, "no hand is seen clearly: hold it before the camera, nothing in it")
        return Judgement(Verdict.RETAKE, "the hand does not come to rest: hold it still for a second")

    def _judge_alone(self, frame: CalibrationFrame, result: TrackingResult) -> None:
        self._judgement = self.collection.offer(frame, result)

    def _say(self, judgement: Judgement, now_s: float) -> None:
        asked = self._try
        assert asked is not None
        self._judgement, self._judged = judgement, CATALOGUE[asked.index].name
        self._judged_at_s, self._stage = now_s, Stage.JUDGED
        if judgement.verdict is Verdict.PASS:
            self._passed.append(self._judged)

    def _after_judgement(self, now_s: float) -> None:
        asked, judgement = self._try, self._judgement
        assert asked is not None and judgement is not None
        if judgement.verdict is Verdict.RETAKE and asked.number < self.config.tries:
            asked.number += 1
            self._again(now_s)
            return
        self._done.add(asked.index)
        self._next(now_s)

    def _again(self, now_s: float) -> None:
        assert self._try is not None
        self._try = _Try(self._try.index, now_s, self._try.number)
        self._stage = Stage.COUNTDOWN

    def _next(self, now_s: float) -> None:
        """Ask for the most telling pose that was not had in this round; after the last round, end."""
        left = [index for index in self._order if index not in self._done]
        if not left and self._round < self.config.rounds:
            self._round, self._done = self._round + 1, set()
            left = list(self._order)
        if not left:
            self.end()
            return
        self._asked += 1
        self._try, self._stage = _Try(left[0], now_s), Stage.COUNTDOWN


#: Of where a hand was longer ago than this, its speed cannot be told.
_PAUSE_S = 1.5


class _Motion:
    """How fast joints move, mm/s: the mean over them, smoothed over a quarter of a second."""

    _OVER_S = 0.25

    def __init__(self) -> None:
        self._last: FloatArray | None = None
        self._last_s, self._speed = 0.0, np.inf

    def speed(self, joints: FloatArray | None, now_s: float) -> float:
        """With these joints (21, 3) mm now; infinite where the hand is gone, or was not there just before."""
        last, passed = self._last, now_s - self._last_s
        self._last, self._last_s = joints, now_s
        if joints is None or last is None or not 0 < passed < _PAUSE_S:
            self._speed = np.inf
            return self._speed
        now = float(np.linalg.norm(joints - last, axis=1).mean()) / passed
        share = 1.0 if not np.isfinite(self._speed) else 1 - np.exp(-passed / self._OVER_S)
        self._speed = now if share == 1.0 else self._speed + share * (now - self._speed)
        return self._speed


def unlike(pose: GuidedPose, frames: list[CalibrationFrame], config: GuideConfig = GuideConfig()) -> str:
    """What about a hand is not as in a pose, in words for the user; nothing where it is near enough."""
    if not frames:
        return "no hand was seen"
    shown = np.mean([frame.start.articulation for frame in frames], 0)
    asked = np.array(pose.articulation)
    wanted = euler_to_matrix(torch.tensor(pose.turn, dtype=torch.float64)).numpy()
    # How the hand lies in the picture's plane says nothing: only where its palm and its fingers point.
    away = [_tilt(frame.start.rotation, wanted) for frame in frames]
    if np.mean(away) > config.turn:
        return "the hand is turned another way than in the picture: turn it as shown"
    off = shown[_FLEXIONS] - asked[_FLEXIONS]
    if np.abs(off).mean() > config.fingers:
        more = "bend" if off.mean() < 0 else "straighten"
        return f"the fingers are not as in the picture: {more} them as shown"
    if np.abs(shown[_THUMB] - asked[_THUMB]).mean() > config.thumb:
        return "the thumb is not as in the picture: place it as shown"
    return ""


def _tilt(rotation: FloatArray, wanted: FloatArray) -> float:
    """The angle between two attitudes of a hand, radians, turns about the camera's axis left out."""
    turn = rotation @ wanted.T
    about = np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])
    cosine, sine = np.cos(-about), np.sin(-about)
    level = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ turn
    return float(np.arccos(np.clip((np.trace(level) - 1) / 2, -1, 1)))
