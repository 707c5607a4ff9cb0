"""Two processes on the CPU train as one does: they are started once, for all tests here."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from engine.methods.gaussian.encoder import EncoderConfig
from engine.training.config import TrainConfig
from engine.training.detector_training import DetectorConfig, DetectorTrainer
from engine.training.loop import TrainingLoop
from engine.training.processes import ALONE, Processes, from_environment, joined
from engine.training.renders import RenderConfig, RenderedBatch
from engine.training.shares import own_share, part_size
from engine.training.trainer import RenderStream, Trainer
from engine.types import LumbricalError

TINY = TrainConfig(
    name="tiny",
    images=24,
    batch_size=8,
    part_images=4,
    warm_up_images=0,
    bfloat16=False,
    encoder=EncoderConfig(width=0.125, head_channels=8, hidden=16),
    render=RenderConfig(points=1000),
)
TINY_DETECTOR = DetectorConfig(
    name="tiny", width=4, images=8, batch_size=4, part_images=2, warm_up_images=0, bfloat16=False
)
_WORLD = 2


def _result(trainer: TrainingLoop[Any, Any], losses: list[float]) -> dict[str, Any]:
    parts = {"net": trainer.net.state_dict(), "average": trainer.average.state_dict()}
    return {"losses": losses, "images": trainer.images} | parts


def _trained(trainer: TrainingLoop[Any, Any], minutes: float | None = None) -> dict[str, Any]:
    losses: list[float] = []
    trainer.run(minutes, lambda line: losses.append(line["loss"]), every=1)
    return _result(trainer, losses)


class _Interrupted(Trainer):
    """Ctrl-C reaches the last process only, during its second step."""

    def batches(self) -> Iterable[RenderedBatch]:
        for number, batch in enumerate(super().batches()):
            if number == 1 and self.processes.rank == self.processes.count - 1:
                signal.raise_signal(signal.SIGINT)
            yield batch


class _Broken(Trainer):
    """The last process's share of the loss is no number in the second step."""

    def loss(self, batch: RenderedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = super().loss(batch)
        last = self.processes.rank == self.processes.count - 1
        return (loss * float("nan") if last and self.images else loss), parts


def _failure(trainer: TrainingLoop[Any, Any]) -> str:
    try:
        trainer.run()
    except (LumbricalError, KeyboardInterrupt) as error:
        return f"{type(error).__name__} {error} {trainer.images}"
    return "none"


def _one_of_two(rank: int, port: int, folder: Path) -> None:
    """What each process does; results go to files, as only one of the processes has any other voice."""
    torch.set_num_threads(1)
    processes = from_environment(_environment(rank, port))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(rank, port).items():
            patch.setenv(name, value)
        with joined(processes, "cpu"):
            results = _all_results(processes, folder)
    torch.save(results, folder / f"results{rank}.pt")


def _environment(rank: int, port: int) -> dict[str, str]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": _WORLD, "MASTER_PORT": port}
    return {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}


def _all_results(processes: Processes, folder: Path) -> dict[str, Any]:
    own = folder / f"own{processes.rank}"
    results: dict[str, Any] = {"whole": _trained(Trainer(TINY, own / "whole", processes=processes))}
    results["detector"] = _trained(DetectorTrainer(TINY_DETECTOR, own / "detector", processes=processes))
    results["first part"] = _trained(Trainer(TINY, folder / "two, then one", processes=processes), minutes=0.0)
    second = Trainer(TINY, folder / "one, then two", processes=processes)
    results["resumed"] = second.resume()
    results["second part"] = _trained(second)
    results["not a number"] = _failure(_Broken(TINY, own / "broken", processes=processes))
    unlike = Trainer(replace(TINY, seed=TINY.seed + processes.rank), own / "unlike", processes=processes)
    results["unlike"] = _failure(unlike)
    results["interrupted"] = _failure(_Interrupted(TINY, own / "interrupted", processes=processes))
    results["written"] = sorted(str(path.relative_to(own)) for path in own.rglob("*") if path.is_file())
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have left what they did."""
    place = tmp_path_factory.mktemp("processes")
    _trained(Trainer(TINY, place / "one, then two"), minutes=0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_one_of_two, (port, place), nprocs=_WORLD)
    return place


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"results{rank}.pt", weights_only=True) for rank in range(_WORLD)]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("one")
    return {
        "whole": _trained(Trainer(TINY, place / "whole")),
        "detector": _trained(DetectorTrainer(TINY_DETECTOR, place / "detector")),
        "begin": {
            "whole": Trainer(TINY, place / "begin").net.state_dict(),
            "detector": DetectorTrainer(TINY_DETECTOR, place / "begin").net.state_dict(),
        },
    }


def _gap(found: dict[str, Tensor], right: dict[str, Tensor], begin: dict[str, Tensor]) -> float:
    """How far weights and statistics are off, as a fraction of how far training has moved them."""
    off = sum((found[name] - right[name]).double().square().sum() for name in right)
    way = sum((right[name] - begin[name]).double().square().sum() for name in right)
    assert isinstance(off, Tensor) and isinstance(way, Tensor) and way > 0
    return float((off / way).sqrt())


@pytest.mark.parametrize("kind", ["whole", "detector"])
def test_two_processes_train_as_one_does(kind: str, two: list[dict[str, Any]], one: dict[str, Any]) -> None:
    assert len(one[kind]["losses"]) >= 2
    assert two[0][kind]["losses"] == pytest.approx(one[kind]["losses"], rel=1e-4)
    assert two[1][kind]["losses"] == []
    for result in two:
        assert result[kind]["images"] == one[kind]["images"]
        for part in ("net", "average"):
            assert result[kind][part].keys() == one[kind][part].keys()
        assert _gap(result[kind]["net"], one[kind]["net"], one["begin"][kind]) < 0.01


def test_training_goes_on_with_another_number_of_processes(
    two: list[dict[str, Any]], one: dict[str, Any], folder: Path
) -> None:
    begin = one["begin"]["whole"]
    assert [result["first part"]["images"] for result in two] == [8, 8]
    assert all(result["resumed"] for result in two)
    assert _gap(two[0]["second part"]["net"], one["whole"]["net"], begin) < 0.01
    after = Trainer(TINY, folder / "two, then one")
    assert after.resume()
    assert _gap(_trained(after)["net"], one["whole"]["net"], begin) < 0.01


def test_what_is_no_number_in_one_process_stops_all(two: list[dict[str, Any]]) -> None:
    for result in two:
        assert result["not a number"].startswith("LumbricalError the loss is not a number after 8 images")


def test_an_interruption_of_one_process_stops_all_after_the_same_step(two: list[dict[str, Any]]) -> None:
    stops = [result["interrupted"].split() for result in two]
    assert stops[0] == stops[1]
    assert stops[0][0] == "KeyboardInterrupt" and 0 < int(stops[0][1]) < TINY.images


def test_processes_that_do_not_begin_alike_are_refused(two: list[dict[str, Any]]) -> None:
    for result in two:
        assert "begin with different weights" in result["unlike"]


def test_only_the_first_process_writes(two: list[dict[str, Any]]) -> None:
    assert {"whole/checkpoint.pt", "whole/log.jsonl", "interrupted/checkpoint.pt"} <= set(two[0]["written"])
    assert two[1]["written"] == []


@pytest.mark.parametrize("count", [2, 4, 8])
def test_shares_add_up_to_the_same_batch(count: int) -> None:
    numbers = range(3)
    whole = RenderStream(TINY, "cpu", numbers)[2]
    shares = [RenderStream(TINY, "cpu", numbers, Processes(rank, count))[2] for rank in range(count)]
    assert torch.equal(torch.cat([share.depth for share in shares]), whole.depth)
    assert torch.equal(torch.cat([share.joints for share in shares]), whole.joints)


def test_a_share_makes_no_more_parts_than_it_needs() -> None:
    made = []

    def make(count: int, index: int) -> RenderedBatch:
        made.append(index)
        return RenderedBatch(*[torch.arange(count) + index * count] * 11)

    share = own_share(make, 8, 2, 5, Processes(1, 2))
    assert made == [22, 23]
    assert share.depth.tolist() == [44, 45, 46, 47]
    assert part_size(100, 32) == 25 and part_size(64, 32) == 32 and part_size(7, 4) == 1


def test_a_gradient_that_is_no_number_stops_training(tmp_path: Path) -> None:
    trainer = Trainer(TINY, tmp_path)
    weight = next(trainer.net.parameters())
    # The root's slope at 0 is infinite, its value is not.
    trainer.loss = lambda batch: ((weight * 0).sum().sqrt(), {})  # type: ignore[method-assign]
    with pytest.raises(LumbricalError, match="gradient is not a number"):
        trainer.run()
    assert torch.isfinite(weight).all()


def test_batches_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LumbricalError, match=r"batch_size \(8\) cannot be shared evenly by 3 processes"):
        Trainer(TINY, tmp_path / "out", processes=Processes(0, 3))
    assert not (tmp_path / "out").exists()


def test_the_environment_says_who_is_who() -> None:
    full = _environment(1, 29500)
    assert from_environment({"PATH": "/bin"}) == ALONE
    assert from_environment(full) == Processes(1, 2, 1)
    for change, message in (
        ({"WORLD_SIZE": None}, "WORLD_SIZE is missing although RANK, LOCAL_RANK is set"),
        ({"RANK": "first"}, "RANK is 'first', no number"),
        ({"RANK": "-1"}, "RANK is '-1', no number"),
        ({"RANK": "2"}, "RANK 2 and LOCAL_RANK 1 are none of WORLD_SIZE 2"),
        ({"MASTER_PORT": None}, "MASTER_PORT is missing; start with `torchrun"),
    ):
        broken = {name: value for name, value in (full | change).items() if value is not None}
        with pytest.raises(LumbricalError, match=message):
            from_environment(broken)
