"""Whether what computes the encoder says the same as torch: looked at once for each of weights, runner and machine."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from engine.runners.choose import REFERENCE, RUNNERS, make_runner
from engine.runners.protocol import Progress, Runner, go_on
from engine.runners.verify import Difference, check, difference
from engine.types import FloatArray, LumbricalError
from engine.whole_file import write_whole

if TYPE_CHECKING:
    from engine.methods.gaussian.weights import LoadedEncoder

DEMO = Path(__file__).parents[2] / "assets" / "demo"
_CROPS = 12
_MOST_BYTES = 1000


def check_runner(weights: Path | None, runner: str, progress: Progress = go_on) -> str:
    """How far a runner's points are off torch's, in words; nothing of torch itself. weights: None for the shipped ones.

    The first time a plan may have to be built, of which progress is told, and both run crops of the rendered demo, in
    about a second; the answer is kept in the user's cache. Raises RunnerDiffers when it is off by more than its
    precision explains, LumbricalError when it cannot run here.
    """
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights

    if runner == REFERENCE:
        return ""
    kind, path = RUNNERS[runner], weights or DEFAULT_WEIGHTS
    kept = user_cache_path("lumbrical") / f"checked-{_key(path, runner)}.json"
    found = _read(kept)
    if found is None:
        loaded = load_weights(path)
        found = compare(make_runner(loaded, runner, progress), loaded, runner)
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps(vars(found)).encode())
    check(kind.title, found, kind.precision)
    return f"{kind.title} is off torch by {found}"


def compare(made: Runner, loaded: LoadedEncoder, runner: str) -> Difference:
    """How far what was made of weights, as `runner`, is off torch on crops of the rendered demo, in about a second.
    Raises RunnerDiffers when that is more than its precision explains."""
    kind = RUNNERS[runner]
    found = difference(made, make_runner(loaded, REFERENCE), *crops_of(DEMO, _CROPS))
    check(kind.title, found, kind.precision)
    return found


def _key(weights: Path, runner: str) -> str:
    """Differs wherever the weights, the runner, its library, the GPU or what is exported does."""
    import onnxruntime
    import torch

    from engine.runners.export import code_digest
    from engine.runners.tensorrt_plan import PlanTarget

    try:
        held = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise LumbricalError(f"{weights} cannot be read: {error.strerror}") from error
    machine = PlanTarget.of_this_machine()
    libraries = (onnxruntime.__version__, torch.__version__, _tensorrt_version() if runner == "tensorrt" else "")
    facts = (held, runner, code_digest(), *libraries, machine.gpu, machine.driver)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _tensorrt_version() -> str:
    """Nothing where it is not installed: whether that is what is missing is said when the runner is made."""
    from engine.runners.tensorrt_plan import TensorRtUnavailable, tensorrt_version

    try:
        return tensorrt_version()
    except TensorRtUnavailable:
        return ""


def _read(path: Path) -> Difference | None:
    """What was found before; None where there is nothing that could be it."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        kept = json.loads(path.read_bytes())
        found = Difference(int(kept["crops"]), float(kept["max_mm"]), float(kept["mean_mm"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if math.isfinite(found.max_mm) and math.isfinite(found.mean_mm) else None


def crops_of(folder: Path, count: int) -> tuple[FloatArray, FloatArray]:
    """Crops (N, 128, 128) and distances (N,) mm where the detector sees a hand best, in N <= count frames evenly over a
    sequence folder. Raises LumbricalError where it sees none."""
    import numpy as np

    from engine.evaluation.takes import open_frames, read_labels
    from engine.localise.crop import cut, look_at
    from engine.localise.detector import HandDetector

    detector, crops, distances = HandDetector.load(), [], []
    frames = read_labels(folder).info.frame_count
    wanted = set(range(0, frames, -(-frames // count)))
    with open_frames(folder) as sensor:
        for index in range(frames):
            frame = sensor.read()
            if frame is None or index not in wanted:
                continue
            for seen in detector.detect(frame, 1):
                window = look_at(seen.centre_mm)
                crops.append(cut(frame, window))
                distances.append(window.distance)
    if not crops:
        raise LumbricalError(f"{folder} shows no hand that the detector finds")
    return np.stack(crops), np.array(distances, np.float32)
