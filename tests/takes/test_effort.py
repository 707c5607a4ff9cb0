"""How hard to compress, and chunks that are not compressed."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard

from engine.takes.container import stored
from engine.takes.effort import FASTEST_LEVEL, Effort, Level


@pytest.mark.parametrize("size", [0, 1, 1000, 128 << 10, (128 << 10) + 1, 1_000_000])
def test_a_stored_chunk_is_a_zstd_frame(size: int) -> None:
    raw = np.random.default_rng(size).bytes(size)
    packed = b"".join(stored(memoryview(raw)))
    assert zstandard.get_frame_parameters(packed).content_size == size
    if size:
        assert zstandard.ZstdDecompressor().decompress(packed, max_output_size=size) == raw
        assert len(packed) < size + 50


def _learn(effort: Effort, pack_s: dict[Level, float], packed: dict[Level, int], disk_s: float) -> None:
    for _ in range(10):
        level = effort.level()
        effort.note(level, 1000, packed[level], 1000 * pack_s[level], packed[level] * disk_s)


def test_it_does_what_gets_the_most_through() -> None:
    pack_s: dict[Level, float] = {1: 4.0, FASTEST_LEVEL: 2.0, None: 0.1}
    packed: dict[Level, int] = {1: 300, FASTEST_LEVEL: 500, None: 1000}
    for disk_s, best in ((0.1, None), (5.0, FASTEST_LEVEL), (50.0, 1)):
        effort = Effort(1)
        _learn(effort, pack_s, packed, disk_s)
        assert effort.level() == 1, "nothing is behind: as configured"
        effort.behind = True
        _learn(effort, pack_s, packed, disk_s)
        assert effort.level() == best
        effort.behind = False
        assert effort.level() == 1
