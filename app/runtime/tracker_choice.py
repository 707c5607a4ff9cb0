"""Other weights, or another method, for a session that runs: made on a thread of their own, then exchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app.runtime.interfaces import FrameTracker
from app.runtime.methods import DEFAULT_METHOD, method_named
from app.runtime.session import LiveSession
from engine.runners.choose import FIRST_RUNNER, REFERENCE, RUNNERS
from engine.runners.protocol import Progress
from engine.runners.verify import RunnerDiffers
from engine.types import LumbricalError, first_line


@dataclass(frozen=True)
class TrackerWish:
    """weights: of a file, None for the shipped ones; method: by name; source: what is tracked, for methods that ask;
    runner: a name of RUNNERS."""

    weights: Path | None = None
    method: str = DEFAULT_METHOD
    source: str = ""
    runner: str = FIRST_RUNNER


MakeTracker = Callable[[TrackerWish], FrameTracker]
#: The name of the runner that suits these weights (None for the shipped ones).
BestRunner = Callable[[Path | None], str]
#: In words, how right what computes the encoder is; raises LumbricalError where it cannot be used.
CheckRunner = Callable[[TrackerWish, Progress], str]


class TrackerChoice:
    """Tracks with the weights and the method that were chosen last. All methods belong to one thread.

    While another one is loaded, its plan built and checked, the present one goes on tracking. Where its GPU fails, as
    after a laptop slept, the runner that tracked from the start takes over.

    used: what tracks; wish: the same, or what is being loaded; busy: while it is loaded or checked; changes: how often
    the tracker was exchanged; changed: told of what is used then, on the thread that loads; replaced: asked there
    whether somebody had put a tracker of his own in the place of the used one, who will do that again when he is told
    that only the runner has changed.
    """

    def __init__(
        self,
        session: LiveSession,
        make: MakeTracker,
        wish: TrackerWish | None = None,
        check: CheckRunner | None = None,
        best: BestRunner | None = None,
    ) -> None:
        """check: asked of each runner before it is used, and of the one that tracks from the start once it does.
        best: asked after that, on a thread of its own, for the runner to go on with, and again for other weights; until
        somebody chooses a runner.
        """
        self._session = session
        self._make, self._check, self._best = make, check, best
        self._note, self._done = "", 0.0
        self._checked = check is None and best is None
        self.used = self.wish = wish or TrackerWish()
        self._first = self.used.runner
        session.tracking.gives_way = True
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self.changes = 0
        self.changed: Callable[[TrackerWish], None] = lambda wish: None
        self.replaced: Callable[[], bool] = lambda: False

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """Why what tracks fails, or the last choice could not be used; else nothing."""
        return self._session.tracking.failing or self._trouble

    @property
    def words(self) -> str:
        """What is going on: how far a runner has come, or how right the one in use is. Empty where nobody checks."""
        if not self.busy:
            return self._note
        done = f", {100 * self._done:.0f} %" if 0 < self._done < 1 else ""
        return f"{RUNNERS[self.wish.runner].title}: getting ready{done} …"

    @property
    def building(self) -> str:
        """The words while a plan is built, which takes long enough to be told at once; else nothing."""
        return self.words if self.busy and 0 < self._done < 1 else ""

    def check_present(self) -> None:
        """Check the runner that tracks from the start, once it does, and take the one that suits the machine best, or
        what still works where that fails; to be called again and again."""
        if self.busy or self._session.tracking.faces is None:
            return
        if failing := self._session.tracking.failing:
            self._begin(lambda: self._give_up(failing))
        elif not self._checked:
            self._checked = True
            self._begin(self._check_first)

    def choose(self, wish: TrackerWish) -> bool:
        """Load and use it, for the present source; False while another is being loaded. Without another runner than the
        present one, what suits the weights best computes them, unless one was chosen before."""
        if self.busy:
            return False
        if wish.runner != self.used.runner:
            self._best = None
        self.wish = replace(wish, source=self._session.capture.spec)
        self._begin(lambda: self._load(self._suiting(self.wish)))
        return True

    def choose_runner(self, runner: str) -> bool:
        """Compute the encoder by this one and no other from now on; False while another is being loaded."""
        if not self.busy:
            self._best = None
        return self.choose(replace(self.wish, runner=runner))

    def follow_source(self) -> None:
        """Where the method asks whose hand it is, and another source was opened: ask again."""
        asks = method_named(self.wish.method).needs_profile
        if asks and not self.busy and self.wish.source != self._session.capture.spec:
            self.choose(self.wish)

    def _begin(self, work: Callable[[], None]) -> None:
        self._done = 0.0
        self._thread = threading.Thread(target=work, name="lumbrical-tracker", daemon=True)
        self._thread.start()

    def _progress(self, done: float) -> bool:
        """Whether to go on, which is in vain on a GPU that fails meanwhile."""
        self._done = done
        return not self._session.tracking.failing

    def _check_first(self) -> None:
        self._check_used()
        self._first = self.used.runner
        wish = self._suiting(self.used)
        if wish.runner != self.used.runner:
            self._load(replace(wish, source=self._session.capture.spec))

    def _give_up(self, failing: str) -> None:
        """Put the runner that tracked from the start in the place of whatever runs on the GPU that failed, an adapted
        version too, and choose none by itself any more."""
        self._best = None
        self.wish = wish = replace(self.used, runner=self._first)
        try:
            self._take(wish, self._make(wish))
        except Exception as error:
            # Nothing is left to track with: the next frame ends tracking, in the words of what failed.
            self._session.tracking.gives_way = False
            self.wish, self._trouble = self.used, first_line(error)
            return
        self._trouble = _with_runner(failing, self._first)

    def _suiting(self, wish: TrackerWish) -> TrackerWish:
        """The wish with the runner that suits it best; as it is, once somebody chose one."""
        if self._best is None:
            return wish
        best = self._best(wish.weights)
        # Where the first one is as good as any, what tracked from the start does: that is torch if it was off.
        return replace(wish, runner=self._first if best == FIRST_RUNNER else best)

    def _check_used(self) -> None:
        if self._check is None:
            return
        try:
            self._note = self._check(self.used, self._progress)
        except RunnerDiffers as error:
            self._trouble = _with_runner(error, REFERENCE)
            self._use(replace(self.used, runner=REFERENCE))
        except LumbricalError as error:
            self._note = f"not compared with torch: {error}"

    def _load(self, wish: TrackerWish) -> None:
        used, self.wish, self._trouble = self.used, wish, ""
        try:
            self._use(wish)
        except LumbricalError as error:
            if self._best is None or wish.runner == self._first or _same_hand(wish, used):
                self._stay_with(used, wish, error)
            else:
                # Nobody asked for that runner: if it was to blame, the rest of the wish holds.
                self._load(replace(wish, runner=self._first))
                if not self._trouble:
                    self._trouble = _with_runner(error, self._first)

    def _stay_with(self, used: TrackerWish, wish: TrackerWish, error: LumbricalError) -> None:
        """Go on with what is used, as the wish could not be."""
        self._trouble = str(error) if wish.runner == used.runner else _with_runner(error, used.runner)
        self.wish = used
        if method_named(used.method).needs_profile and used.source != wish.source:
            # What tracks now holds the hand of somebody else.
            self.wish = replace(wish, method=DEFAULT_METHOD, weights=used.weights, runner=used.runner)
            self._use(self.wish)

    def _use(self, wish: TrackerWish) -> None:
        note = self._check(wish, self._progress) if self._check is not None else ""
        # Also where it is not put in: what cannot be made is not used, and a plan is there to be refitted then.
        tracker = self._make(wish)
        stays = _same_hand(wish, self.used) and self.replaced()
        self._take(wish, None if stays else tracker, note)

    def _take(self, wish: TrackerWish, tracker: FrameTracker | None, note: str = "") -> None:
        """From now on the wish is used, by this tracker, or by what somebody else puts in who is told."""
        goes_on = _same_hand(wish, self.used)
        self.used = self.wish = wish
        self._note, self._checked = note, True
        if tracker is not None:
            self._session.exchange_tracker(tracker, goes_on)
        self.changes += 1
        self.changed(wish)


def _same_hand(wish: TrackerWish, used: TrackerWish) -> bool:
    """Whether both say the same of a frame, but for how a runner rounds."""
    return replace(wish, runner="", source="") == replace(used, runner="", source="") and not (
        method_named(wish.method).needs_profile and wish.source != used.source
    )


def _with_runner(error: LumbricalError | str, runner: str) -> str:
    """Why another runner could not be used, and which one is."""
    return f"{error} ({RUNNERS[runner].title} tracks instead)"
