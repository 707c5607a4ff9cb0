"""`python main.py bench runners`: every runner beside the others, at batch 1, checked against torch."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arguments import add_weights
from engine.types import LumbricalError

if TYPE_CHECKING:
    from engine.methods.gaussian.weights import LoadedEncoder
    from engine.runners.protocol import Runner
    from engine.types import FloatArray

#: The first runs of a runner allocate.
_WARM_UP = 5


def add_arguments(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the bench and its options."""
    runners = kinds.add_parser("runners", help="every runner of the encoder, beside torch", description=run.__doc__)
    runners.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="recordings to take crops from, too")
    runners.add_argument("--crops", type=int, default=32, help="crops from each recording (default: 32)")
    runners.add_argument("--repeats", type=int, default=10, help="how often each runner reads each crop (default: 10)")
    runners.add_argument("--json", action="store_true", help="print one JSON object")
    add_weights(runners)


def run(args: argparse.Namespace) -> int:
    """Time the encoder at batch 1 in every runner that works here, the runners taking turns, and compare what each says
    with torch: on crops of the rendered demo, and of the recordings that are named; and what `run` takes by itself."""
    if not (1 <= args.crops <= 10_000 and 1 <= args.repeats <= 10_000):
        raise LumbricalError("--crops and --repeats must be from 1 to 10000")
    import torch

    from app.runtime.runner_check import DEMO, crops_of
    from engine.evaluation.measure import open_recordings
    from engine.methods.gaussian.weights import DEFAULT_WEIGHTS, load_weights

    torch.set_num_threads(1)
    recordings = open_recordings([DEMO, *args.folders])
    sources = {one.name: crops_of(one.labels.folder, args.crops) for one in recordings}
    report = measure(load_weights(args.weights or DEFAULT_WEIGHTS), sources, args.repeats)
    print(json.dumps(report, indent=2) if args.json else as_table(report))
    return 0


def measure(loaded: LoadedEncoder, sources: dict[str, tuple[FloatArray, FloatArray]], repeats: int) -> dict[str, Any]:
    """Of each runner that works its milliseconds at batch 1 and its differences from torch in mm by recording; of each
    that does not, why."""
    import torch

    from engine.runners.choose import best_runner
    from engine.runners.verify import check, difference

    runners, missing, differences = *_make(loaded), {}
    reference = runners["torch"][0]
    for name, (runner, precision) in list(runners.items()):
        found = {source: difference(runner, reference, *crops) for source, crops in sources.items()}
        try:
            for one in found.values():
                check(name, one, precision)
        except LumbricalError as error:
            missing[name] = str(error)
            del runners[name]
        differences[name] = {source: vars(one) for source, one in found.items()}
    times = _times({name: runner for name, (runner, _) in runners.items()}, sources, repeats)
    return {
        "weights": loaded.version,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "batch": 1,
        "runs_each": len(next(iter(times.values()))),
        "runners": {
            name: {"precision": runners[name][1], **_spread(values), "difference": differences[name]}
            for name, values in times.items()
        },
        "not_run": missing,
        "by_itself": best_runner(loaded.file),
    }


def _make(loaded: LoadedEncoder) -> tuple[dict[str, tuple[Runner, str]], dict[str, str]]:
    """The runners that work here with their precisions, by name, and why the others do not."""
    import torch

    from engine.runners.choose import RUNNERS
    from engine.runners.onnx_runner import OnnxRunner
    from engine.runners.protocol import go_on
    from engine.runners.tensorrt_runner import TensorRtRunner
    from engine.runners.torch_runner import GraphRunner, TorchRunner

    makers: dict[str, tuple[Callable[[], Runner], str]] = {
        name: (partial(kind.make, loaded, go_on), kind.precision) for name, kind in RUNNERS.items()
    }
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False  # what is called fp32 is to be
        for half, precision in ((False, "fp32"), (True, "fp16")):
            makers[f"torch, GPU, {precision}"] = (partial(TorchRunner, loaded, "cuda", half), precision)
            makers[f"CUDA graph, {precision}"] = (partial(GraphRunner, loaded, half), precision)
        # The app runs these in fp16.
        makers["onnx-cuda, fp32"] = (partial(OnnxRunner, loaded, provider="CUDAExecutionProvider"), "fp32")
        makers["tensorrt, fp32"] = (partial(TensorRtRunner, loaded, half=False), "fp32")
    made, missing = {}, {}
    for name, (make, precision) in makers.items():
        try:
            made[name] = (make(), precision)
        except LumbricalError as error:
            missing[name] = str(error)
    return made, missing


def _times(
    runners: dict[str, Runner], sources: dict[str, tuple[FloatArray, FloatArray]], repeats: int
) -> dict[str, list[float]]:
    """Milliseconds of each run, by runner; they take turns, so that what slows the machine slows all."""
    inputs = [(crops[i : i + 1], away[i : i + 1]) for crops, away in sources.values() for i in range(len(crops))]
    times: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        for crop in inputs[:_WARM_UP]:
            runner.run(*crop)
    for _ in range(repeats):
        for crop in inputs:
            for name, runner in runners.items():
                start = time.perf_counter()
                runner.run(*crop)
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def _spread(values: list[float]) -> dict[str, float]:
    import numpy as np

    low, middle, high = np.percentile(values, [10, 50, 95])
    return {"p10_ms": round(float(low), 3), "p50_ms": round(float(middle), 3), "p95_ms": round(float(high), 3)}


def as_table(report: dict[str, Any]) -> str:
    """The report for people."""
    where = report["gpu"] or "no GPU"
    lines = [
        f"{report['weights']}, batch 1, {report['runs_each']} runs each in turn, {where}, CPU runners on 1 thread",
        f"  {'':22} {'':5} {'p10 ms':>7} {'p50 ms':>7} {'p95 ms':>7} {'torch /':>8}   points off torch's: mean, max mm",
    ]
    base = report["runners"]["torch"]["p50_ms"]
    for name, row in report["runners"].items():
        apart = "; ".join(f"{s} {d['mean_mm']:.3g}, {d['max_mm']:.3g}" for s, d in row["difference"].items())
        lines.append(
            f"  {name:22} {row['precision']:5} {row['p10_ms']:7.2f} {row['p50_ms']:7.2f} {row['p95_ms']:7.2f} "
            f"{base / row['p50_ms']:7.1f}x   {apart}"
        )
    lines += [f"  {name:22} not run: {why}" for name, why in report["not_run"].items()]
    name = report["by_itself"]
    row = report["runners"].get(name)
    faster = f"takes {name} here: {base / row['p50_ms']:.1f} times as fast as torch" if row else ""
    return "\n".join([*lines, f"by itself, run {faster or f'tries {name} here, in vain: onnx goes on'}"])
