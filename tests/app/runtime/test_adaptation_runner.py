"""Adapted weights are run by the runner in use, or by one that can, and only once it says the same as torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.commands.run import _adaptation
from app.runtime import adaptation_worker, runner_check
from app.runtime.adaptation_process import Said, WorkerSettings
from app.runtime.adaptation_runner import adapted_runner
from app.runtime.adaptation_tracker import version_maker
from app.runtime.adaptation_worker import AdaptationWorker
from app.runtime.interfaces import FrameTracker, LiveResult
from app.runtime.methods import TrackerParts, method_named, runner_of
from app.runtime.preloaded import PreloadedSource
from app.runtime.profile_choice import ProfileChoice
from app.runtime.session import LiveSession
from app.runtime.tracker_choice import TrackerChoice, TrackerWish
from calibration.profiles import ProfileStore, adapted_folder
from engine.adaptation.versions import AdaptedHand, VersionStore
from engine.methods.gaussian.encoder import Encoder
from engine.methods.gaussian.weights import LoadedEncoder, load_weights
from engine.runners.choose import RUNNERS, make_runner
from engine.runners.export import export_onnx
from engine.runners.protocol import go_on
from engine.runners.torch_runner import TorchRunner
from engine.runners.verify import check, difference
from engine.tracker import Tracker
from engine.types import DepthFrame, LumbricalError, TrackingState
from tests.adaptation.rendered_samples import frames
from tests.app.fakes import wait_until
from tests.runners.tensorrt_stand_in import StandIn, put_in_place
from tests.runners.test_tensorrt_refit import CROPS, DISTANCES, encoder


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    return put_in_place(monkeypatch, tmp_path / "cache")


@pytest.fixture
def small(trt: StandIn, monkeypatch: pytest.MonkeyPatch) -> tuple[LoadedEncoder, LoadedEncoder]:
    """Weights that TensorRT runs, and others; compared on noise."""
    monkeypatch.setattr(runner_check, "crops_of", lambda *_: (CROPS, DISTANCES))
    base, other = encoder(0), encoder(1)
    make_runner(base, "tensorrt")
    assert trt.built == [True]
    return base, other


def test_the_plan_is_refitted_where_it_can_be(trt: StandIn, small: tuple[LoadedEncoder, LoadedEncoder]) -> None:
    base, other = small
    runner, used, instead = adapted_runner(other, base, "tensorrt")
    assert (runner.name, runner.version, used, instead) == ("TensorRT", other.version, "tensorrt", "")
    assert trt.built == [True] and trt.refitted == [trt.engines[-1]]
    check("TensorRT", difference(runner, TorchRunner(other), CROPS, DISTANCES), "fp16")


@pytest.mark.parametrize("fails", ["its result is off", "its plan takes no other weights", "no plan is kept"])
def test_where_a_refit_does_not_do_the_plan_is_built(
    fails: str, trt: StandIn, small: tuple[LoadedEncoder, LoadedEncoder]
) -> None:
    base, other = small
    if fails == "its result is off":
        trt.spoils = 1.5
    elif fails == "no plan is kept":
        base = replace(encoder(0), version="x-2")
        base.encoder.load_state_dict(encoder(2).encoder.state_dict())
    else:
        trt.refittable = False
        base = encoder(2)
        make_runner(base, "tensorrt")
    before = len(trt.built)
    done: list[float] = []

    def progress(part: float) -> bool:
        done.append(part)
        return True

    runner, used, instead = adapted_runner(other, base, "tensorrt", progress)
    assert (runner.name, used, instead) == ("TensorRT", "tensorrt", "") and 0.5 in done
    assert len(trt.built) > before and len(trt.refitted) == (fails == "its result is off")
    assert trt.engines[-1] not in trt.refitted and trt.engines[-1].runs > 0
    check("TensorRT", difference(runner, TorchRunner(other), CROPS, DISTANCES), "fp16")


def test_a_build_that_is_no_longer_wanted_is_not_made_up_for(
    trt: StandIn, small: tuple[LoadedEncoder, LoadedEncoder]
) -> None:
    trt.spoils = 1.5
    with pytest.raises(LumbricalError, match="stopped"):
        adapted_runner(small[1], small[0], "tensorrt", lambda part: False)


def test_torch_and_onnx_run_adapted_weights_themselves(small: tuple[LoadedEncoder, LoadedEncoder]) -> None:
    base, other = small
    for name in ("torch", "onnx"):
        runner, used, instead = adapted_runner(other, base, name)
        assert (runner.name, runner.version, used, instead) == (RUNNERS[name].title, other.version, name, "")
        check(name, difference(runner, TorchRunner(other), CROPS, DISTANCES), "fp32")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("int8", "int8 weights are made beforehand"),
        ("onnx-cuda", "this ONNX Runtime has no CUDAExecutionProvider"),
        ("onnx-tensorrt", "this ONNX Runtime has no TensorrtExecutionProvider"),
        ("wrong", "Wrong differs from torch"),
    ],
)
def test_onnx_runtime_takes_the_place_of_one_that_cannot(
    name: str, why: str, small: tuple[LoadedEncoder, LoadedEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, other = small
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    # Torch's own runner, but of other weights.
    wrong = replace(RUNNERS["torch"], title="Wrong", precision="fp16", make=lambda *_: TorchRunner(encoder(2)))
    monkeypatch.setitem(RUNNERS, "wrong", wrong)
    runner, used, instead = adapted_runner(other, base, name)
    assert (runner.name, runner.version, used) == ("ONNX Runtime", other.version, "onnx")
    assert instead.startswith(f"ONNX Runtime runs the adapted weights: {why}")


def test_torch_takes_the_place_of_onnx_runtime_that_is_off(
    small: tuple[LoadedEncoder, LoadedEncoder], tmp_path: Path
) -> None:
    base, other = small
    # A graph that was traced of other weights than it lies beside.
    export_onnx(encoder(2), tmp_path / "stale.onnx")
    runner, used, instead = adapted_runner(replace(other, onnx=tmp_path / "stale.onnx"), base, "onnx")
    assert runner.name == used == "torch" and instead.startswith("torch runs the adapted weights: ONNX Runtime differs")


class InStep(PreloadedSource):
    """Gives a frame when the one before has its result: one that gets none holds up all that would follow."""

    def __init__(self, shown: list[DepthFrame]) -> None:
        super().__init__(shown, 15.0)
        self._free = threading.Event()
        self._free.set()

    def read(self, timeout_s: float = 0.2) -> DepthFrame | None:
        if not self._free.wait(timeout_s):
            return None
        frame = super().read(timeout_s)
        if frame is not None:
            self._free.clear()
        return frame

    def put(self, value: LiveResult) -> bool:
        """As a listener."""
        self._free.set()
        return True


@contextmanager
def adapting(folder: Path, runner: str) -> Iterator[tuple[AdaptationWorker, Any]]:
    """A session that adapts, and its results; runner: the one in use."""

    def begin() -> FrameTracker:
        return Tracker(runner=runner_of(None, runner))

    source = InStep([one.frame for one in frames(5, 0.0, 5.0)])
    session = LiveSession(lambda _: source, "rendered", begin)
    session.tracking.add_listener(source)
    worker = AdaptationWorker(session, WorkerSettings(folder), version_maker(begin, lambda: runner))
    results = session.listen(10_000)
    session.start()
    worker.start()
    try:
        yield worker, results
    finally:
        assert worker.stop(10.0)
        assert session.stop()
    assert results.dropped == 0 and session.failure() == ""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionStore:
    """Two versions of the encoder, the first of them in use; no process learns more."""
    monkeypatch.setattr(AdaptationWorker, "_start_process", lambda self: None)
    monkeypatch.setattr(adaptation_worker, "sample_of", lambda result: None)
    store = VersionStore(adapted_folder(None, None, tmp_path / "profiles"))
    for seed in (1, 2):
        torch.manual_seed(seed)
        learnt = Encoder(load_weights().encoder.config).eval()
        learnt.load_state_dict(load_weights().encoder.state_dict())
        with torch.no_grad():
            for values in learnt.parameters():
                values.mul_(1 + 0.003 * torch.randn_like(values))
        store.add(None, learnt)
    store.use(1)
    return store


def tracked_by(results: Any, version: str) -> bool:
    """Whether the newest result is of weights whose version begins so; all results that came are taken."""
    last = None
    while (one := results.get()) is not None:
        last = one
    return last is not None and last.result.weights_version.startswith(version)


@pytest.mark.timeout(300)
def test_tensorrt_goes_on_while_its_plan_is_refitted_or_built_and_goes_back(store: VersionStore, trt: StandIn) -> None:
    with adapting(store.folder, "tensorrt") as (worker, results):
        assert wait_until(lambda: tracked_by(results, "encoder-"), 60)
        worker.set_on(True)
        assert wait_until(lambda: tracked_by(results, "adapted-1-"), 60)  # the one that was in use last
        assert trt.built == [True] and len(trt.refitted) == 1
        trt.spoils = 1.5
        trt.go_on.clear()
        decided = threading.Thread(target=worker._decide, args=(Said("encoder", True, "better", 2, 3.0, 2.5),))
        decided.start()
        assert wait_until(lambda: worker.view.doing == "getting version 2 ready, 50 % …", 60)
        while results.get() is not None:
            pass
        assert len(trt.refitted) == 2 and trt.built == [True, True]
        meanwhile = [results.get(30.0) for _ in range(10)]
        assert all(one is not None and one.result.weights_version.startswith("adapted-1-") for one in meanwhile)
        assert all(one.result.state is TrackingState.TRACKING for one in meanwhile if one is not None)
        trt.go_on.set()
        assert wait_until(lambda: tracked_by(results, "adapted-2-"), 60)
        decided.join(20)
        assert (worker.view.version, worker.view.doing, worker.view.instead) == (2, "", "")
        trt.spoils = 1.0
        worker.roll_back()
        assert wait_until(lambda: tracked_by(results, "adapted-1-"), 60)
        assert len(trt.refitted) == 3 and trt.built == [True, True]
        worker.roll_back()
        assert wait_until(lambda: tracked_by(results, "encoder-"), 60)
        assert wait_until(lambda: worker.view.version == store.current == 0, 20)


@pytest.mark.timeout(300)
def test_another_runner_takes_the_version_in_use_along_and_another_method_does_not(
    store: VersionStore, trt: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = InStep([one.frame for one in frames(5, 0.0, 5.0)])

    def make(wish: TrackerWish) -> FrameTracker:
        return method_named(wish.method).make(TrackerParts(wish.weights, runner=wish.runner))

    session = LiveSession(lambda _: source, "rendered", lambda: make(TrackerWish()))
    session.tracking.add_listener(source)
    choice = TrackerChoice(session, make)
    profiles = ProfileChoice(session, ProfileStore(tmp_path / "profiles"))
    worker = _adaptation(session, profiles, choice, lambda: make(choice.used), True)
    results = session.listen(10_000)
    session.start()
    worker.start()
    try:
        assert wait_until(lambda: tracked_by(results, "adapted-1-"), 60)
        assert trt.engines == []
        meanwhile = session.listen(10_000)
        assert choice.choose(TrackerWish(runner="tensorrt"))
        assert wait_until(lambda: bool(trt.refitted) and trt.refitted[0].runs > 12 + 3, 60)  # compared, and tracking
        assert wait_until(lambda: tracked_by(results, "adapted-1-"), 60)
        versions = set()
        while (one := meanwhile.get()) is not None:
            versions.add(one.result.weights_version)
        assert len(versions) == 1, "the shipped weights were put in on the way"
        asked: list[str] = []
        monkeypatch.setattr(worker, "renew", lambda: asked.append("renew"))
        assert choice.choose(TrackerWish(runner="tensorrt", method="encoder"))
        assert wait_until(lambda: not choice.busy and tracked_by(results, "encoder-"), 60)
        assert choice.changes == 2 and asked == []
    finally:
        assert worker.stop(10.0)
        assert session.stop()


@pytest.mark.parametrize(("name", "title"), [("tensorrt", "TensorRT"), ("torch", "torch")])
def test_a_version_without_an_encoder_is_run_by_the_runner_in_use(
    name: str, title: str, trt: StandIn, tmp_path: Path
) -> None:
    hand = AdaptedHand(np.full(20, 0.1), np.zeros(6), np.zeros(100))
    version = VersionStore(tmp_path / "versions").add(hand, None)
    made = version_maker(Tracker, lambda: name)(version, go_on)
    assert isinstance(made.tracker, Tracker) and made.tracker.runner.name == title and not made.instead
