"""What of a batch one process makes: batch number i holds the same images however many processes share it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from engine.training.processes import Processes
from engine.types import LumbricalError

Batch = TypeVar("Batch")


def check_shares(batch_size: int, processes: Processes, what: str = "batch_size") -> None:
    """Raise LumbricalError where the processes cannot share batches (of `what`) evenly."""
    if batch_size % processes.count:
        raise LumbricalError(
            f"{what} ({batch_size}) cannot be shared evenly by {processes.count} processes; "
            "choose a multiple in CONFIG, or another --nproc_per_node"
        )


def part_size(batch_size: int, most: int) -> int:
    """How many images are made at once: the largest divisor of batch_size that is not above `most`."""
    return next(size for size in range(min(batch_size, most), 0, -1) if batch_size % size == 0)


def own_share(
    make: Callable[[int, int], Batch], batch_size: int, part: int, number: int, processes: Processes
) -> Batch:
    """This process's images of batch `number`.

    make(part, index) makes part number `index` of the endless row of parts, always the same for the same index; `part`
    divides batch_size. Where the shares are no whole parts, some images are made in vain by several processes.
    """
    check_shares(batch_size, processes)
    share = batch_size // processes.count
    start = processes.rank * share
    first, last = start // part, -(-(start + share) // part)
    made = [make(part, number * (batch_size // part) + index) for index in range(first, last)]
    return cut(join(made), slice(start - first * part, start - first * part + share))


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several: of dataclasses whose fields are all tensors (B, …)."""
    if len(batches) == 1:
        return batches[0]
    names = [entry.name for entry in dataclasses.fields(batches[0])]  # type: ignore[arg-type]
    joined = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in names}
    return dataclasses.replace(batches[0], **joined)  # type: ignore[type-var]


def cut(batch: Batch, images: slice) -> Batch:
    """Some images of a batch."""
    return each_tensor(batch, lambda tensor: tensor[images])


def each_tensor(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with all its tensors changed."""
    names = [entry.name for entry in dataclasses.fields(batch)]  # type: ignore[arg-type]
    return dataclasses.replace(batch, **{name: change(getattr(batch, name)) for name in names})  # type: ignore[type-var]
