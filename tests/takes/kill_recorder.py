"""Records takes in child processes and kills them at random moments: `python -m tests.takes.kill_recorder DIR N SEED`.

With a fourth argument, `slow`, the disk takes less than comes, and now and then nothing at all for seconds. Prints
one JSON line a kill: what the child had handed to the recorder last, for the test to compare with the files.
Children are forked from this small process, because starting Python a hundred times would take minutes.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np

from app.runtime.interfaces import CapturedFrame, LiveResult
from app.runtime.recorder import Recorder
from app.runtime.recording import RecorderConfig
from engine.takes.container import Container
from engine.takes.facts import TakeInfo
from engine.takes.writer import WriterConfig
from tests.takes.make import make_frame, make_result

FPS = 120.0
AT_ONCE = 4
LONGEST_S, LONGEST_SLOW_S = 1.6, 5.0
#: On a busy machine a child takes its time to begin; moments are counted from there.
BEGIN_LIMIT_S = 20.0
#: A slow disk: bytes a second, how often it stands still, and for how long at most.
SLOW_BYTES_PER_S, STALLS, STALL_S = 200_000, 0.1, 3.0
#: Take begun, takes closed; of the take begun last frames taken on and frames refused. Behind it, when each frame that
#: was taken on arrived.
SHARED, TIME = struct.Struct("<qqqq"), struct.Struct("<d")
MOST_FRAMES = 4000


def slow_down(rng: np.random.Generator) -> None:
    """Make every write of this process one to a slow disk."""
    write = Container._write

    def slow(self: Container, pieces: list[memoryview]) -> int:
        time.sleep(sum(map(len, pieces)) / SLOW_BYTES_PER_S)
        if rng.random() < STALLS:
            time.sleep(rng.uniform(0.0, STALL_S))
        return write(self, pieces)

    Container._write = slow  # type: ignore[method-assign]


def record(folder: Path, shared: mmap.mmap, seed: int, is_slow: bool) -> None:
    """One take after the other, each a short one, until killed."""
    rng = np.random.default_rng(seed)
    longest_s = LONGEST_SLOW_S if is_slow else LONGEST_S
    if is_slow:
        slow_down(np.random.default_rng(seed + 1))
    recorder = Recorder(RecorderConfig(preroll_s=0.2, writer=WriterConfig(min_free_bytes=0)))
    closed, number = 0, 0
    while True:
        shared[: SHARED.size] = SHARED.pack(closed + 1, closed, 0, 0)
        recorder.start(folder / f"{closed}.mcap", TakeInfo(user="Ann"), preroll=False)
        end_s = time.monotonic() + rng.uniform(0.2, longest_s)
        handed, refused = 0, 0
        while time.monotonic() < end_s:
            frame = make_frame(number)
            if recorder.put_frame(CapturedFrame(frame, 0)):
                TIME.pack_into(shared, SHARED.size + TIME.size * handed, frame.host_time_s)
                handed += 1
            else:
                refused += 1
            recorder.put_result(LiveResult(make_result(frame), 0, time.monotonic(), 0.01))
            number += 1
            shared[: SHARED.size] = SHARED.pack(closed + 1, closed, handed, refused)
            time.sleep(1 / FPS)
        recorder.stop()
        closed += 1


def begin(folder: Path, seed: int, is_slow: bool) -> tuple[int, mmap.mmap]:
    """A child that records, and the memory that outlives it."""
    folder.mkdir()
    shared = mmap.mmap(-1, SHARED.size + TIME.size * MOST_FRAMES)
    child = os.fork()
    if child == 0:
        record(folder, shared, seed, is_slow)
    deadline_s = time.monotonic() + BEGIN_LIMIT_S
    while SHARED.unpack(shared[: SHARED.size])[0] == 0 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return child, shared


def main(root: Path, kills: int, seed: int, is_slow: bool) -> None:
    """Kill that many, a few at a time."""
    rng = random.Random(seed)
    longest_s = LONGEST_SLOW_S if is_slow else LONGEST_S
    waiting = list(range(kills))
    running: list[tuple[float, float, int, int, mmap.mmap]] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            case = waiting.pop()
            child, shared = begin(root / str(case), seed + case, is_slow)
            start_s = time.monotonic()
            running.append((start_s + rng.uniform(0.0, longest_s), start_s, case, child, shared))
        due_s, start_s, case, child, shared = running.pop(running.index(min(running)))
        time.sleep(max(0.0, due_s - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        killed_s = time.monotonic()
        os.waitpid(child, 0)
        begun, closed, handed, refused = SHARED.unpack(shared[: SHARED.size])
        report = {
            "case": case, "after_s": killed_s - start_s, "begun": begun, "closed": closed, "handed": handed,
            "refused": refused,
            "times_s": [time_s for (time_s,) in TIME.iter_unpack(shared[SHARED.size :])][:handed],
        }  # fmt: skip
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["slow"])
