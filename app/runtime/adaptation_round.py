"""What the adaptation does with samples, one bounded piece of work after another: the user's build, then the encoder.

Runs in the worker's process; it knows nothing of processes, so that tests and benches run it where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from app.runtime.adaptation_trial import Contender, build_of, frames_of, hand_of, misread
from calibration.estimate import ONE_HAND_MM, bone_lengths
from calibration.frames import Build, CalibrationFrame
from calibration.relief import ReliefConfig, ReliefSolver
from calibration.skin import SkinPrior
from calibration.solver import ShapeSolver, SolverConfig
from engine.adaptation.anchors import AnchorConfig, AnchorTraining
from engine.adaptation.gate import GateConfig, Verdict, judge, no_worse
from engine.adaptation.samples import Sample, SampleBuffer, SampleGate
from engine.adaptation.versions import AdaptedVersion, VersionStore
from engine.hand.relief import raised
from engine.methods.gaussian.weights import LoadedEncoder, load_weights
from engine.reading import Reading
from engine.training.renders import HandRenderer, HandShape, RenderConfig, RenderedBatch
from engine.training.trainer import rendered_errors
from engine.types import FloatArray, LumbricalError

#: Seconds of each five are held out, so that what is judged by is no neighbour of what is learnt from.
_PERIOD_S, _HELD_S = 5.0, 1.0
_RENDERED_SEED = 90_001
#: By how much a frame's residual may grow with another encoder, in the median.
_NO_WORSE = 1.02
#: So many times the samples that what is in use was learnt from are more of them.
_MORE = 1.2
#: Of the solver, from a hand that is nearly right.
_REFINING_STEPS = 8


@dataclass(frozen=True)
class RoundConfig:
    """learn, judge: samples needed to begin; least: the same as learn where `patience` samples, most of them of poses
    that are there already, did not bring them. fewest: samples a build is solved from, at least; solve: that it is
    solved from, or an average taken of, at most; refine: the same for a build that is known already. held: held-out
    samples kept, the newest. news: new samples for another round, once a build is known; before, half as many more.
    averaged: how the surface of an average is learnt, whose bones are not the user's: it has to reach further.
    surfaced: how that of a solved hand is.
    one_hand_mm: bones of two halves of the samples, or of the known hand, may differ by so much on average, else it is
    not one hand; one_average_mm: the same for averages of single frames, which all lean to the mean hand.
    solved_ratio: a solved hand's median residual over that of an average in use, at most. more_averaged, more_solved,
    more_tail: by how much residuals may grow, in the median and in the worst tenth, over those with the first of its
    kind, with what was learnt from a fifth more samples. rendered: hands of the fixed set. buffer_bytes: of the
    samples. train: whether the encoder is fine-tuned too."""

    learn: int = 80
    judge: int = 12
    least: int = 24
    patience: int = 600
    fewest: int = 60
    solve: int = 60
    refine: int = 200
    held: int = 80
    news: int = 40
    one_hand_mm: float = ONE_HAND_MM
    one_average_mm: float = 2.5
    solved_ratio: float = 1.10
    more_averaged: float = 1.02
    more_solved: float = 1.15
    more_tail: float = 1.25
    averaged: ReliefConfig = field(default_factory=lambda: ReliefConfig(prior_mm=4.0, doubt=7.0))
    surfaced: ReliefConfig = field(default_factory=lambda: ReliefConfig(steps=3, known=True))
    rendered: int = 96
    buffer_bytes: int = 16 << 20
    train: bool = True
    gate: GateConfig = field(default_factory=GateConfig)
    samples: SampleGate = field(default_factory=SampleGate)
    anchors: AnchorConfig = field(default_factory=AnchorConfig)


@dataclass(frozen=True)
class Outcome:
    """Of one candidate: what it was, the verdict, and the version where it was promoted."""

    what: str
    verdict: Verdict
    version: int = 0


class Adapter:
    """Holds the samples and the version in use. known: the profile's hand, which the frames must be of."""

    def __init__(
        self,
        store: VersionStore,
        base: LoadedEncoder,
        known: Build | None = None,
        config: RoundConfig = RoundConfig(),
    ) -> None:
        self.config, self._store, self._base, self._profile = config, store, base, known
        self.buffer = SampleBuffer(config.buffer_bytes)
        self.held: deque[Sample] = deque(maxlen=config.held)
        self.refused: dict[str, int] = {}
        self._round: Iterator[Outcome | None] | None = None
        self._begin_anew()
        self._rendered: tuple[list[RenderedBatch], float] | None = None
        self._reliefs = {
            "hand": ReliefSolver(config=config.surfaced),
            "surface": ReliefSolver(config=config.averaged),
        }
        self._solver = ShapeSolver(config=_TIGHT)
        self.use(store.current)

    @property
    def busy(self) -> bool:
        """Whether there is work to do."""
        ready = self.buffer.taken >= self._needed and len(self.held) >= self.config.judge
        return self._round is not None or ready

    def use(self, number: int) -> None:
        """Go on from another version (0: none); what is being made of the last one is given up."""
        self.number = number
        version = self._store.load(number) if number else AdaptedVersion(0, None, None, None)
        weights = load_weights(version.weights) if version.weights is not None else self._base
        self._present = Contender(weights.encoder, build_of(version.hand) or self._profile)
        #: What is in use here, and from how many samples it was learnt: 0 where it was not. The first of its kind.
        self._learnt, self._first = ("", 0), self._present
        self._round = None

    def rolled_back(self, number: int) -> None:
        """The version in use has proved worse: what it was learnt from is not learnt from again."""
        self.use(number)
        self.buffer.clear()
        self.held.clear()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._needed, self._at_least = (self.buffer.taken + n for n in (self.config.learn, self.config.least))
        self._patience = self.config.patience

    def take(self, sample: Sample) -> str:
        """Keep a sample to learn from or to judge by; why not, where it is refused."""
        reason = self.config.samples.objection(sample)
        if reason:
            self.refused[reason] = self.refused.get(reason, 0) + 1
        elif sample.time_s % _PERIOD_S >= _PERIOD_S - _HELD_S:
            self.held.append(sample)
        else:
            self.buffer.offer(sample)
            self._patience -= 1
            if self._patience == 0:
                self._needed = min(self._needed, self._at_least)
        return reason

    def work(self) -> Outcome | None:
        """Do one piece, a second or so at most where not solving; what came of a candidate, when it is decided."""
        if self._round is None:
            if not self.busy:
                return None
            more = self.buffer.taken // 2 if self._known is None else self.config.news
            self._needed, self._patience = self.buffer.taken + more, 0
            self._round = self._candidates()
        try:
            return next(self._round)
        except StopIteration:
            self._round = None
            return None

    def _candidates(self) -> Iterator[Outcome | None]:
        known = self._known is not None
        samples = self.buffer.spread(self.config.refine if known else self.config.solve)
        readings = self._present.readings(samples)
        frames = frames_of(readings)
        yield None
        if not known:
            # Quick to learn, and the only thing that frames of a hand that holds things tell rightly.
            yield from self._averaged(readings, frames)
            # Few frames of a held thing fit a build that has it for flesh; an average cannot have that.
            if len(samples) >= self.config.fewest:
                yield from self._solved(self._solver, frames, self._solver.solve(frames).build)
            return
        before = self.number
        yield from self._refined(frames)
        # It learns from hands rendered in the user's build: not before that has come to rest.
        if self.config.train and self.number == before:
            yield from self._weights(samples)

    @property
    def _known(self) -> Build | None:
        """The hand whose bones were solved for, here or in the profile; an average tells too little of them."""
        if self._profile is not None:
            return self._profile
        build = self._present.build
        return build if build is not None and build.skin.any() else None

    def _surface(self, what: str, frames: list[CalibrationFrame], build: Build) -> Iterator[Outcome | None]:
        """A build with the surface that the frames show of it, and the present encoder, against what is in use."""
        for found in self._reliefs[what].solve(frames, build):
            build = found
            yield None
        contender = Contender(self._present.encoder, build, self._solver.template)
        held = self._present.readings(list(self.held))
        yield None
        in_use, count = self._learnt
        more = what == in_use and len(frames) >= _MORE * count
        # What may be a little worse is compared with the first of its kind: not a little worse time after time.
        before = (self._first if more else self._present).residuals(held)
        yield None
        after = contender.residuals(held)
        yield None
        average = what == "hand" and self._known is None and self._present.build is not None
        if average and np.nanmedian(after) <= self.config.solved_ratio * np.nanmedian(before):
            # An average bends its surface to bones that are not the user's: what is solved for replaces it where it
            # is better than no hand at all and as good as the average.
            before = Contender(self._present.encoder, None).residuals(held)
        outcome = self._decide(what, self._verdict(what, more, before, after), contender, trained=False)
        if outcome.version:
            self._first = self._first if what == in_use else contender
            self._learnt = what, len(frames)
        yield outcome

    def _verdict(self, what: str, more: bool, before: FloatArray, after: FloatArray) -> Verdict:
        """Of a hand, by residuals of held-out samples; more: it is of the same kind as what is in use and learnt from
        more samples: then its joints are nearer to the user's also where its residual is not less."""
        config = self.config
        if not more:
            return judge(before, after, 1.0, 1.0, config.gate)
        ratio = config.more_solved if what == "hand" else config.more_averaged
        return no_worse(before, after, ratio, replace(config.gate, tail=config.more_tail))

    def _averaged(self, readings: list[Reading], frames: list[CalibrationFrame]) -> Iterator[Outcome | None]:
        """The average of what single frames tell of the shape, with a surface of its own."""
        present, template = self._present.build, self._solver.template
        relief = present.relief if present is not None else Build.mean().relief
        free, middle = Contender(self._present.encoder, None, raised(template, relief)), len(readings) // 2
        halves = [free.averaged(part) for part in (readings[:middle], readings[middle:])]
        yield None
        apart = _bones_apart(halves[0], halves[1], self._solver)
        if apart > self.config.one_average_mm:
            yield Outcome("surface", Verdict(False, _two_hands(apart)))
            return
        # Halves have as many frames each, and their averages are as sure.
        build = replace(Build.of(np.mean([half.vector for half in halves], 0)), relief=relief)
        yield from self._surface("surface", frames, build)

    def _refined(self, frames: list[CalibrationFrame]) -> Iterator[Outcome | None]:
        """The known hand solved further, from more frames and on its own surface, where less of what a surface is off
        is taken for bones."""
        present = self._present.build
        assert present is not None
        solver = ShapeSolver(raised(self._solver.template, present.relief))
        build = solver.solve(frames, start=present, steps=_REFINING_STEPS).build
        yield from self._solved(solver, frames, replace(build, relief=present.relief))

    def _solved(self, solver: ShapeSolver, frames: list[CalibrationFrame], build: Build) -> Iterator[Outcome | None]:
        """What becomes of a build that the solver found."""
        yield None
        objection = self._not_one_hand(solver, frames, build)
        if objection:
            yield Outcome("hand", Verdict(False, objection))
            return
        yield None
        yield from self._surface("hand", frames, build)

    def _not_one_hand(self, solver: ShapeSolver, frames: list[CalibrationFrame], build: Build) -> str:
        """Why the frames do not show one hand, the known one; nothing where they do."""
        limit = self.config.one_hand_mm
        middle, few = len(frames) // 2, -(-len(frames) // self.config.solve)
        halves = [solver.solve(part[::few], start=build, steps=5).build for part in (frames[:middle], frames[middle:])]
        apart = _bones_apart(halves[0], halves[1], solver)
        if apart > limit:
            return _two_hands(apart)
        known = self._known
        if known is not None and (apart := _bones_apart(build, known, solver)) > limit:
            return f"the frames show another hand than the one known (bones {apart:.1f} mm apart)"
        return ""

    def _weights(self, samples: list[Sample]) -> Iterator[Outcome | None]:
        build = self._present.build
        assert build is not None
        beta, thickness = (torch.from_numpy(part.astype(np.float32)) for part in (build.beta, build.thickness))
        shape = HandShape(beta, thickness, torch.zeros(16))
        training = AnchorTraining(self._present.encoder, self._present.template, shape, samples, self.config.anchors)
        while not training.finished:
            if self.buffer.taken >= self._needed:
                return  # new samples, which may say more of the hand
            training.step()
            yield None
        contender = Contender(training.average, build, self._solver.template)
        yield None
        yield self._decide("encoder", self._read_better(contender), contender, trained=True)

    def _read_better(self, contender: Contender) -> Verdict:
        """Whether another encoder says more rightly, before any fit, where held-out joints are, rendered hands are read
        no worse, and the fit ends no further from the depth.

        The fit corrects most of what encoders do differently, and its residual hardly tells them apart. So what the
        present encoder and the fit make of a frame is taken for the truth, which the other has to come nearer to.
        """
        batches, rendered_before = self._rendered_set()
        rendered_after = _rendered_error(contender.encoder, batches, self._solver)
        gate, (old, new) = self.config.gate, (one.readings(list(self.held)) for one in (self._present, contender))
        joints = self._present.joints(old)
        before, after = misread(old, joints), misread(new, joints)
        nearer = judge(before, after, rendered_before, rendered_after, gate, "are read")
        if not nearer.promoted:
            return nearer
        fitted = no_worse(self._present.residuals(old), contender.residuals(new), _NO_WORSE, gate)
        return nearer if fitted.promoted else fitted

    def _rendered_set(self) -> tuple[list[RenderedBatch], float]:
        """Fixed rendered hands, any people's, and the error on them of the encoder that all began with."""
        if self._rendered is None:
            config = RenderConfig(empty_fraction=0.0, left_fraction=0.0)
            batches = [HandRenderer(config, _RENDERED_SEED).batch(self.config.rendered)]
            self._rendered = batches, _rendered_error(self._base.encoder, batches, self._solver)
        return self._rendered

    def _decide(self, what: str, verdict: Verdict, contender: Contender, trained: bool) -> Outcome:
        if not verdict.promoted:
            return Outcome(what, verdict)
        assert contender.build is not None
        own_weights = trained or contender.encoder is not self._base.encoder
        try:
            version = self._store.add(hand_of(contender.build), contender.encoder if own_weights else None)
        except LumbricalError as error:
            return Outcome(what, Verdict(False, str(error), verdict.live_before, verdict.live_after))
        self.number, self._present = version.number, contender
        return Outcome(what, verdict, version.number)


def _two_hands(apart: float) -> str:
    return f"the frames show more than one hand (bones {apart:.1f} mm apart)"


def _bones_apart(first: Build, second: Build, solver: ShapeSolver) -> float:
    """Mean over bones, mm."""
    lengths = [bone_lengths(build, solver.kinematics) for build in (first, second)]
    return float(np.abs(lengths[0] - lengths[1]).mean())


def _rendered_error(encoder: torch.nn.Module, batches: list[RenderedBatch], solver: ShapeSolver) -> float:
    from engine.hand.skeleton import Skeleton
    from engine.methods.gaussian.encoder import Encoder

    assert isinstance(encoder, Encoder)
    return rendered_errors(encoder.eval(), batches, Skeleton())["joints_mean_mm"]


#: Of the first build: skin near to the template's, and more say for the encoder's points.
_TIGHT = SolverConfig(
    point_doubt=8.0,
    thickness_sd=(1.5, 0.8, 0.8, 0.8, 0.8, 0.8),
    skin=SkinPrior(
        slide=(0.5, 0.5, 0.3, 0.2), stretch=(0.5, 0.5, 0.3, 0.2), palm_slide=1.0, palm_stretch=1.0, shift=0.3,
        girth=0.3, lateral=0.3, finger_lateral=0.3,
    ),
)  # fmt: skip
