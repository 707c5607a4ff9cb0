"""The tracker: a depth frame in, a hand out. Synchronous and deterministic; it owns no thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from engine.compiled import compiled
from engine.filter import PoseFilter, ShapeAverage, SmoothingConfig, shape_certainty
from engine.fitting.fitter import HandFitter
from engine.fitting.state import KnownShape
from engine.geometry.vectors import median
from engine.hand.hand import HandModel
from engine.localise.crop import CropWindow, cut, look_at
from engine.localise.detector import HandDetector
from engine.localise.predict import CropPredictor
from engine.methods.gaussian.encoder import HALF_CUBE_MM
from engine.methods.gaussian.weights import load_weights
from engine.reading import FittedHand, Reading, settled
from engine.runners.onnx_runner import OnnxRunner
from engine.runners.protocol import CuttingRunner, Runner
from engine.types import DepthFrame, FloatArray, HandGeometry, HandParameters, Side, TrackingResult, TrackingState

#: A hand that looks like the other one (its probability below the first) for so many frames is read as both again.
_DOUBTED_SIDE = 0.3
_DOUBT_FRAMES = 5
#: What lies so far before the model's surface is not a misplaced hand but something before it.
HIDDEN_MM = 25.0
#: A frame no older than this says something of how the fingers are held now.
_RECENT_S = 0.1


@dataclass(frozen=True)
class TrackerConfig:
    """side: which hand, None for either. min_confidence: below it a hand is not believed. max_residual_mm: nor when its
    surface lies this far from the depth. lost_frames: after so many failed frames in a row the state is no longer
    "lost" but "searching"; the whole frame is searched in both. candidates: places of the detector that are looked at.
    """

    side: Side | None = None
    min_confidence: float = 0.5
    max_residual_mm: float = 12.0
    lost_frames: int = 3
    candidates: int = 3
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)


class Tracker:
    """Follows one hand from frame to frame. faces: (F, 3) triangles of every result's mesh vertices.

    shape: of the user's hand, where it is known: it is held then, and only the pose is found.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        runner: Runner | None = None,
        detector: HandDetector | None = None,
        model: HandModel | None = None,
        fitter: HandFitter | None = None,
        shape: KnownShape | None = None,
    ) -> None:
        self.config = config or TrackerConfig()
        self._run_by(runner or OnnxRunner(load_weights()))
        self._detector = detector or HandDetector.load()
        self._filter = PoseFilter(self.config.smoothing)
        model = model or HandModel()
        self._own_hand = model, shape, fitter or HandFitter(model.template)
        self._take_hand(*self._own_hand)
        self.side = self.config.side
        self.reset()

    def hold(self, model: HandModel | None, shape: KnownShape | None = None) -> None:
        """Follow a hand whose surface and shape are known, from the next frame on; without a model, the tracker's own
        again."""
        if model is None:
            self._take_hand(*self._own_hand)
        else:
            self._take_hand(model, shape, self._own_hand[2].on(model.template))
        self.reset()

    def _run_by(self, runner: Runner) -> None:
        self.runner = runner
        # Whether a protocol is met takes a tenth of a millisecond to see: too long for each frame.
        self._cutting = runner if isinstance(runner, CuttingRunner) else None

    def _take_hand(self, model: HandModel, shape: KnownShape | None, fitter: HandFitter) -> None:
        self.model, self.faces, self._shape = model, model.faces, shape
        self._fitter = fitter if shape is None else fitter.knowing_shape()
        self._shape_fitter, self._pose_fitter = self._fitter.stepping(1), fitter.holding_shape().stepping(1)

    def reset(self) -> None:
        """Forget the hand: the next frame is searched whole."""
        self._predictor = CropPredictor()
        self._filter.reset()
        self._current_side = self.side or Side.RIGHT
        self._state = TrackingState.SEARCHING
        self._failures = 0
        self._doubtful_frames = 0
        self._roll = 0.0
        self._time_s = -np.inf
        self._forget_angles()

    def _forget_angles(self) -> None:
        self._angles: FloatArray | None = None
        self._angles_time_s = -np.inf

    def go_on_with(self, other: Tracker) -> None:
        """From the next frame on track with another tracker's weights, surface and shape; where the hand is and how it
        moves stays known. The other one has to be given up."""
        same = other.runner.version == self.runner.version and other._shape is self._shape
        self._run_by(other.runner)
        self.model, self.faces = other.model, other.faces
        self._shape, self._fitter = other._shape, other._fitter
        self._shape_fitter, self._pose_fitter = other._shape_fitter, other._pose_fitter
        if not same:
            self._filter.shape = None  # an average of what the former ones said

    def set_smoothing(self, amount: float) -> None:
        """0 (off) to 1 (calmest)."""
        self._filter.config = replace(self._filter.config, amount=min(1.0, max(0.0, amount)))

    def track(self, frame: DepthFrame, crop_centre_mm: FloatArray | None = None) -> TrackingResult:
        """Track one frame. crop_centre_mm (3,), camera frame: where the hand is, instead of looking for it."""
        if frame.device_time_s < self._time_s:
            self.reset()  # a recording was wound back: what was known is of another moment
        self._time_s = frame.device_time_s
        clock = _Stopwatch()
        reading = self._read(frame, crop_centre_mm, clock)
        if reading is None:
            return self._missed(frame, clock, "no hand in view")
        if reading.confidence < self.config.min_confidence:
            return self._missed(frame, clock, "the hand was lost")
        recent = frame.device_time_s - self._angles_time_s < _RECENT_S and reading.side is self._current_side
        angles = self._angles if recent else None
        posed, shape = self._fit(reading, angles, frame.device_time_s)
        clock.lap("fit")
        # Of the pose before smoothing: a smoothed one trails, and that speaks against nothing.
        residual = surface_residual(posed.surface, reading.window.distance, reading.crop)
        clock.lap("residual")
        # Not a number where nothing of the hand is in the image: nothing there speaks for it.
        if residual <= self.config.max_residual_mm:
            self._follow_side(reading)
            parameters = self._filter.take(posed.parameters, shape, frame.device_time_s)
            clock.lap("filter")
            geometry = self.model(parameters)
            clock.lap("model")
            return self._found(frame, reading, posed, parameters, geometry, residual, clock)
        return self._missed(frame, clock, "the hand was lost", residual)

    def _fit(self, reading: Reading, angles: FloatArray | None, time_s: float) -> tuple[FittedHand, ShapeAverage]:
        """The hand of one frame, of the shape that is averaged over time, and that shape.

        Once a shape is known, half of the steps find the frame's own, and half the pose that suits the averaged one,
        which is what is drawn. A shape that is held needs no average: all steps find the pose that suits it.
        """
        known = self._filter.shape is not None and self._shape is None
        own = reading.fit(self._shape_fitter if known else self._fitter, angles, self._shape)
        certainty = shape_certainty(own.parameters, own.joint_sigma_mm)
        shape = self._filter.shape_with(own.parameters, time_s, certainty)
        if not known:
            return own, shape
        return reading.refit(self._pose_fitter, own, KnownShape(shape.beta, shape.thickness), angles), shape

    def _read(self, frame: DepthFrame, centre: FloatArray | None, clock: _Stopwatch) -> Reading | None:
        if self._state is TrackingState.TRACKING:
            return self._follow(frame, centre, clock)
        if centre is not None:
            best = self._best(frame, self._windows([centre]), clock)
            # The caller's place holds; how the hand is turned there is seen only now.
            return self._best(frame, [look_at(centre, best.window.mirrored, best.next_window().roll)], clock)
        candidates = self._detector.detect(frame, self.config.candidates)
        clock.lap("localise")
        if not candidates:
            return None
        scores = [candidate.score for candidate in candidates]
        best = self._best(frame, self._windows([c.centre_mm for c in candidates]), clock, scores)
        return settled(best, lambda window: self._best(frame, [window], clock))

    def _follow(self, frame: DepthFrame, centre: FloatArray | None, clock: _Stopwatch) -> Reading:
        """Read the frame where the hand must be by now, or at `centre`."""
        if centre is None:
            centre = self._predictor.predict(frame.device_time_s)
        assert centre is not None
        if self._doubtful_frames >= _DOUBT_FRAMES:
            return self._best(frame, self._windows([centre], self._roll), clock)
        return self._best(frame, [look_at(centre, self._current_side is Side.LEFT, self._roll)], clock)

    def _windows(self, centres: list[FloatArray], roll: float = 0.0) -> list[CropWindow]:
        """Every centre, looked at for every side that the hand may be of. roll: how the current side's window turns;
        in a mirrored camera it is the other way."""
        sides = [self.side] if self.side else [Side.RIGHT, Side.LEFT]
        rolls = [roll if side is self._current_side else -roll for side in sides]
        ways = list(zip(sides, rolls, strict=True))
        return [look_at(centre, side is Side.LEFT, turn) for centre in centres for side, turn in ways]

    def _best(
        self, frame: DepthFrame, windows: list[CropWindow], clock: _Stopwatch, scores: list[float] | None = None
    ) -> Reading:
        """Read every window; the likeliest is taken. scores: how likely each centre of _windows was beforehand."""
        if self._cutting is not None:
            crops = self._cutting.cut(frame, windows)
        else:
            crops = np.stack([cut(frame, window) for window in windows])
        clock.lap("crop")
        distances = np.array([window.distance for window in windows], np.float32)
        estimate = self.runner.run(crops, distances)
        clock.lap("encode")
        prior = np.repeat(scores, len(windows) // len(scores)) if scores else np.ones(len(windows))
        best = int(np.argmax(prior * estimate.hand * (0.5 + estimate.right)))
        return Reading(windows[best], crops[best], estimate, best)

    def _found(
        self,
        frame: DepthFrame,
        reading: Reading,
        fitted: FittedHand,
        parameters: HandParameters,
        geometry: HandGeometry,
        residual: float,
        clock: _Stopwatch,
    ) -> TrackingResult:
        side = reading.side
        self._state, self._failures = TrackingState.TRACKING, 0
        self._angles, self._angles_time_s = fitted.parameters.theta[6:].astype(np.float64), frame.device_time_s
        self._predictor.update(reading.centre_mm(), frame.device_time_s)
        self._roll = reading.next_window().roll
        return TrackingResult(
            frame=frame,
            state=TrackingState.TRACKING,
            side=side,
            parameters=parameters,
            geometry=geometry.mirrored() if side is Side.LEFT else geometry,
            joint_sigma_mm=fitted.joint_sigma_mm,
            crop_corners_uv=reading.window.corners_uv(frame),
            confidence=reading.confidence,
            residual_mm=residual,
            stage_ms=clock.stages,
            weights_version=self.runner.version,
        )

    def _follow_side(self, reading: Reading) -> None:
        """Note which hand it is, and whether it still looks like that one."""
        if reading.side is not self._current_side:
            self._filter.reset()  # what it knows is of the mirrored hand
        self._current_side = reading.side
        self._doubtful_frames = self._doubtful_frames + 1 if reading.right < _DOUBTED_SIDE else 0

    def _missed(
        self, frame: DepthFrame, clock: _Stopwatch, message: str, residual: float = float("nan")
    ) -> TrackingResult:
        """No hand that can be believed; whatever the encoder's confidence in it was, the result's is 0."""
        self._failures += 1
        self._forget_angles()
        self._filter.forget_pose()
        if self._state is TrackingState.TRACKING:
            self._state = TrackingState.LOST
            self._predictor = CropPredictor()  # where it is found again says nothing of its speed
        elif self._failures > self.config.lost_frames:
            self._state = TrackingState.SEARCHING
            self._filter.reset()  # the next hand may be another one
        return TrackingResult(
            frame=frame,
            state=self._state,
            residual_mm=residual,
            stage_ms=clock.stages,
            weights_version=self.runner.version,
            message=message,
        )


class _Stopwatch:
    """Milliseconds by stage; a stage passed twice adds up."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.stages[name] = self.stages.get(name, 0.0) + 1000 * (now - self._last)
        self._last = now


def surface_residual(surface: FloatArray, distance: float, crop: FloatArray) -> float:
    """Median |observed - model| depth in mm over the points of a hand's surface that face the camera.

    surface (P, 3) mm: in the crop's camera; crop (128, 128) in [-1, 1], its centre `distance` mm away. Only points
    within 6 mm of the nearest one in the same 4 x 4 pixels count, as the others are hidden. A point well behind what
    was observed is hidden too, by something held, and says nothing. A point over no depth in the cube is infinitely
    far off: where half of the hand lies over nothing, so is the result. NaN when less than a tenth of the hand is in
    the crop and not hidden.
    """
    apart, shown = _apart(np.ascontiguousarray(surface), distance, crop)
    return median(apart) if len(apart) > 0.1 * shown else float("nan")


@compiled
def _apart(surface: FloatArray, distance: float, crop: FloatArray) -> tuple[FloatArray, int]:
    """|observed - model| mm of the points that surface_residual counts, and how many the hand itself does not hide."""
    size = len(crop)
    cells = np.full((size // 4 + 1, size // 4 + 1), np.inf, np.float32)
    pixels = np.full((len(surface), 2), -1, np.int64)
    for p in range(len(surface)):
        z = max(surface[p, 2], 1.0)
        scale = distance * size / (2 * HALF_CUBE_MM) / z
        u, v = np.rint(surface[p, 0] * scale + (size - 1) / 2), np.rint(surface[p, 1] * scale + (size - 1) / 2)
        if 0 <= u < size and 0 <= v < size:
            row, column = int(v), int(u)
            pixels[p, 0], pixels[p, 1] = row, column
            cells[row // 4, column // 4] = min(cells[row // 4, column // 4], z)
    apart, count, shown = np.empty(len(surface), np.float32), 0, 0
    for p in range(len(surface)):
        row, column = pixels[p, 0], pixels[p, 1]
        z = max(surface[p, 2], 1.0)
        if row < 0 or z >= cells[row // 4, column // 4] + 6.0:
            continue
        shown += 1
        behind = z - (crop[row, column] * HALF_CUBE_MM + distance)
        if crop[row, column] >= 1.0 or behind < HIDDEN_MM:
            apart[count] = abs(behind) if crop[row, column] < 1.0 else np.inf
            count += 1
    return apart[:count], shown
