"""The processes that train together, as torchrun starts them: who is who, and what they tell each other.

They talk over gloo on CPUs and over NCCL on NVIDIA GPUs. Alone, nothing is sent and torch.distributed is not touched.
"""

from __future__ import annotations

import datetime
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor
from torch import distributed as dist

from engine.types import LumbricalError

_PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_MEETING = ("MASTER_ADDR", "MASTER_PORT")
_START = "start with `torchrun --nproc_per_node N main.py train …`, which sets it"
#: Who hears nothing for so long takes the others for dead.
_PATIENCE = datetime.timedelta(minutes=15)


@dataclass(frozen=True)
class Processes:
    """This process among `count`; rank 0 also speaks and writes. local_rank: its number on this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self.count == 1

    def total(self, value: Tensor) -> Tensor:
        """The sum of all processes' values, without a gradient; each must call this, with the same shape and type.

        Raises LumbricalError when another process has ended.
        """
        if self.alone:
            return value.detach()
        value = value.detach().clone(memory_format=torch.contiguous_format)
        try:
            dist.all_reduce(value)
        except RuntimeError as error:
            raise LumbricalError("another process of this training ended; its own message says why") from error
        return value

    def any(self, flags: tuple[bool, ...], device: str) -> tuple[bool, ...]:
        """Which flags are set in one process at least; all processes get the same answer."""
        if self.alone:
            return flags
        counts = self.total(torch.tensor(flags, dtype=torch.float32, device=device))
        return tuple(count > 0 for count in counts.tolist())


#: Training as it goes without torchrun.
ALONE = Processes()


def from_environment(environment: Mapping[str, str]) -> Processes:
    """Who this process is. Raises LumbricalError where torchrun's variables are there in part, or make no sense."""
    if not any(name in environment for name in _PLACE):
        return ALONE
    numbers = {}
    for name in _PLACE:
        text = environment.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 7):
            told = f"is {text!r:.20}, no number" if text else "is missing"
            there = ", ".join(other for other in _PLACE if other in environment and other != name)
            others = f" although {there} is set" if there else ""
            raise LumbricalError(f"the environment variable {name} {told}{others}; {_START}")
        numbers[name] = int(text)
    rank, count, local_rank = (numbers[name] for name in _PLACE)
    if not (rank < count and local_rank <= rank):
        raise LumbricalError(f"RANK {rank} and LOCAL_RANK {local_rank} are none of WORLD_SIZE {count}; {_START}")
    missing = [name for name in _MEETING if not environment.get(name)]
    if count > 1 and missing:
        raise LumbricalError(f"the environment variable {missing[0]} is missing; {_START}")
    return Processes(rank, count, local_rank)


@contextmanager
def joined(processes: Processes, device: str) -> Iterator[None]:
    """While this lasts, the processes can talk: over NCCL where device is a GPU, over gloo otherwise."""
    if processes.alone:
        yield
        return
    if not dist.is_available() or (device != "cpu" and not dist.is_nccl_available()):
        kind = "distributed training" if device == "cpu" else "NCCL (--device cpu trains over gloo)"
        raise LumbricalError(f"this torch was built without {kind}; start without torchrun")
    if device != "cpu":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            rank=processes.rank,
            world_size=processes.count,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise LumbricalError(
            f"the {processes.count} processes of this training do not find each other: {reason}"
        ) from error
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def interrupt_remembered(processes: Processes) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed. Among several processes it raises nothing while this lasts: they would leave off at
    different places, and wait for each other for ever."""
    pressed = threading.Event()

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.set()

    if processes.alone or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
